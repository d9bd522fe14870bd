"""Images of host programs: complete enough to run, and no more than that."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wherry.errdefs import EngineError, Kind
from wherry.hostimage import EXTRAS, Collected, Wanted, collect
from wherry.hostimage.collecting import PATH
from wherry.hostimage.ldcache import LoaderCache
from wherry.linux.elf import read_elf

PYTHON = os.path.realpath(sys.executable)
root_only = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def reasons(found: Collected) -> dict[str, str]:
    return {node.path: node.why for node in found.tree.nodes()}


def test_programs_come_with_what_they_need(files_of) -> None:
    found = collect(Wanted(["ls", "cat"]))
    assert found.programs == [shutil.which("ls"), shutil.which("cat")]
    assert found.environment == {"PATH": PATH}
    assert found.warnings == []
    files = files_of(found)
    assert {"/etc/passwd", "/etc/group", "/tmp", "/root"} <= set(files)
    assert (files["/tmp"].mode, files["/root"].mode) == (0o1777, 0o700)
    real = os.path.realpath(shutil.which("ls"))
    elf = read_elf(real)
    assert elf is not None
    names = {os.path.basename(path): path for path in files}
    assert set(elf.needed) <= set(names)
    assert not elf.interpreter or os.path.basename(elf.interpreter) in names
    assert reasons(found)[real] == "named"
    if elf.interpreter:
        loader = reasons(found)[os.path.realpath(elf.interpreter)]
        assert loader == f"loader of {real}"


def test_the_same_programs_make_the_same_layer() -> None:
    first, second = (b"".join(collect(Wanted(["ls", "sh"])).tree.layer()) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("wanted", "kind", "says"),
    [
        (Wanted(["no-such-program"]), Kind.NOT_FOUND, "no program 'no-such-program'"),
        (Wanted(["/no/such"]), Kind.NOT_FOUND, "no program '/no/such'"),
        (Wanted(["/etc/passwd"]), Kind.NOT_FOUND, "'/etc/passwd': it is not executable"),
        (Wanted(["/usr"]), Kind.NOT_FOUND, "'/usr': it is a directory"),
        (Wanted([]), Kind.INVALID_ARGUMENT, "at least one program"),
        (Wanted(["ls"], extras=["cheese"]), Kind.INVALID_ARGUMENT, "no 'cheese' to add: .*certs"),
        (Wanted(["ls"], [("/no/such", "/x")]), Kind.NOT_FOUND, "/no/such is not on this host"),
        (Wanted(["ls"], [("/dev/null", "/x")]), Kind.INVALID_ARGUMENT, "neither a file nor a"),
    ],
)
def test_what_is_not_there_is_named(wanted: Wanted, kind: Kind, says: str) -> None:
    with pytest.raises(EngineError, match=says) as caught:
        collect(wanted)
    assert caught.value.kind is kind


def test_a_name_that_is_nearly_right(tmp_path: Path, monkeypatch) -> None:
    tool = tmp_path / "sailmaker"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="did you mean 'sailmaker'"):
        collect(Wanted(["sailmakr"]))
    with pytest.raises(EngineError, match="did you mean 'sailmaker'"):
        collect(Wanted([f"{tmp_path}/sailmker"]))
    monkeypatch.chdir(tmp_path)
    assert collect(Wanted(["./sailmaker"])).programs == [str(tool)]


def test_scripts_come_with_their_interpreters(tmp_path: Path, monkeypatch) -> None:
    inner = tmp_path / "inner"
    inner.write_text("#!/bin/sh -e\n")
    outer = tmp_path / "outer"
    outer.write_text("#!/usr/bin/env -S A=b inner -x\n")
    for path in (inner, outer):
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = collect(Wanted(["outer"]))
    why = reasons(found)
    assert why[str(outer)] == "named"
    assert why[str(inner)] == f"interpreter of {outer}"
    assert why[os.path.realpath("/usr/bin/env")] == f"interpreter of {outer}"
    assert why[os.path.realpath("/bin/sh")] == f"interpreter of {inner}"
    assert found.environment["PATH"] == f"{tmp_path}:{PATH}"


def test_a_broken_program_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    data = bytearray(Path(PYTHON).read_bytes())
    elf = read_elf(PYTHON)
    assert elf is not None
    at = data.index(b"\0" + elf.needed[0].encode() + b"\0") + 1
    data[at : at + 3] = b"zzz"
    broken.write_bytes(data)
    broken.chmod(0o755)
    with pytest.raises(EngineError, match="needs the library zzz"):
        collect(Wanted([str(broken)]))


def test_what_is_added_and_what_that_needs(tmp_path: Path, files_of) -> None:
    app = tmp_path / "app"
    (app / "sub").mkdir(parents=True)
    (app / "sub/data").write_text("data")
    (app / "sub/data").chmod(0o600)
    (app / "link").symlink_to("sub/data")
    (app / "folder").symlink_to("/nowhere")
    shutil.copy(shutil.which("ls"), app / "tool")
    os.mkfifo(app / "pipe")
    passwd = tmp_path / "passwd"
    passwd.write_text("me:x:7:7::/:/bin/sh\n")
    found = collect(Wanted([], [(str(app), "/srv/app"), (str(passwd), "/etc/passwd")]))
    files = files_of(found)
    assert (files["/srv/app/sub/data"].size, files["/srv/app/sub/data"].mode) == (4, 0o600)
    assert files["/srv/app/link"].link == b"sub/data"
    assert files["/srv/app/folder"].link == b"/nowhere"
    assert "/srv/app/pipe" not in files
    assert files["/etc/passwd"].size == 20
    needed = read_elf(str(app / "tool")).needed
    assert set(needed) <= {os.path.basename(path) for path in files}


@pytest.mark.parametrize("mark", [pytest.param(0, marks=root_only)])
@pytest.mark.parametrize("programs", [["busybox"], ["ls", "sh"], ["busybox", "ls"]])
def test_the_programs_run(unpack, run_in, programs: list[str], mark: int) -> None:
    if not shutil.which(programs[0]):
        pytest.skip(f"{programs[0]} is not installed")
    root = unpack(collect(Wanted(programs)))
    assert "passwd" in run_in(root, "/bin/sh", "-c", "ls /etc")


def test_a_program_is_not_hidden_by_an_applet() -> None:
    if not shutil.which("busybox"):
        pytest.skip("busybox is not installed")
    why = reasons(collect(Wanted(["busybox", "ls"])))
    assert why[os.path.realpath(shutil.which("ls"))] == "named"


@pytest.mark.parametrize("mark", [pytest.param(0, marks=root_only)])
def test_users_and_libraries_are_found_in_there(unpack, run_in, tmp_path: Path, mark: int) -> None:
    root = unpack(collect(Wanted(["id", "getent"], shell=True)))
    assert run_in(root, "id", "-un") == "root\n"
    assert run_in(root, "getent", "passwd", "nobody").startswith("nobody:")


@pytest.mark.parametrize("mark", [pytest.param(0, marks=root_only)])
def test_the_loader_goes_by_the_cache_that_the_image_has(unpack, mark: int) -> None:
    if not LoaderCache.of_host().find("libc.so.6"):
        pytest.skip("needs glibc with its cache")
    root = unpack(collect(Wanted(["cat"])))
    done = subprocess.run(
        ["cat", "/etc/passwd"], preexec_fn=lambda: os.chroot(root), cwd="/", capture_output=True,
        text=True, env={"PATH": PATH, "LD_DEBUG": "libs"}, check=True,
    )  # fmt: skip
    assert "search cache=/etc/ld.so.cache" in done.stderr
    assert "search path=" not in done.stderr


@pytest.mark.parametrize("extra", EXTRAS)
def test_each_extra_has_files(extra: str) -> None:
    found = collect(Wanted(["cat"], extras=[extra]))
    if found.warnings:
        pytest.skip(found.warnings[0])
    assert f"--with {extra}" in set(reasons(found).values())


def test_certificates_are_told_to_programs(unpack, run_in) -> None:
    found = collect(Wanted([PYTHON], extras=["certs"]))
    if found.warnings:
        pytest.skip(found.warnings[0])
    bundle = found.environment["SSL_CERT_FILE"]
    count = "import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 10)"
    root = unpack(found)
    assert run_in(root, PYTHON, "-c", count, SSL_CERT_FILE=bundle) == "True\n"


@pytest.mark.parametrize("mark", [pytest.param(0, marks=root_only)])
def test_a_python_runs_with_its_standard_library(
    unpack, run_in, files_of, tmp_path: Path, mark: int
) -> None:
    script = tmp_path / "tool"
    script.write_text(f"#!{PYTHON} -I\nimport json, ctypes, decimal\nprint(json.dumps([1]))\n")
    script.chmod(0o755)
    found = collect(Wanted([str(script)]))
    paths = list(files_of(found))
    assert not [path for path in paths if "site-packages" in path or "_tkinter" in path]
    root = unpack(found)
    assert run_in(root, str(script)) == "[1]\n"
    modules = "import asyncio, hashlib, sqlite3, zoneinfo, pwd; print(pwd.getpwuid(0).pw_name)"
    assert run_in(root, PYTHON, "-c", modules) == "root\n"


@pytest.mark.parametrize("mark", [pytest.param(0, marks=root_only)])
def test_a_virtual_environment_comes_whole(unpack, run_in, tmp_path: Path, mark: int) -> None:
    env = tmp_path / "env"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", env], check=True)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = env / "lib" / version / "site-packages"
    (packages / "ours").mkdir()
    (packages / "ours/__init__.py").write_text("from pathlib import Path\n")
    (packages / "ours/words.txt").write_text("ahoy\n")
    (tmp_path / "elsewhere").mkdir()
    (packages / "editable.pth").write_text(f"import os\n{tmp_path}/elsewhere\n{packages}\n")
    command = env / "bin/greet"
    command.write_text(
        f"#!{env}/bin/python\nimport ours, pathlib\n"
        "print(pathlib.Path(ours.__file__).with_name('words.txt').read_text())\n"
    )
    command.chmod(0o755)
    found = collect(Wanted([str(command)]))
    assert found.environment["PATH"].startswith(f"{env}/bin:")
    (warning,) = found.warnings
    assert f"editable.pth names {tmp_path}/elsewhere, which is not in the image" in warning
    root = unpack(found)
    assert run_in(root, str(command)) == "ahoy\n\n"


def test_a_shim_is_looked_behind(tmp_path: Path, monkeypatch) -> None:
    shim = tmp_path / "python3"
    shim.write_text(f'#!/bin/sh\nexec {PYTHON} "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = collect(Wanted(["python3"]))
    assert os.path.realpath(found.programs[0]) == PYTHON
    assert str(shim) not in reasons(found)
