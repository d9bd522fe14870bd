"""What no start could do is refused at the creation, by its name, and leaves nothing."""

import json
from pathlib import Path

import pytest

from wherry.api.decoding import decode
from wherry.engine.host import Host
from wherry.engine.model import CreateRequest
from wherry.errdefs import EngineError, Kind

UNKNOWN_ACTION = {"defaultAction": "SCMP_ACT_DANCE", "syscalls": []}
LONG = "/" + "n" * 256


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"CpuShares": -1}, "invalid CPU shares (-1)"),
        ({"CpuQuota": 1 << 44}, "CPU cfs quota can not be larger"),
        ({"PidsLimit": 1 << 40}, "PidsLimit 1099511627776"),
        ({"CpusetCpus": "1_0"}, "Invalid value 1_0 for cpuset cpus"),
        ({"DeviceCgroupRules": ["c 4294967296:0 rwm"]}, "'c 4294967296:0 rwm': a device's number"),
        ({"DeviceCgroupRules": [f"c {'9' * 5000}:0 r"]}, "invalid device cgroup rule format"),
        ({"Binds": [f"{LONG}:/a"]}, "bind source '/nnn"),
        ({"Binds": [f"/tmp:{LONG}"]}, "mount destination '/nnn"),
        ({"Binds": ["/dev/null/x:/a"]}, "creating mount source path '/dev/null/x': mkdir /dev/nul"),
        ({"CgroupParent": "a\nb"}, "cgroup parent 'a\\nb'"),
        ({"CgroupParent": LONG}, "cgroup parent '/nnn"),
        ({"CgroupParent": "a/../.."}, "it must not climb upwards"),
        ({"MaskedPaths": [LONG]}, "masked or read-only path '/nnn"),
        ({"ReadonlyPaths": ["/x/" * 2000]}, "masked or read-only path '/x/"),
        ({"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/"}]}, "'/dev/'"),
        ({"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/a/../b"}]}, "'/a/../b'"),
        ({"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": LONG}]}, "device '/nnn"),
        ({"LogConfig": {"Config": {"max-size": "9" * 400}}}, "log opt max-size=999"),
        ({"LogConfig": {"Config": {"max-size": "9999p"}}}, "log opt max-size=9999p"),
        ({"ExtraHosts": ["a:fe80::1%x\n1.2.3.4 b"]}, "invalid IP address in add-host"),
        ({"Dns": ["fe80::1%x\ny"]}, "invalid nameserver address"),
        ({"SecurityOpt": ["seccomp=" + json.dumps(UNKNOWN_ACTION)]}, "SCMP_ACT_DANCE"),
        ({"SecurityOpt": ["seccomp=" + "[" * 100_000]}, "seccomp profile: "),
        (
            {
                "SecurityOpt": [
                    'seccomp={"syscalls":[{"action":"x","includes":{"minKernel":"%s.1"}}]}'
                    % ("9" * 5000)
                ]
            },
            "minKernel",
        ),
    ],
)
async def test_settings_of_the_host(house, asked: dict[str, object], message: str) -> None:
    await refused(house, {"HostConfig": asked}, message)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"StopSignal": "RTMIN+" + "9" * 5000}, "Invalid signal: RTMIN+999"),
        ({"ExposedPorts": {"99999/tcp": {}}}, 'invalid port specification: "99999/tcp"'),
        ({"ExposedPorts": {"9-8/tcp": {}}}, 'invalid port specification: "9-8/tcp"'),
        ({"ExposedPorts": {"\u0661/tcp": {}}}, "invalid port specification"),
    ],
)
async def test_settings_of_the_program(house, asked: dict[str, object], message: str) -> None:
    await refused(house, asked, message)


async def refused(house, asked: dict[str, object], message: str) -> None:
    body = json.dumps({"Image": "busybox", "Cmd": ["true"], **asked}).encode()
    with pytest.raises(EngineError) as caught:
        await house.containers.create("web", decode(body, CreateRequest), None)
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    assert message in caught.value.message
    assert house.snapshots.keys() == []
    assert house.containers.roster.reserve("web", "x") == "web"


WITHOUT_RESOURCE = Host(capabilities=Host().capabilities & ~(1 << 24))


async def test_a_capability_that_the_daemon_lacks_is_not_given_in_silence(house) -> None:
    house.stores.host = WITHOUT_RESOURCE
    for name in ("SYS_RESOURCE", "cap_sys_resource"):
        await refused(house, {"HostConfig": {"CapAdd": [name]}}, "CAP_SYS_RESOURCE: this daemon")
        house.containers.roster.release("web", "x")


@pytest.mark.parametrize("asked", [{"Privileged": True}, {"CapAdd": ["ALL"]}])
async def test_all_are_as_many_as_there_are(house, asked: dict[str, object]) -> None:
    house.stores.host = WITHOUT_RESOURCE
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": asked}
    request = decode(json.dumps(body).encode(), CreateRequest)
    created = await house.containers.create(None, request, None)
    assert any("CAP_SYS_RESOURCE" in warning for warning in created.warnings)


async def test_a_bind_whose_source_has_gone_does_not_hide_the_containers(
    house, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    mount = {"Type": "bind", "Source": str(source), "Target": "/a"}
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Mounts": [mount]}}
    request = decode(json.dumps(body).encode(), CreateRequest)
    created = await house.containers.create(None, request, None)
    source.rmdir()
    (row,) = await house.containers.list(True, 0, False, {"volume": ["/a"]})
    assert row.mounts[0].source == str(source)
    assert (await house.containers.inspect(created.id, False)).mounts[0].source == str(source)
    with pytest.raises(EngineError, match="bind source path does not exist") as caught:
        await house.containers.start(created.id)
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    source.mkdir()
    await house.containers.start(created.id)


async def test_a_bug_on_the_way_leaves_nothing(house, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("wherry.engine.networking.Etc.write", break_down)
    request = decode(b'{"Image": "busybox", "Cmd": ["true"]}', CreateRequest)
    with pytest.raises(RuntimeError):
        await house.containers.create("web", request, None)
    assert house.snapshots.keys() == []
    assert list((house.root / "data" / "containers").iterdir()) == []
    assert house.containers.roster.reserve("web", "x") == "web"
