"""Images of host programs: complete enough to run, and the same every time."""

import io
import os
import random
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.errdefs import EngineError, Kind
from wherry.images import from_host
from wherry.images.elf import read_elf
from wherry.images.host_tree import HostTree
from wherry.images.libraries import Libraries
from wherry.layers.tar import read_tar

needs_root = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for chroot"),
]
EXAMPLES = 2000 if os.environ.get("WHERRY_SOAK") else 50
PYTHON = os.path.realpath(sys.executable)


def files_of(world, image) -> dict[str, object]:
    (diff_id,) = image.diff_ids
    tar = io.BytesIO(world.snapshots.kept[diff_id][0])
    return {"/" + entry.name.decode(): entry for entry, _ in read_tar(tar)}


def unpacked(world, image, root: Path) -> Path:
    (diff_id,) = image.diff_ids
    with tarfile.open(fileobj=io.BytesIO(world.snapshots.kept[diff_id][0])) as tar:
        tar.extractall(root)
    return root


def run(root: Path, *command: str) -> str:
    done = subprocess.run(
        command, preexec_fn=lambda: os.chroot(root), cwd="/", capture_output=True, text=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_image_of_programs_has_what_they_need(world) -> None:
    image = from_host.build(world.images, ["ls", "cat"], "tools")
    assert image.tags == ["tools:latest"]
    assert image.config.config.cmd == (shutil.which("ls"),)
    assert image.config.config.env == (f"PATH={from_host._PATH}",)
    files = files_of(world, image)
    assert {"/etc/passwd", "/etc/group", "/tmp", "/root", shutil.which("cat")} <= set(files)
    assert files["/tmp"].mode == 0o1777
    assert {(entry.uid, entry.gid) for entry in files.values()} == {(0, 0)}
    elf = read_elf(Path(os.path.realpath(shutil.which("ls"))))
    assert elf is not None
    names = {os.path.basename(path) for path in files}
    assert set(elf.needed) <= names
    assert not elf.interpreter or os.path.basename(elf.interpreter) in names


def test_the_same_programs_make_the_same_image(world) -> None:
    first = from_host.build(world.images, ["ls"], "a", ["ls", "-l"])
    before = world.facts()
    assert from_host.build(world.images, ["ls"], "a", ["ls", "-l"]) == first
    assert world.facts() == before
    second = from_host.build(world.images, ["ls"], "b")
    assert (second.id != first.id, second.diff_ids) == (True, first.diff_ids)
    world.images.delete("a")
    world.images.delete("b")
    assert world.facts() == ([], [], ([], [], [], []), [])


def test_what_is_not_there_is_named_and_leaves_nothing(world, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    data = bytearray(Path(PYTHON).read_bytes())
    elf = read_elf(Path(PYTHON))
    assert elf is not None
    wanted = elf.needed[0].encode()
    at = data.index(b"\0" + wanted + b"\0") + 1
    data[at : at + 3] = b"zzz"
    broken.write_bytes(data)
    broken.chmod(0o755)
    for programs, kind, says in (
        (["no-such-program"], Kind.NOT_FOUND, "no program 'no-such-program'"),
        (["/no/such"], Kind.NOT_FOUND, "no program '/no/such'"),
        (["/etc/passwd"], Kind.NOT_FOUND, "no program '/etc/passwd'"),
        (["/usr"], Kind.NOT_FOUND, "no program '/usr'"),
        ([], Kind.INVALID_ARGUMENT, "at least one program"),
        ([str(broken)], Kind.NOT_FOUND, "needs the library zzz"),
    ):
        with pytest.raises(EngineError) as caught:
            from_host.build(world.images, programs, "x")
        assert caught.value.kind is kind
        assert says in caught.value.message
    with pytest.raises(EngineError, match="must be lowercase"):
        from_host.build(world.images, ["ls"], "X")
    assert world.facts() == ([], [], ([], [], [], []), [])


def test_links_on_the_way_are_kept(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "real/deep/tool").write_text("#!/bin/sh\n")
    (tmp_path / "relative").symlink_to("real/deep/..")
    (tmp_path / "absolute").symlink_to(tmp_path / "relative/deep/tool")
    (tmp_path / "loop").symlink_to("loop")
    tree = HostTree()
    assert tree.add_from_host(f"{tmp_path}/absolute") == f"{tmp_path}/real/deep/tool"
    stream = io.BytesIO()
    tree.write(stream)
    stream.seek(0)
    kinds = {f"/{entry.name.decode()}": entry.kind for entry, _ in read_tar(stream)}
    assert kinds[f"{tmp_path}/absolute"] == kinds[f"{tmp_path}/relative"] == "symlink"
    assert kinds[f"{tmp_path}/real/deep/tool"] == "file"
    assert list(kinds) == sorted(kinds)
    for path, says in (
        ("loop", "more than"),
        ("real", "not a regular file"),
        ("no", "not on this"),
    ):
        with pytest.raises(EngineError, match=says):
            tree.add_from_host(f"{tmp_path}/{path}")


@pytest.mark.parametrize("programs", [["busybox"], ["ls", "sh"]])
@pytest.mark.parametrize("mark", [pytest.param(0, marks=needs_root)])
def test_the_programs_run(world, tmp_path: Path, programs: list[str], mark: int) -> None:
    if not shutil.which(programs[0]):
        pytest.skip(f"{programs[0]} is not installed")
    image = from_host.build(world.images, programs, "x")
    root = unpacked(world, image, tmp_path / "root")
    assert "passwd" in run(root, "/bin/sh", "-c", "ls /etc")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for chroot")
def test_a_python_runs_with_its_standard_library(world, tmp_path: Path) -> None:
    script = tmp_path / "tool"
    script.write_text(f"#!{PYTHON} -I\nimport json, ctypes, decimal\nprint(json.dumps([1]))\n")
    script.chmod(0o755)
    image = from_host.build(world.images, [str(script)], "py")
    assert not [path for path in files_of(world, image) if "site-packages" in path]
    root = unpacked(world, image, tmp_path / "root")
    assert run(root, str(script)) == "[1]\n"
    assert run(root, PYTHON, "-c", "import asyncio, hashlib, sqlite3; print('ok')") == "ok\n"


def test_libraries_are_those_of_the_loader() -> None:
    found = Libraries().needed_by(Path(PYTHON))
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()
              if ".so" in line.split()[-1]}  # fmt: skip
    libc = [os.path.realpath(path) for path in found if os.path.basename(path).startswith("libc.")]
    assert set(libc) <= mapped
    assert all(os.path.isfile(path) for path in found)


def test_a_file_that_is_not_elf_needs_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("#!/bin/sh\n")
    assert read_elf(tmp_path / "x") is None
    assert Libraries().needed_by(tmp_path / "x") == set()


@given(st.integers(0, 1 << 32))
@settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)  # fmt: skip
def test_a_damaged_elf_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with open(shutil.which("ls") or PYTHON, "rb") as file:
        data = bytearray(file.read(chance.choice([64, 1000, 200_000])))
    for _ in range(chance.randint(0, 8)):
        data[chance.randrange(4, min(len(data), 900))] = chance.randrange(256)
    path = tmp_path / "elf"
    path.write_bytes(data)
    try:
        read_elf(path)
    except EngineError as error:
        if error.kind is not Kind.INVALID_ARGUMENT:
            raise


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for the owners of files")
def test_the_tool_of_the_readme_writes_an_archive(world) -> None:
    """With the driver that this host gets, which may be one that keeps layers itself."""
    tool = Path(__file__).parents[2] / "examples" / "host_image.py"
    done = subprocess.run([sys.executable, tool, "tools:1", "ls"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    world.images.load(io.BytesIO(done.stdout))
    assert world.images.resolve("tools:1").config.config.cmd == (shutil.which("ls"),)
