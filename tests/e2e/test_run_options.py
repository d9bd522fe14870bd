"""What `run` is asked for is what the program finds, by both command lines."""

import json
import os
from pathlib import Path

import archives
import pytest
from daemons import Daemon
from programs import Done, Program

pytestmark = pytest.mark.root


def inside(program: Program, script: str, *options: str) -> Done:
    return program.run(
        "run", "--rm", "--network", "none", *options, "box", "sh", "-c", script, seconds=30
    )


def said(program: Program, script: str, *options: str) -> list[str]:
    done = inside(program, script, *options)
    assert done.code == 0, done
    return done.out.splitlines()


def status(lines: list[str]) -> dict[str, str]:
    """/proc/self/status as a dictionary."""
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_who_where_and_with_what(program: Program) -> None:
    options = ["-u", "1000:10", "-w", "/tmp/made", "-h", "harbour", "-e", "A=b c", "-e", "D="]
    lines = said(program, 'id -u; id -g; pwd; hostname; echo "$A|$D|"; echo $HOME', *options)
    assert lines == ["1000", "10", "/tmp/made", "harbour", "b c||", "/home/bob"]


def test_a_user_by_name_has_its_groups(program: Program) -> None:
    (line,) = said(program, "id", "-u", "bob", "--group-add", "audio")
    who, groups = line.split(" groups=")
    assert who == "uid=1000(bob) gid=1000(bob)"
    assert set(groups.split(",")) == {"1000(bob)", "10(wheel)", "29(audio)"}


def test_entrypoint(program: Program) -> None:
    run = ("run", "--rm", "--network", "none")
    assert program.ok(*run, "--entrypoint", "echo", "box", "a", "b") == "a b"
    done = program.run(*run, "--entrypoint", "", "box")
    assert done.code == 125
    assert "no command specified" in done.err.lower()


def test_binds(program: Program, daemon: Daemon, tmp_path: Path) -> None:
    for name in ("rw", "ro"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "there").write_text(f"from {name}\n")
    both = ["-v", f"{tmp_path}/rw:/rw", "-v", f"{tmp_path}/ro:/deep/ro:ro"]
    script = "cat /rw/there /deep/ro/there; echo made > /rw/new; echo no > /deep/ro/new"
    done = inside(program, script, *both)
    assert done.out == "from rw\nfrom ro\n"
    assert "Read-only file system" in done.err
    assert (tmp_path / "rw/new").read_text() == "made\n"
    assert not (tmp_path / "ro/new").exists()
    created = tmp_path / "not/there/yet"
    assert said(program, "ls -a /x", "-v", f"{created}:/x") == [".", ".."]
    assert created.is_dir()


