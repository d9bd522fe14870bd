"""What a container could do to the processes around it, and can't."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bundles import Yard

from wherry.shim import interpreter

pytestmark = pytest.mark.root

SOURCE = str(Path(interpreter.__file__).parents[2])


def test_after_the_fork_an_import_raises() -> None:
    """By trying: a module of the standard library, one of ours, one already loaded."""
    script = f"""
import sys; sys.path.insert(0, {SOURCE!r})
from wherry.shim import launcher
launcher.close_imports()
for name in ("wave", "wherry.client", "_bisect" if "_bisect" not in sys.modules else "_lsprof"):
    try:
        __import__(name)
    except ImportError:
        print("refused", name)
import os
print("loaded", os.name)
"""
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split("\n")[-2] == "loaded posix"
    assert ran.stdout.count("refused") == 3, ran.stdout + ran.stderr


async def test_no_import_happens_in_shim_and_init(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real start, with an audit hook in the launcher that its forks inherit."""
    seen = yard.base / "imports"
    hook = f"""
import sys, os
sys.path.insert(0, sys.argv[1])
from wherry.shim import launcher
fd = os.open({str(seen)!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
closed = launcher.close_imports
def note(event, arguments):
    if event == "import":
        out = os.open({str(seen)!r}, os.O_WRONLY | os.O_APPEND)
        os.write(out, (str(arguments[0]) + "\\n").encode())
        os.close(out)
def close_imports():
    closed()
    sys.addaudithook(note)
launcher.close_imports = close_imports
launcher.main(int(sys.argv[2]), sys.argv[3])
"""
    monkeypatch.setattr(interpreter, "_BOOT", hook)
    os.kill(yard.runtime.launcher_pid, signal.SIGKILL)
    spec = yard.spec("sh", "-c", "echo ran", terminal=True)
    spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}
    spec["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "17"}
    ran = await yard.run(spec=spec)
    assert "ran" in ran.output
    assert seen.read_text() == ""


def test_a_plain_interpreter_could_be_overwritten(tmp_path: Path) -> None:
    """The control of the next test: without protection its attack succeeds."""
    program = tmp_path / "sleep"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    victim = subprocess.Popen([program, "1000"])
    handle = os.open(f"/proc/{victim.pid}/exe", os.O_PATH)
    victim.kill()
    victim.wait()
    os.close(os.open(f"/proc/self/fd/{handle}", os.O_WRONLY))
    os.close(handle)


@pytest.mark.parametrize("way", [interpreter.open_protected, interpreter._sealed_copy])
def test_a_protected_one_cannot(tmp_path: Path, way: object) -> None:
    """CVE-2019-5736: hold the running program by O_PATH, write to it when it has ended."""
    assert callable(way)
    program = tmp_path / "sleep"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    fd = way(str(program))
    victim = subprocess.Popen(["sleep", "1000"], executable=f"/proc/self/fd/{fd}", pass_fds=(fd,))
    os.close(fd)
    handle = os.open(f"/proc/{victim.pid}/exe", os.O_PATH)
    victim.kill()
    victim.wait()
    refused = r"Read-only file system|Operation not permitted"
    with pytest.raises(OSError, match=refused):  # a sealed copy opens, and takes no byte
        os.write(os.open(f"/proc/self/fd/{handle}", os.O_WRONLY), b"x")
    os.close(handle)


async def test_from_inside_nobody_around_can_be_written_to(yard: Yard) -> None:
    """All capabilities and the host's processes in sight; the programs are still read-only."""
    running = await yard.start(yard.spec("sleep", "1000"))
    shim = int(
        (yard.runtime.run_dir(running.id) / "pid").read_text().split('"pid": ')[1].split(",")[0]
    )
    pids = [yard.runtime.launcher_pid, shim]
    for pid in pids:
        exe = os.open(f"/proc/{pid}/exe", os.O_PATH)
        assert os.fstatvfs(exe).f_flag & os.ST_RDONLY, "executed from a writable mount"
        os.close(exe)
    tries = "; ".join(f"(echo pwned > /proc/{pid}/exe) 2>&1; echo $?" for pid in pids)
    spec = yard.spec("sh", "-c", tries)
    spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "pid"]
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    from wherry.linux import capabilities

    names = sorted(capabilities.NUMBERS, key=capabilities.NUMBERS.__getitem__)[: last + 1]
    spec["process"]["capabilities"] = {"bounding": names, "effective": names, "permitted": names}
    ran = await yard.run(spec=spec)
    lines = [line for line in ran.output.splitlines() if line.isdigit()]
    assert lines == ["1", "1"], ran.output
    await running.task.kill(signal.SIGKILL)
    await running.task.wait()
