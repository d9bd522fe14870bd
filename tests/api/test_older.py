"""What clients of older versions get, against their own specification, and what they can't ask."""

import msgspec
import pytest
from apispec import check, needs_specification

from wherry.api import older
from wherry.engine.model import (
    UNSET,
    BindOptions,
    ContainerdInfo,
    ContainerSummary,
    CreateRequest,
    Descriptor,
    FirewallInfo,
    HostConfig,
    ImageInspect,
    ImageSummary,
    Mount,
    RuntimeInfo,
    SummaryHostConfig,
    SystemInfo,
    VolumeOptions,
)
from wherry.errdefs import EngineError

DESCRIPTOR = Descriptor(media_type="a/b", digest="sha256:" + "2" * 64, size=3)
VERSIONS = [(1, 40), (1, 41), (1, 42), (1, 43), (1, 44), (1, 45), (1, 48), (1, 50), (1, 51)]


def shown(value: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(value))


def rows() -> list[ImageSummary]:
    return [
        ImageSummary(id="sha256:1", size=5, descriptor=DESCRIPTOR, containers=2),
        ImageSummary(id="sha256:2", size=5, repo_tags=["app:1"]),
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_rows_of_images(version: older.Version) -> None:
    nameless, named = shown(older.images(rows(), version))
    assert nameless["RepoTags"] == (["<none>:<none>"] if version < (1, 43) else [])
    assert nameless["RepoDigests"] == (["<none>@<none>"] if version < (1, 43) else [])
    assert (named["RepoTags"], named["RepoDigests"]) == (["app:1"], [])
    assert named.get("VirtualSize") == (5 if version < (1, 44) else None)
    assert ("Descriptor" in nameless) == (version >= (1, 48))
    assert nameless["Containers"] == (2 if version >= (1, 51) else -1)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_image(version: older.Version) -> None:
    found = shown(older.image(ImageInspect(id="a", size=5, descriptor=DESCRIPTOR), version))
    assert ("Container" in found) == ("ContainerConfig" in found) == (version < (1, 45))
    assert ("VirtualSize" in found) == (version < (1, 44))
    assert found.get("Created") == ("0001-01-01T00:00:00Z" if version < (1, 44) else None)
    assert ("Descriptor" in found) == (version >= (1, 48))
    assert ("Hostname" in found["Config"]) == (version < (1, 50))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_daemon_and_its_containers(version: older.Version) -> None:
    info = SystemInfo(
        runtimes={"wherry": RuntimeInfo(path="x", status={"a": "b"})},
        containerd=ContainerdInfo(),
        firewall_backend=FirewallInfo(driver="x"),
        discovered_devices=[],
    )
    found = shown(older.info(info, version))
    assert ("status" in found["Runtimes"]["wherry"]) == (version >= (1, 44))
    assert ("Containerd" in found) == (version >= (1, 46))
    assert ("FirewallBackend" in found) == (version >= (1, 49))
    assert ("DiscoveredDevices" in found) == (version >= (1, 50))
    assert ("BridgeNfIptables" in found) == (version < (1, 50))
    row = ContainerSummary(id="a", host_config=SummaryHostConfig(annotations={"a": "b"}))
    [found] = shown(older.containers([row], version))
    assert ("Annotations" in found["HostConfig"]) == (version >= (1, 46))


@needs_specification
async def test_answers_at_1_41_are_valid_by_1_41(served, container) -> None:
    async def get(path: str):
        answer = await served.call("GET", f"/v1.41{path}")
        assert answer.status == 200
        return msgspec.json.decode(answer.body)

    def judge(name: str, value: object, *newer: str) -> None:
        known = {key: kept for key, kept in value.items() if key not in newer}
        check(name, known, "1.41")

    judge("SystemVersion", await get("/version"))
    judge("SystemInfo", await get("/info"), "CDISpecDirs")
    for row in await get("/images/json"):
        judge("ImageSummary", row)
    judge("ImageInspect", await get("/images/a/json"))
    usage = await get("/system/df")
    for record in usage["BuildCache"]:
        judge("BuildCache", record)
    for row in usage["Images"]:
        judge("ImageSummary", row)


# --- requests -------------------------------------------------------------------------------------


def request(*mounts: Mount) -> CreateRequest:
    host = HostConfig(console_size=(4, 5), annotations={"a": "b"}, mounts=list(mounts))
    return CreateRequest(image="x", host_config=host)


@pytest.mark.parametrize("version", VERSIONS)
def test_fields_from_the_future_are_no_wish(version: older.Version) -> None:
    options = BindOptions(create_mountpoint=True, read_only_non_recursive=True)
    asked = request(Mount(type="bind", source="/a", target="/b", bind_options=options))
    older.create_request(asked, version)
    assert asked.host_config.console_size == ((4, 5) if version >= (1, 42) else (0, 0))
    assert asked.host_config.annotations == ({"a": "b"} if version >= (1, 43) else UNSET)
    assert options.create_mountpoint is (True if version >= (1, 42) else UNSET)
    assert options.read_only_non_recursive is (True if version >= (1, 44) else UNSET)


@pytest.mark.parametrize(
    ("mount", "since"),
    [
        (Mount(type="bind", bind_options=BindOptions(read_only_force_recursive=True)), (1, 44)),
        (Mount(type="volume", volume_options=VolumeOptions(subpath="a")), (1, 45)),
        (Mount(type="image", source="x"), (1, 48)),
    ],
)
def test_what_would_be_less_safe_without_is_refused(mount: Mount, since: older.Version) -> None:
    older.create_request(request(mount), since)
    with pytest.raises(EngineError, match=r"needs API v1\.4"):
        older.create_request(request(mount), (1, since[1] - 1))
