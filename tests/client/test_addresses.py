"""Which daemon is meant: the docker CLI's order, its contexts, and addresses elsewhere."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from wherry.client.address import DEFAULT_SOCKET, Address, UnixAddress, Wanted, find_address
from wherry.client.remote import SshAddress, TcpAddress


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / ".docker"
    folder.mkdir()
    return folder


def write_context(config: Path, name: str, host: str, *files: str, **more: Any) -> None:
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = config / "contexts" / "meta" / key / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False, **more}
    meta.write_text(json.dumps({"Name": name, "Endpoints": {"docker": endpoint}}))
    tls = config / "contexts" / "tls" / key / "docker"
    tls.mkdir(parents=True)
    for file in files:
        (tls / f"{file}.pem").write_text("")


def find(wanted: Wanted, config: Path, **environment: str) -> Address:
    return find_address(wanted, {"HOME": str(config.parent), **environment})


def test_what_is_nearer_counts(config: Path) -> None:
    for name in ("flag", "variable", "current"):
        write_context(config, name, f"unix:///{name}")
    (config / "config.json").write_text(json.dumps({"currentContext": "current"}))
    everything = {
        "WHERRY_HOST": "unix:///wherry",
        "DOCKER_HOST": "unix:///docker",
        "DOCKER_CONTEXT": "variable",
    }
    seen = [str(find(Wanted(context="flag"), config, **everything))]
    seen.append(str(find(Wanted("unix:///host"), config, **everything)))
    while everything:
        seen.append(str(find(Wanted(), config, **everything)))
        del everything[next(iter(everything))]
    seen.append(str(find(Wanted(), config)))
    (config / "config.json").unlink()
    seen.append(str(find(Wanted(), config)))
    assert seen == [
        f"unix://{path}"
        for path in (
            "/flag", "/host", "/wherry", "/docker", "/variable", "/current", DEFAULT_SOCKET,
        )
    ]  # fmt: skip


def test_the_default_context_is_no_context(config: Path) -> None:
    (config / "config.json").write_text('{"currentContext": "elsewhere"}')
    address = find(Wanted(context="default"), config)
    assert not address.chosen
    address = find(Wanted(context="default"), config, DOCKER_HOST="unix:///d")
    assert str(address) == "unix:///d"
    with pytest.raises(ValueError, match="cannot specify both --host and --context"):
        find(Wanted("unix:///d", "default"), config)


def test_another_folder(config: Path, tmp_path: Path) -> None:
    write_context(config, "here", "unix:///here")
    found = find_address(Wanted(context="here", config=str(config)), {})
    assert str(found) == "unix:///here"
    found = find_address(Wanted(context="here"), {"DOCKER_CONFIG": str(config), "HOME": "/x"})
    assert str(found) == "unix:///here"


def test_contexts_that_are_none(config: Path) -> None:
    with pytest.raises(ValueError, match='context "nothing": context not found'):
        find(Wanted(), config, DOCKER_CONTEXT="nothing")
    write_context(config, "empty", "")
    with pytest.raises(ValueError, match="names no docker endpoint"):
        find(Wanted(context="empty"), config)
    (config / "config.json").write_text("not JSON")
    with pytest.raises(ValueError, match="is no JSON"):
        find(Wanted(), config)
    (config / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="is no JSON object"):
        find(Wanted(), config)


def test_contexts_elsewhere(config: Path) -> None:
    write_context(config, "plain", "tcp://there:1")
    write_context(config, "tls", "tcp://there", "ca", "cert", "key")
    write_context(config, "believing", "tcp://there", SkipTLSVerify=True)
    write_context(config, "ssh", "ssh://me@there")
    plain, tls, believing, ssh = (
        find(Wanted(context=name), config, DOCKER_TLS_VERIFY="1")
        for name in ("plain", "tls", "believing", "ssh")
    )
    assert isinstance(plain, TcpAddress)
    assert (str(plain), plain.tls) == ("tcp://there:1", None)
    assert isinstance(tls, TcpAddress)
    assert str(tls) == "tcp://there:2376"
    assert tls.tls is not None
    assert tls.tls.verify
    assert tls.tls.key.endswith("/docker/key.pem")
    assert isinstance(believing, TcpAddress)
    assert believing.tls is not None
    assert (believing.tls.verify, believing.tls.ca) == (False, "")
    assert isinstance(ssh, SshAddress)


@pytest.mark.parametrize(
    ("wanted", "environment", "verify"),
    [
        (Wanted(), {}, None),
        (Wanted(tls=True), {}, False),
        (Wanted(tlsverify=True), {}, True),
        (Wanted(tlsverify=False), {"DOCKER_TLS_VERIFY": "1"}, False),
        (Wanted(tls=False), {}, None),
        (Wanted(), {"DOCKER_TLS_VERIFY": "0"}, True),
        (Wanted(), {"DOCKER_TLS_VERIFY": ""}, None),
        (Wanted(), {"DOCKER_TLS": "1"}, False),
    ],
)
def test_who_asks_for_tls(
    wanted: Wanted, environment: dict[str, str], verify: bool | None, config: Path
) -> None:
    address = find(wanted, config, DOCKER_HOST="tcp://h", **environment)
    assert isinstance(address, TcpAddress)
    assert (address.tls and address.tls.verify) == verify
    assert address.port == (2375 if verify is None else 2376)


def test_where_certificates_are(config: Path, tmp_path: Path) -> None:
    (config / "cert.pem").write_text("")
    wanted = Wanted("tcp://h", tlsverify=True, tlskey="/k")
    address = find(wanted, config)
    assert isinstance(address, TcpAddress)
    assert address.tls is not None
    found = (address.tls.ca, address.tls.cert, address.tls.key)
    assert found == (f"{config}/ca.pem", f"{config}/cert.pem", "/k")
    address = find(wanted, config, DOCKER_CERT_PATH="/certs")
    assert isinstance(address, TcpAddress)
    assert address.tls is not None
    assert (address.tls.ca, address.tls.cert) == ("/certs/ca.pem", "")


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("tcp://1.2.3.4:5", "1.2.3.4", 5),
        ("tcp://", "127.0.0.1", 2375),
        ("tcp://h/", "h", 2375),
        ("h:1", "h", 1),
        (":1", "127.0.0.1", 1),
        ("tcp://[::1]:7", "::1", 7),
        ("tcp://[::1]", "::1", 2375),
    ],
)
def test_tcp(host: str, name: str, port: int) -> None:
    address = find_address(host, {})
    assert isinstance(address, TcpAddress)
    assert (address.name, address.port) == (name, port)
    again = find_address(str(address), {})
    assert str(again) == str(address)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("ssh://h", ["--", "h"]),
        ("ssh://me@h:22", ["-l", "me", "-p", "22", "--", "h"]),
        ("ssh://[::1]:22", ["-p", "22", "--", "::1"]),
    ],
)
def test_ssh(host: str, words: list[str]) -> None:
    address = find_address(host, {})
    assert isinstance(address, SshAddress)
    assert str(address) == host
    *command, there = address.command()
    assert command == ["ssh", "-o", "ConnectTimeout=30", "-T", *words]
    assert there.endswith(" sh system dial-stdio")


def test_a_socket_over_there_is_quoted() -> None:
    address = find_address("ssh://h/a b'c.sock", {})
    assert isinstance(address, SshAddress)
    assert address.command()[-1].endswith(r"sh --host 'unix:///a b'\''c.sock' system dial-stdio")


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("tcp://h:x", "expected a host"),
        ("tcp://h:70000", "expected a host"),
        ("tcp://h:1/path", "expected a host"),
        ("ssh://", r"expected ssh://"),
        ("ssh://me:secret@h", "plain-text password is not supported"),
        ("ssh://-oProxyCommand=x", r"expected ssh://"),
        ("ssh://-l@h", r"expected ssh://"),
        ("ssh://h/s?x", "nothing to say behind the path"),
    ],
)
def test_addresses_that_are_none(host: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        find_address(host, {})


def test_a_unix_socket_needs_no_certificates(config: Path) -> None:
    address = find(Wanted("unix:///d"), config, DOCKER_TLS_VERIFY="1")
    assert isinstance(address, UnixAddress)