def test_mounts(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one file\n")
    bind = f"type=bind,source={file},target=/etc/some/file,readonly"
    memory = "type=tmpfs,target=/scratch,tmpfs-size=1m,tmpfs-mode=1770"
    script = "cat /etc/some/file; grep ' /scratch ' /proc/mounts; stat -c %a /scratch"
    lines = said(program, script, "--mount", bind, "--mount", memory, "--tmpfs", "/more:size=64k")
    assert lines[0] == "one file"
    assert "size=1024k" in lines[1]
    assert lines[2] == "1770"
    missing = program.run(
        *("run", "--rm", "--network", "none", "--mount"),
        *(f"type=bind,source={tmp_path}/nothing,target=/x", "box", "true"),
    )
    assert missing.code == 125
    assert f"bind source path does not exist: {tmp_path}/nothing" in missing.err


def test_tmpfs_shadows_and_is_gone(program: Program) -> None:
    program.ok(
        *("run", "--name", "shadow", "--network", "none", "--tmpfs", "/root:mode=700", "box"),
        *("sh", "-c", "echo gone > /root/x"),
    )
    assert program.ok("start", "-a", "shadow") == ""
    lines = said(program, "df -k /more | tail -n1", "--tmpfs", "/more:size=64k")
    assert lines[0].split()[1] == "64"


def test_networks(program: Program) -> None:
    script = "cd /sys/class/net; echo *"
    assert said(program, script) == ["lo"]
    host = program.ok("run", "--rm", "--network", "host", "box", "sh", "-c", script)
    assert host.split() == sorted(os.listdir("/sys/class/net"))
    name = program.ok("run", "--rm", "--network", "host", "box", "hostname")
    assert name == os.uname().nodename


def test_a_read_only_root(program: Program) -> None:
    done = inside(program, "touch /x; touch /tmp/x && echo wrote", "--read-only", "--tmpfs", "/tmp")
    assert "Read-only file system" in done.err
    assert done.out == "wrote\n"


DEFAULT_CAPABILITIES = 0xA80425FB


def test_capabilities(program: Program) -> None:
    script = "grep ^Cap /proc/self/status"

    def effective(*options: str) -> int:
        return int(status(said(program, script, *options))["CapEff"], 16)

    assert effective() == DEFAULT_CAPABILITIES
    admin = 1 << 12
    assert effective("--cap-add", "NET_ADMIN") == DEFAULT_CAPABILITIES | admin
    assert effective("--cap-drop", "ALL", "--cap-add", "CAP_NET_ADMIN") == admin
    assert effective("--cap-drop", "ALL", "-u", "bob") == 0
    assert effective("-u", "bob") == 0
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    ours = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if "CapBnd" in line
    )
    assert effective("--privileged") == (1 << (last + 1)) - 1 & int(ours.split()[1], 16)


def test_privileged_sees_devices(program: Program) -> None:
    script = "ls /dev | wc -l; grep -c ' /proc/sys ' /proc/mounts; grep Seccomp: /proc/self/status"
    plain = inside(program, script).out.split()
    privileged = inside(program, script, "--privileged").out.split()
    assert int(privileged[0]) > int(plain[0])
    assert (plain[1], privileged[1]) == ("1", "0")
    assert (plain[3], privileged[3]) == ("2", "0")


def test_security_options(program: Program, tmp_path: Path) -> None:
    script = "grep -E 'Seccomp:|NoNewPrivs' /proc/self/status; mkdir /made && echo made"

    def found(*options: str) -> tuple[str, str, bool]:
        lines = inside(program, script, *(f"--security-opt={option}" for option in options)).out
        values = status(lines.splitlines())
        return values["NoNewPrivs"], values["Seccomp"], "made" in lines

    assert found() == ("0", "2", True)
    assert found("seccomp=unconfined") == ("0", "0", True)
    assert found("no-new-privileges") == ("1", "2", True)
    profile = tmp_path / "profile.json"
    forbid = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [forbid]}))
    assert found(f"seccomp={profile}") == ("0", "2", False)
    done = inside(program, "true", "--security-opt", "seccomp=/no/such/file")
    assert done.code == 125
    assert "/no/such/file" in done.err


def test_limits(program: Program, daemon: Daemon) -> None:
    options = ["--memory", "64m", "--cpus", "0.5", "--pids-limit", "20", "--cpu-shares", "512"]
    program.ok("run", "-d", "--name", "small", "--network", "none", *options, "box", "sleep", "999")
    shown = json.loads(program.ok("inspect", "small"))[0]["HostConfig"]
    assert (shown["Memory"], shown["NanoCpus"], shown["PidsLimit"]) == (64 << 20, 500_000_000, 20)
    groups = [group for group in daemon.picture()["cgroups"] if "/memory/" in group]
    if groups:  # version 1
        memory = Path(groups[0])
        assert (memory / "memory.limit_in_bytes").read_text().strip() == str(64 << 20)
        pids = Path(groups[0].replace("/memory/", "/pids/"))
        assert (pids / "pids.max").read_text().strip() == "20"
        cpu = Path(groups[0].replace("/memory/", "/cpu/"))
        quota = int((cpu / "cpu.cfs_quota_us").read_text())
        assert quota * 2 == int((cpu / "cpu.cfs_period_us").read_text())
    program.ok("rm", "-f", "small")


