"""The OCI runtime spec: as dockerd makes it, and where Wherry's differs on purpose."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from wherry import errdefs
from wherry.engine.host import Host
from wherry.engine.model import ContainerConfig, DeviceMapping, HostConfig
from wherry.engine.runtime_spec import build, mounts, namespaces
from wherry.engine.runtime_spec.build import Plan
from wherry.errdefs import EngineError, Kind
from wherry.spec.runtime import Spec

ID = "b4536a948dc5" + "0" * 52
FOLDER = f"/data/containers/{ID}"
FILES = [
    ("/etc/resolv.conf", f"{FOLDER}/resolv.conf"),
    ("/etc/hostname", f"{FOLDER}/hostname"),
    ("/etc/hosts", f"{FOLDER}/hosts"),
]

# From the config.json that dockerd 20.10 wrote for `run --network none busybox sleep 1000` on
# cgroup v1, without its seccomp section, hooks and root.
DOCKERD = json.loads(
    """
{"process": {"user": {"uid": 0, "gid": 0, "additionalGids": [0]}, "args": ["sleep", "1000"],
 "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  "HOSTNAME=b4536a948dc5"], "cwd": "/",
 "capabilities": {
  "bounding": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD",
   "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
   "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"]},
 "oomScoreAdj": 0},
 "hostname": "b4536a948dc5",
 "mounts": [
  {"destination": "/proc", "type": "proc", "source": "proc",
   "options": ["nosuid", "noexec", "nodev"]},
  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
   "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
  {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
   "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
  {"destination": "/sys", "type": "sysfs", "source": "sysfs",
   "options": ["nosuid", "noexec", "nodev", "ro"]},
  {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
   "options": ["ro", "nosuid", "noexec", "nodev"]},
  {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
   "options": ["nosuid", "noexec", "nodev"]},
  {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
   "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]},
  {"destination": "/etc/resolv.conf", "type": "bind", "source": "FOLDER/resolv.conf",
   "options": ["rbind", "rprivate"]},
  {"destination": "/etc/hostname", "type": "bind", "source": "FOLDER/hostname",
   "options": ["rbind", "rprivate"]},
  {"destination": "/etc/hosts", "type": "bind", "source": "FOLDER/hosts",
   "options": ["rbind", "rprivate"]}],
 "linux": {
  "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0",
   "net.ipv4.ping_group_range": "0 2147483647"},
  "namespaces": [{"type": "mount"}, {"type": "network"}, {"type": "uts"}, {"type": "pid"},
   {"type": "ipc"}],
  "maskedPaths": ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys",
   "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
   "/proc/scsi", "/sys/firmware"],
  "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]}}
""".replace("FOLDER", FOLDER)
)


def refuse_joining(container: str, kind: str) -> str:
    raise AssertionError(f"nobody joins the {kind} of {container} here")


def spec(
    config: ContainerConfig | None = None,
    namespace_of: Callable[[str, str], str] = refuse_joining,
    host: Host | None = None,
    **host_config: object,
) -> Spec:
    settled = HostConfig(
        **{
            "network_mode": "none",
            "cgroupns_mode": "host",
            "ipc_mode": "private",
            "shm_size": 64 * 1024 * 1024,
            **host_config,
        }
    )
    plan = Plan(
        id=ID,
        config=config or ContainerConfig(cmd=["sleep", "1000"]),
        host_config=settled,
        host=host or Host(),
        hostname=ID[:12],
        planned=mounts.plan(settled),
        files=FILES,
    )
    return build.build(plan, namespace_of)


def by_destination(made: Spec) -> dict[str, object]:
    return {mount["destination"]: mount for mount in made["mounts"]}


def kinds(made: Spec) -> dict[str, str]:
    return {each["type"]: each.get("path", "") for each in made["linux"]["namespaces"]}


def test_a_plain_container_is_dockerds() -> None:
    made = spec()
    assert by_destination(made) == {mount["destination"]: mount for mount in DOCKERD["mounts"]}
    assert kinds(made) == {each["type"]: "" for each in DOCKERD["linux"]["namespaces"]}
    for section in ("sysctl", "readonlyPaths"):
        assert made["linux"][section] == DOCKERD["linux"][section]
    assert set(made["linux"]["maskedPaths"]) >= set(DOCKERD["linux"]["maskedPaths"])
    assert made["hostname"] == DOCKERD["hostname"]
    for key in ("args", "env", "cwd", "oomScoreAdj"):
        assert made["process"][key] == DOCKERD["process"][key]
    bounding = DOCKERD["process"]["capabilities"]["bounding"]
    for name in ("bounding", "effective", "permitted"):
        assert made["process"]["capabilities"][name] == bounding
    # The user is resolved in the container's own root.
    assert made["process"]["user"] == {"username": ""}
    assert made["linux"]["cgroupsPath"] == f"/wherry/{ID}"


def test_the_file_is_json_with_everything_in_it() -> None:
    made = spec()
    assert json.loads(build.encode(made)) == json.loads(json.dumps(made))
    assert made["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"


def test_mounts_come_after_those_they_lie_in(tmp_path: Path) -> None:
    made = spec(binds=[f"{tmp_path}:/a/b/c", f"{tmp_path}:/a"], tmpfs={"/a/b": "size=1m"})
    order = [mount["destination"] for mount in made["mounts"]]
    for deeper, shallower in (("/a/b/c", "/a/b"), ("/a/b", "/a"), ("/dev/shm", "/dev")):
        assert order.index(shallower) < order.index(deeper)


def test_a_clients_mount_takes_the_place_of_a_system_one(tmp_path: Path) -> None:
    made = by_destination(spec(binds=[f"{tmp_path}:/etc/hosts", f"{tmp_path}:/dev"]))
    assert made["/etc/hosts"]["source"] == str(tmp_path)
    assert made["/dev"]["source"] == str(tmp_path)
    assert not [path for path in made if path.startswith("/dev/")]


def test_privileged() -> None:
    made = spec(privileged=True)
    assert len(made["process"]["capabilities"]["bounding"]) > 30
    assert "seccomp" not in made["linux"]
    assert made["linux"]["maskedPaths"] == made["linux"]["readonlyPaths"] == []
    assert made["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "/dev/null" in {device["path"] for device in made["linux"]["devices"]}
    assert not [d for d in made["linux"]["devices"] if d["path"].startswith("/dev/pts/")]
    for path in ("/sys", "/sys/fs/cgroup"):
        assert "ro" not in by_destination(made)[path]["options"]


def test_no_capability_that_the_daemon_has_not() -> None:
    poor = Host(capabilities=1)
    assert spec(privileged=True, host=poor)["process"]["capabilities"]["bounding"] == ["CAP_CHOWN"]


@pytest.mark.parametrize(
    ("options", "none", "extra"),
    [
        ({"network_mode": "host"}, {"network"}, {}),
        ({"pid_mode": "host"}, {"pid"}, {}),
        ({"ipc_mode": "host"}, {"ipc"}, {}),
        ({"uts_mode": "host"}, {"uts"}, {}),
        ({"cgroupns_mode": "private"}, set(), {"cgroup": ""}),
        ({"network_mode": "container:c1"}, set(), {"network": "/ns/c1/net"}),
        ({"pid_mode": "container:c1"}, set(), {"pid": "/ns/c1/pid"}),
    ],
)
def test_namespaces(options: dict[str, str], none: set[str], extra: dict[str, str]) -> None:
    made = spec(namespace_of=lambda container, kind: f"/ns/{container}/{kind}", **options)
    own = dict.fromkeys(("mount", "network", "uts", "pid", "ipc"), "")
    assert kinds(made) == {k: v for k, v in {**own, **extra}.items() if k not in none}
    assert ("hostname" in made) == (options.get("uts_mode") != "host")


def test_the_hosts_network_has_no_sysctls_of_its_own() -> None:
    assert spec(network_mode="host")["linux"]["sysctl"] == {}


def test_shared_memory_by_ipc_mode() -> None:
    assert by_destination(spec(ipc_mode="host"))["/dev/shm"]["source"] == "/dev/shm"
    assert "/dev/shm" not in by_destination(spec(ipc_mode="none"))
    assert "size=123" in by_destination(spec(shm_size=123))["/dev/shm"]["options"]


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"pid_mode": "nobody"}, Kind.INVALID_ARGUMENT, "invalid PID mode: nobody"),
        ({"pid_mode": "container:"}, Kind.INVALID_ARGUMENT, "invalid PID mode"),
        ({"ipc_mode": "x"}, Kind.INVALID_ARGUMENT, "invalid IPC mode"),
        ({"ipc_mode": "container:a"}, Kind.NOT_IMPLEMENTED, "IPC mode container:a"),
        ({"ipc_mode": "shareable"}, Kind.NOT_IMPLEMENTED, "IPC mode shareable"),
        ({"uts_mode": "container:a"}, Kind.INVALID_ARGUMENT, "invalid UTS mode"),
        ({"userns_mode": "remap"}, Kind.INVALID_ARGUMENT, "invalid userns mode"),
        ({"cgroupns_mode": "other"}, Kind.INVALID_ARGUMENT, "invalid cgroup namespace mode"),
    ],
)
def test_modes_that_cannot_be(options: dict[str, str], kind: Kind, message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        namespaces.check(HostConfig(**options))
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("sysctls", "options", "allowed"),
    [
        ({"net.core.somaxconn": "1"}, {"network_mode": "none"}, True),
        ({"net.core.somaxconn": "1"}, {"network_mode": "host"}, False),
        ({"kernel.msgmax": "1"}, {}, True),
        ({"kernel.msgmax": "1"}, {"ipc_mode": "host"}, False),
        ({"fs.mqueue.msg_max": "1"}, {}, True),
        ({"kernel.panic": "1"}, {}, False),
        ({"vm.swappiness": "1"}, {}, False),
        ({"net/../kernel.panic": "1"}, {}, False),
        ({"net.../../kernel/panic": "1"}, {}, False),
    ],
)
def test_sysctls(sysctls: dict[str, str], options: dict[str, str], allowed: bool) -> None:
    config = HostConfig(sysctls=sysctls, **options)
    if allowed:
        namespaces.check_sysctls(config)
        assert namespaces.sysctls(config).items() >= sysctls.items()
    else:
        with pytest.raises(EngineError, match="sysctl"):
            namespaces.check_sysctls(config)


def test_the_process() -> None:
    config = ContainerConfig(
        entrypoint=["/entry"],
        cmd=["a"],
        tty=True,
        user="app:wheel",
        working_dir="/srv",
        env=["A=1", "PATH=/mine", "GONE"],
        domainname="example.org",
    )
    made = spec(
        config,
        console_size=(24, 80),
        group_add=["wheel", "7"],
        oom_score_adj=5,
        security_opt=["no-new-privileges"],
        readonly_rootfs=True,
        annotations={"a": "b"},
    )
    process = made["process"]
    assert process["args"] == ["/entry", "a"]
    assert process["env"] == ["PATH=/mine", f"HOSTNAME={ID[:12]}", "TERM=xterm", "A=1"]
    assert process["consoleSize"] == {"height": 24, "width": 80}
    assert process["user"] == {"username": "app:wheel", "additionalGroups": ["wheel", "7"]}
    assert process["terminal"]
    assert process["noNewPrivileges"]
    assert process["oomScoreAdj"] == 5
    assert process["cwd"] == "/srv"
    assert made["root"]["readonly"]
    assert made["domainname"] == "example.org"
    assert made["annotations"] == {"a": "b"}


def test_capabilities_are_added_and_dropped() -> None:
    bounding = spec(cap_add=["NET_ADMIN"], cap_drop=["CAP_MKNOD"])["process"]["capabilities"]
    assert "CAP_NET_ADMIN" in bounding["bounding"]
    assert "CAP_MKNOD" not in bounding["bounding"]


PROFILE = (
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}]}'
)


def test_seccomp_profiles() -> None:
    assert "seccomp" not in spec(security_opt=["seccomp=unconfined"])["linux"]
    assert spec(security_opt=["seccomp=builtin"])["linux"] == spec()["linux"]
    own = spec(security_opt=[f"seccomp={PROFILE}"])["linux"]["seccomp"]
    assert own["defaultAction"] == "SCMP_ACT_ALLOW"
    also = spec(privileged=True, security_opt=[f"seccomp={PROFILE}"])["linux"]["seccomp"]
    assert also == own


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("apparmor=unconfined", None),
        ("label=disable", None),
        ("label:disable", None),
        ("no-new-privileges:true", None),
        ("no-new-privileges=false", None),
        ("apparmor=mine", Kind.NOT_IMPLEMENTED),
        ("label=type:t", Kind.NOT_IMPLEMENTED),
        ("seccomp={", Kind.INVALID_ARGUMENT),
        ("seccomp", Kind.INVALID_ARGUMENT),
        ("no-new-privileges=maybe", Kind.INVALID_ARGUMENT),
        ("writable-cgroups=true", Kind.INVALID_ARGUMENT),
    ],
)
def test_security_options(option: str, kind: Kind | None) -> None:
    if kind is None:
        spec(security_opt=[option])
        return
    with pytest.raises(EngineError) as caught:
        spec(security_opt=[option])
    assert caught.value.kind is kind


def test_what_confines_by_itself_is_not_said_to_be_off() -> None:
    with pytest.raises(EngineError, match="AppArmor is not supported"):
        spec(security_opt=["apparmor=unconfined"], host=Host(apparmor=True))


def test_devices() -> None:
    made = spec(
        devices=[
            DeviceMapping(
                path_on_host="/dev/null", path_in_container="/dev/void", cgroup_permissions="r"
            )
        ],
        device_cgroup_rules=["c 7:* rw"],
    )
    (device,) = made["linux"]["devices"]
    assert (device["path"], device["major"], device["minor"]) == ("/dev/void", 1, 3)
    rules = made["linux"]["resources"]["devices"]
    assert rules[0] == {"allow": False, "access": "rwm"}
    assert rules[-2] == {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}
    assert rules[-1] == {"allow": True, "type": "c", "major": 7, "minor": -1, "access": "rw"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"devices": [DeviceMapping(path_on_host="/dev/nothing-there")]},
            'adding custom device "/dev/nothing-there": no such file or directory',
        ),
        ({"devices": [DeviceMapping(path_on_host="/etc/passwd")]}, "not a device node"),
        (
            {"devices": [DeviceMapping(path_on_host="/dev/null", cgroup_permissions="x")]},
            "invalid device mode: x",
        ),
        ({"device_cgroup_rules": ["c 1 rw"]}, "invalid device cgroup rule format: 'c 1 rw'"),
        ({"cgroup_parent": "/a/../../b"}, "cgroup parent"),
    ],
)
def test_what_cannot_be_made(options: dict[str, object], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        spec(**options)


def test_masked_and_read_only_paths_can_be_chosen() -> None:
    made = spec(masked_paths=[], readonly_paths=["/proc/x"])["linux"]
    assert (made["maskedPaths"], made["readonlyPaths"]) == ([], ["/proc/x"])


def test_a_joined_container_must_run() -> None:
    def nobody(container: str, kind: str) -> str:
        raise errdefs.conflict(f"cannot join {kind} of {container}")

    with pytest.raises(EngineError, match="cannot join net of c1"):
        spec(namespace_of=nobody, network_mode="container:c1")
