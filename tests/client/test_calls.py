"""Requests as values: paths that no name can leave, versions that both sides know."""

import pytest

from wherry.client import calls
from wherry.client.address import DEFAULT_SOCKET, UnixAddress, find_address


def test_a_name_can_not_leave_its_place() -> None:
    call = calls.inspect_container("../../images/json?x=1#y")
    assert call.target("1.51") == "/v1.51/containers/..%2F..%2Fimages%2Fjson%3Fx%3D1%23y/json"
    image = calls.inspect_image("localhost:5000/a/b:tag@sha256:0 1?")
    assert image.target(None) == "/images/localhost:5000/a/b:tag@sha256:0%201%3F/json"


def test_filters_are_json_in_the_query() -> None:
    call = calls.list_containers(all=True, limit=3, filters={"label": ["a=b"]})
    assert call.target(None) == (
        "/containers/json?all=1&limit=3&filters=%7B%22label%22%3A%5B%22a%3Db%22%5D%7D"
    )


@pytest.mark.parametrize(
    ("server", "spoken"),
    [
        ("1.41", "1.41"),
        ("1.51", "1.51"),
        ("1.99", "1.51"),
        ("1.9", "1.9"),
        (None, "1.24"),
        ("", "1.24"),
    ],
)
def test_the_older_version_is_spoken(server: str | None, spoken: str) -> None:
    assert calls.negotiate(server) == spoken


def test_versions_are_numbers() -> None:
    assert calls.at_least("1.51", "1.9")
    assert not calls.at_least("1.9", "1.41")


@pytest.mark.parametrize(
    ("wanted", "environment", "path", "chosen"),
    [
        (None, {}, DEFAULT_SOCKET, False),
        (None, {"DOCKER_HOST": "unix:///d.sock"}, "/d.sock", True),
        (None, {"DOCKER_HOST": "unix:///d.sock", "WHERRY_HOST": "unix:///w.sock"}, "/w.sock", True),
        ("unix:///f.sock", {"WHERRY_HOST": "unix:///w.sock"}, "/f.sock", True),
        ("/f.sock", {}, "/f.sock", True),
        ("unix://", {}, DEFAULT_SOCKET, True),
    ],
)
def test_the_nearest_address_counts(
    wanted: str | None, environment: dict[str, str], path: str, chosen: bool
) -> None:
    address = find_address(wanted, environment)
    assert isinstance(address, UnixAddress)
    assert (address.path, address.chosen) == (path, chosen)


@pytest.mark.parametrize("host", ["there", "foo://x", "npipe:////./pipe/x", "fd://"])
def test_what_is_no_address_is_refused_by_name(host: str) -> None:
    with pytest.raises(ValueError, match="daemon address"):
        find_address(host, {})