def test_too_much_memory_ends_it(program: Program) -> None:
    hog = "x=12345678; while :; do x=$x$x; done"
    done = program.run(
        *("run", "--name", "hog", "--network", "none", "--memory", "16m", "--memory-swap", "16m"),
        *("box", "sh", "-c", hog),
    )
    assert done.code == 137
    assert program.ok("inspect", "-f", "{{.State.OOMKilled}}", "hog") == "true"
    program.ok("rm", "hog")


def test_too_many_processes(program: Program) -> None:
    done = inside(program, "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait", "--pids-limit", "5")
    assert "can't fork" in done.err


def test_ulimits_and_sysctls(program: Program) -> None:
    options = [
        "--ulimit",
        "nofile=123:456",
        "--ulimit",
        "core=0",
        "--sysctl",
        "net.core.somaxconn=77",
    ]
    script = "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/sys/net/core/somaxconn"
    assert said(program, script, *options) == ["123", "456", "0", "77"]
    done = inside(program, "true", "--sysctl", "kernel.panic=1")
    assert done.code == 125
    assert "kernel.panic" in done.err


def test_labels(program: Program) -> None:
    program.ok(
        *("create", "--name", "told", "--network", "none", "--label", "a=b", "-l", "c", "box")
    )
    assert json.loads(program.ok("inspect", "told"))[0]["Config"]["Labels"] == {"a": "b", "c": ""}
    assert program.ok("ps", "-aq", "--filter", "label=a=b") != ""
    assert program.ok("ps", "-aq", "--filter", "label=a=c") == ""


def test_what_is_not_done_is_refused_by_name(program: Program, daemon: Daemon) -> None:
    before = daemon.picture()
    for options, name in (
        (["--init"], "Init"),
        (["-v", "named:/x"], "volume"),
        (["-p", "80:80"], "PortBindings"),
        (["--restart", "always"], "Restart"),
        (["--userns", "something"], "UsernsMode|userns"),
    ):
        done = program.run("run", "--network", "none", *options, "box", "true")
        assert done.code == 125, (options, done)
        assert any(one.lower() in done.err.lower() for one in name.split("|")), (options, done)
    done = program.run("run", "--rm", "--network", "nowhere", "box", "true")
    assert done.code == 125
    assert "network" in done.err
    daemon.settled(before)


def test_an_image_says_what_holds_by_default(program: Program, daemon: Daemon) -> None:
    members = {
        "Entrypoint": ["echo", "from"], "Cmd": ["image"], "User": "bob", "WorkingDir": "/tmp",
        "Env": ["PATH=/bin", "HULL=wood"], "Labels": {"of": "image"}, "StopSignal": "SIGINT",
    }  # fmt: skip
    assert daemon.load(archives.image("full:1", **members)).status == 200
    run = ("run", "--rm", "--network", "none")
    assert program.ok(*run, "full:1") == "from image"
    assert program.ok(*run, "full:1", "me") == "from me"
    lines = program.ok(*run, "--entrypoint", "sh", "full:1", "-c", "id -un; pwd; echo $HULL")
    assert lines.splitlines() == ["bob", "/tmp", "wood"]
    program.ok("rmi", "full:1")


def test_what_is_inside_is_alone(program: Program) -> None:
    lines = said(program, "ls -d /proc/[0-9]* | wc -l; echo $$; mount | grep -c ' on / '; ls /dev")
    assert lines[:3] == ["3", "1", "1"] or lines[1:3] == ["1", "1"]
    assert set(lines[3:]) >= {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts"}
    assert int(lines[0]) <= 3
    done = inside(
        program, "cat /proc/kcore | head -c1; cat /proc/keys; echo x > /proc/sys/kernel/hostname"
    )
    assert "Read-only file system" in done.err
    assert done.out == ""
