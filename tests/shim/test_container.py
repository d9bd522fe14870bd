"""A container's process on the real kernel: isolated, limited, and with a true end."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from bundles import Yard

from wherry.errdefs import EngineError
from wherry.linux.mounts import OverlayRoot
from wherry.shim.runtime import StartError

pytestmark = pytest.mark.root


async def test_it_is_alone(yard: Yard) -> None:
    ran = await yard.run(
        "sh", "-c", "hostname; echo $$; ls /proc | grep -c '^[0-9]'; ls /sys/class/net"
    )
    hostname, pid, processes, *links = ran.output.split()
    assert (hostname, pid, links) == ("harbour", "1", ["lo"])
    assert int(processes) <= 4
    assert ran.exit.code == 0


async def test_loopback_is_up_in_a_network_of_its_own(yard: Yard) -> None:
    ran = await yard.run("ip", "address", "show", "lo")
    assert "127.0.0.1/8" in ran.output
    assert "UP" in ran.output


async def test_no_descriptor_of_the_host_leaks(yard: Yard) -> None:
    ran = await yard.run("ls", "/proc/1/fd")
    # The fourth is the directory that ls itself reads.
    assert ran.output.split() == ["0", "1", "2", "3"]


async def test_every_mount_it_sees_is_its_own(yard: Yard) -> None:
    ran = await yard.run("cat", "/proc/self/mountinfo")
    assert str(yard.base) not in ran.output
    points = [line.split()[4] for line in ran.output.splitlines()]
    assert points[0] == "/"
    assert "/proc" in points
    assert all(p == "/" or p.split("/")[1] in ("proc", "dev", "sys") for p in points), points


async def test_its_cgroup_is_its_root(yard: Yard) -> None:
    ran = await yard.run("cat", "/proc/self/cgroup")
    assert {line.rpartition(":")[2] for line in ran.output.splitlines()} == {"/"}


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
async def test_exit_codes_are_true(yard: Yard, script: str, code: int) -> None:
    # In a shell below the first: process 1 ignores signals that it has no handler for.
    ran = await yard.run("sh", "-c", f"sh -c '{script}'; exit $?")
    assert ran.exit.code == code


async def test_a_kill_is_the_exit_code(yard: Yard) -> None:
    running = await yard.start(yard.spec("sleep", "1000"))
    await running.task.kill(signal.SIGKILL)
    assert (await running.task.wait()).code == 137


@pytest.mark.parametrize(
    ("program", "code", "words"),
    [
        ("nosuch", 127, "executable file not found in $PATH"),
        ("/nosuch", 127, "no such file or directory"),
        ("/etc/passwd", 126, "permission denied"),
        ("/tmp", 126, "is a directory"),
    ],
)
async def test_a_program_that_cannot_run_leaves_nothing(
    yard: Yard, program: str, code: int, words: str
) -> None:
    spec = yard.spec(program)
    with pytest.raises(StartError) as caught:
        await yard.start(spec)
    assert caught.value.exit_code == code
    assert words in caught.value.message
    container_id = Path(spec["linux"]["cgroupsPath"]).name
    assert not yard.runtime.run_dir(container_id).exists()
    assert not any(Path(p).exists() for p in _groups(spec["linux"]["cgroupsPath"]))


def _groups(path: str) -> list[str]:
    return [f"/sys/fs/cgroup/{tree}{path}" for tree in ("memory", "pids", "")]


async def test_a_binary_of_another_kind_says_so(yard: Yard) -> None:
    spec = yard.spec("/odd")
    bundle, _ = yard.bundle(spec, Path(spec["linux"]["cgroupsPath"]).name)
    (bundle / "upper/odd").write_bytes(b"\x7fELF nonsense")
    (bundle / "upper/odd").chmod(0o755)
    with pytest.raises(StartError, match="exec format error"):
        await yard.start(spec)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("bob", "uid=1000(bob) gid=1000(bob) groups=10(wheel),1000(bob)"),
        ("1000", "uid=1000(bob) gid=1000(bob) groups=10(wheel),1000(bob)"),
        ("bob:audio", "uid=1000(bob) gid=29(audio) groups=29(audio)"),
        ("4711:4712", "uid=4711 gid=4712 groups=4712"),
        ("4711", "uid=4711 gid=0(root) groups=0(root)"),
    ],
)
async def test_users_are_found_in_the_image(yard: Yard, user: str, expected: str) -> None:
    spec = yard.spec("id")
    spec["process"]["user"] = {"username": user}
    assert (await yard.run(spec=spec)).output.strip() == expected


async def test_an_unknown_user_is_named(yard: Yard) -> None:
    spec = yard.spec("id")
    spec["process"]["user"] = {"username": "nobody-here"}
    with pytest.raises(EngineError, match="unable to find user nobody-here: no matching entries"):
        await yard.start(spec)


async def test_capabilities_and_no_new_privileges(yard: Yard) -> None:
    spec = yard.spec("grep", "-E", "Cap|NoNewPrivs", "/proc/self/status")
    only = ["CAP_CHOWN"]
    spec["process"]["capabilities"] = {"bounding": only, "effective": only, "permitted": only}
    spec["process"]["noNewPrivileges"] = True
    fields = dict(line.split(":\t") for line in (await yard.run(spec=spec)).output.splitlines())
    assert fields["NoNewPrivs"] == "1"
    assert {fields[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {"0000000000000001"}
    assert {fields[name] for name in ("CapInh", "CapAmb")} == {"0" * 16}


async def test_an_ordinary_user_holds_no_capability(yard: Yard) -> None:
    spec = yard.spec("grep", "CapEff", "/proc/self/status")
    spec["process"]["user"] = {"username": "bob"}
    assert (await yard.run(spec=spec)).output.split() == ["CapEff:", "0" * 16]


async def test_seccomp_denies(yard: Yard) -> None:
    spec = yard.spec("sh", "-c", "mkdir /tmp/x; rmdir /tmp/x; echo $?")
    rule = {"names": ["rmdir", "unlinkat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}
    spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    ran = await yard.run(spec=spec)
    assert "Permission denied" in ran.errors
    assert ran.output == "1\n"


async def test_limits_working_directory_umask_and_environment(yard: Yard) -> None:
    spec = yard.spec("sh", "-c", "ulimit -n; umask; pwd; echo $HOME $A")
    spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456}]
    spec["process"]["cwd"] = "/made/here"
    spec["process"]["user"] = {"username": "bob", "umask": 0o027}
    spec["process"]["env"] += ["A=1", "A=2"]
    assert (await yard.run(spec=spec)).output.split() == [
        "123",
        "0027",
        "/made/here",
        "/home/bob",
        "2",
    ]


async def test_a_limit_beyond_ours_is_refused_by_name(yard: Yard) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spec = yard.spec("true")
    spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": (1 << 31)}]
    if hard < 0 or hard >= 1 << 31:
        pytest.skip("this machine lets everybody open any number of files")
    with pytest.raises(EngineError, match="RLIMIT_NOFILE"):
        await yard.start(spec)


async def test_sysctls_are_of_its_namespaces(yard: Yard) -> None:
    spec = yard.spec("cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start")
    spec["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "17"}
    assert (await yard.run(spec=spec)).output == "17\n"
    spec = yard.spec("true")
    spec["linux"]["sysctl"] = {"net.ipv4.no_such": "1"}
    with pytest.raises(EngineError, match=r"sysctl net.ipv4.no_such=1: No such file"):
        await yard.start(spec)


async def test_masked_and_read_only_paths(yard: Yard) -> None:
    ran = await yard.run(
        "sh", "-c", "wc -c < /proc/keys; ls /sys/firmware; echo 1 > /proc/sys/vm/swappiness"
    )
    assert ran.output == "0\n"
    assert "Read-only file system" in ran.errors


async def test_a_read_only_root_with_a_writable_tmpfs(yard: Yard) -> None:
    spec = yard.spec("sh", "-c", "touch /x; touch /tmp/y && ls /tmp")
    spec["root"]["readonly"] = True
    spec["mounts"].append(
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": []}
    )
    ran = await yard.run(spec=spec)
    assert "Read-only file system" in ran.errors
    assert ran.output == "y\n"


async def test_bind_mounts_of_files_and_directories(yard: Yard) -> None:
    source = yard.base / "source"
    source.mkdir()
    (source / "f").write_text("hello\n")
    spec = yard.spec("sh", "-c", "cat /a/f /b; touch /a/new; echo no > /b")
    spec["mounts"] += [
        {"destination": "/a", "type": "bind", "source": str(source), "options": ["rbind"]},
        {
            "destination": "/b",
            "type": "bind",
            "source": str(source / "f"),
            "options": ["bind", "ro"],
        },
    ]
    ran = await yard.run(spec=spec)
    assert ran.output == "hello\nhello\n"
    assert (source / "new").exists()
    assert "Read-only file system" in ran.errors
    assert (source / "f").read_text() == "hello\n"


async def test_a_missing_source_is_named(yard: Yard) -> None:
    spec = yard.spec("true")
    spec["mounts"].append(
        {"destination": "/a", "type": "bind", "source": "/no/such", "options": ["bind"]}
    )
    with pytest.raises(EngineError, match=r'mounting /no/such \(bind\) at "/a": no such file'):
        await yard.start(spec)


async def test_a_symlink_of_the_image_does_not_lead_a_mount_out(yard: Yard) -> None:
    victim = yard.base / "victim"
    victim.mkdir()
    spec = yard.spec("sh", "-c", "ls -a /escape/ /escape" + str(victim))
    bundle, _ = yard.bundle(spec, Path(spec["linux"]["cgroupsPath"]).name)
    os.symlink("/", bundle / "upper/escape")
    mount = {"destination": f"/escape{victim}", "type": "tmpfs", "source": "t", "options": []}
    spec["mounts"].append(mount)
    ran = await yard.run(spec=spec)
    # The link meant the container's own root: the directory was made in there.
    assert (bundle / "upper" / str(victim)[1:]).is_dir()
    assert ran.exit.code == 0


async def test_a_symlinked_proc_is_refused(yard: Yard) -> None:
    spec = yard.spec("true")
    bundle, _ = yard.bundle(spec, Path(spec["linux"]["cgroupsPath"]).name)
    os.symlink("/tmp", bundle / "upper/proc")
    with pytest.raises(EngineError, match=r'at "/proc": the image has a symlink there'):
        await yard.start(spec)


async def test_limits_are_in_the_kernel(yard: Yard) -> None:
    spec = yard.spec("sleep", "1000")
    spec["linux"]["resources"] = {"memory": {"limit": 64 << 20}, "pids": {"limit": 17}}
    running = await yard.start(spec)
    path = spec["linux"]["cgroupsPath"]
    base = Path("/sys/fs/cgroup")
    if (base / "memory").is_dir():
        assert (base / f"memory{path}/memory.limit_in_bytes").read_text() == f"{64 << 20}\n"
        assert (base / f"pids{path}/pids.max").read_text() == "17\n"
    else:
        assert (base / path[1:] / "memory.max").read_text() == f"{64 << 20}\n"
        assert (base / path[1:] / "pids.max").read_text() == "17\n"
    await running.task.kill(signal.SIGKILL)
    await running.task.wait()


async def test_an_out_of_memory_kill_is_told(yard: Yard) -> None:
    spec = yard.spec("sh", "-c", "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo survived")
    spec["linux"]["resources"] = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    ran = await yard.run(spec=spec)
    assert ran.exit.oom_killed
    assert ran.exit.code == 137
    assert "survived" not in ran.output


async def test_devices_beyond_the_rules_cannot_be_opened(yard: Yard) -> None:
    spec = yard.spec(
        "sh", "-c", "mknod /dev/disk b 254 0 && head -c 1 /dev/disk; head -c 3 /dev/zero | wc -c"
    )
    deny = {"allow": False, "access": "rwm"}
    null = {"allow": True, "type": "c", "major": 1, "access": "rwm"}
    make = [{"allow": True, "type": kind, "access": "m"} for kind in "cb"]
    spec["linux"]["resources"] = {"devices": [deny, null, *make]}
    ran = await yard.run(spec=spec)
    assert "Operation not permitted" in ran.errors
    assert ran.output == "3\n"


async def test_a_user_namespace(passable_yard: Yard) -> None:
    spec = passable_yard.spec("sh", "-c", "id -u; cat /proc/self/uid_map")
    spec["linux"]["namespaces"].append({"type": "user"})
    for kind in ("uidMappings", "gidMappings"):
        spec["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    ran = await passable_yard.run(spec=spec)
    assert ran.output.split() == ["0", "0", "100000", "65536"]


async def test_joining_the_namespaces_of_another(yard: Yard) -> None:
    first = await yard.start(yard.spec("sh", "-c", "echo up; sleep 1000"))
    await first.read_until(b"up")
    spec = yard.spec("sh", "-c", "ps | grep -c 'sleep 1000'; readlink /proc/self/ns/net")
    for namespace in spec["linux"]["namespaces"]:
        if namespace["type"] in ("pid", "network"):
            name = {"network": "net"}.get(namespace["type"], namespace["type"])
            namespace["path"] = f"/proc/{first.task.pid}/ns/{name}"
    ran = await yard.run(spec=spec)
    seen, network = ran.output.split()
    assert int(seen) >= 1
    assert network == os.readlink(f"/proc/{first.task.pid}/ns/net")
    await first.task.kill(signal.SIGKILL)
    await first.task.wait()


def with_layers(yard: Yard, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let containers have 490 layers more, with paths below `folder`."""
    plain = yard.bundle
    layers = tuple(str(folder / f"{number:064}") for number in range(490))

    def bundle(spec: dict, container_id: str) -> tuple[Path, OverlayRoot]:
        made, root = plain(spec, container_id)
        return made, replace(root, lower=(*layers, *root.lower))

    monkeypatch.setattr(yard, "bundle", bundle)


async def test_as_many_layers_as_an_image_may_have(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("long" * 40)
    with_layers(yard, folder, monkeypatch)
    for number in range(490):
        (folder / f"{number:064}").mkdir(parents=True)
    ran = await yard.run("echo", "hi")
    assert ran.output == "hi\n"


async def test_paths_that_are_too_long_for_a_message_are_refused(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_layers(yard, tmp_path / ("long" * 100), monkeypatch)
    with pytest.raises(EngineError, match="a data root of a shorter path"):
        await yard.run("true")


async def test_the_log_has_dockers_form(yard: Yard) -> None:
    ran = await yard.run("sh", "-c", "echo out; echo err >&2; printf tail")
    entries = [json.loads(line) for line in ran.log.splitlines()]
    assert {(e["stream"], e["log"]) for e in entries} == {
        ("stdout", "out\n"), ("stderr", "err\n"), ("stdout", "tail"),
    }  # fmt: skip
    assert all(e["time"].endswith("Z") for e in entries)
