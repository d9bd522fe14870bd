"""Layers' mounts: one for all containers, as long as somebody may want it."""

import asyncio
import io
import os
import signal
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import Yard
from layertars import file, layer

from wherry.errdefs import EngineError
from wherry.linux.mounts import ImagesRoot
from wherry.shim import lending
from wherry.shim.lending import Lending, lent_paths
from wherry.snapshots import drivers
from wherry.snapshots.directory import DirectorySnapshotter
from wherry.spec.digest import Digest

pytestmark = pytest.mark.root


@pytest.fixture
def images(tmp_path: Path) -> Callable[[int], list[str]]:
    """Layer files, as a snapshotter makes them."""
    snapshotter = drivers.choose(tmp_path, None, lambda _: pytest.fail("not asked"))
    if snapshotter.name != "erofs":
        pytest.skip("this kernel does not mount images")

    def make(count: int) -> list[str]:
        made = [layer(file(f"f{number}", b"%d" % number)) for number in range(count)]
        for diff_id, tar in made:
            (tmp_path / "tar").write_bytes(tar)
            with (tmp_path / "tar").open("rb") as stream:
                snapshotter.apply(diff_id, stream)
        root = snapshotter.prepare("k", [diff_id for diff_id, _ in made])
        assert isinstance(root, ImagesRoot)
        return root.paths()[::-1]

    return make


def held(lent: bytes) -> list[str]:
    """What is in the root of each lent mount."""
    return [name for path in lent_paths(lent) for name in os.listdir(path)]


def test_one_mount_for_all(images: Callable[[int], list[str]]) -> None:
    first, second = images(2)
    shop = Lending()
    lent = shop.lend([first, second], False)
    assert held(lent) == ["f0", "f1"]
    assert shop.lend([second], False).split()[1] == lent.split()[2]
    before = len(os.listdir("/proc/self/fd"))
    shop.release(first)
    shop.release(first)
    assert len(os.listdir("/proc/self/fd")) == before - 1
    shop.release(second)


def test_the_longest_unused_is_let_go(
    images: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lending, "_MOST", 2)
    paths = images(4)
    shop = Lending()
    for path in (paths[0], paths[1], paths[0], paths[2]):
        shop.lend([path], False)
    assert set(shop._mounts) == {paths[0], paths[2]}
    assert len(held(shop.lend(paths, False))) == 4  # one container may want more
    for path in paths:
        shop.release(path)


def test_descriptors_are_left_for_other_uses(
    images: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lending.resource, "getrlimit", lambda _: (4, 4096))
    paths = images(3)
    shop = Lending()
    for path in paths:
        shop.lend([path], False)
    assert set(shop._mounts) == set(paths[1:])
    for path in paths:
        shop.release(path)


def test_a_file_that_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(b"no image" * 1000)
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(EngineError, match=r"mounting the layer /.*/layer"):
        Lending().lend([str(tmp_path / "layer")], False)
    with pytest.raises(EngineError, match="no such file"):
        Lending().lend([str(tmp_path / "missing")], False)
    assert len(os.listdir("/proc/self/fd")) == descriptors


def mapped(pid: int, path: str) -> tuple[int, int]:
    """(shared, private) KiB of clean pages of a file that the process has mapped."""
    shared = private = 0
    ours = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            ours = words[-1] == path
        elif ours and words[0] == "Shared_Clean:":
            shared += int(words[1])
        elif ours and words[0] == "Private_Clean:":
            private += int(words[1])
    return shared, private


async def test_a_launcher_that_dies_with_what_it_has_lent(yard: Yard, tmp_path: Path) -> None:
    """Its successor lends it anew."""
    snapshotter, diff_id = _busybox_layer(yard, tmp_path)
    root = snapshotter.prepare("key", [diff_id])
    launcher = yard.runtime.launcher_pid
    child = await spare_child(launcher)
    os.kill(child, signal.SIGSTOP)
    spec = yard.spec("echo", "hi")
    start = asyncio.create_task(yard.start(spec, rootfs=root))
    name = spec["linux"]["cgroupsPath"].rpartition("/")[2]
    async with asyncio.timeout(10):
        while not (yard.runtime.run_dir(name) / "shim.sock").exists():  # it was handed over
            await asyncio.sleep(0.01)
    os.kill(launcher, signal.SIGKILL)
    async with asyncio.timeout(10):
        while yard.runtime.launcher_pid == launcher:
            await asyncio.sleep(0.01)
    os.kill(child, signal.SIGCONT)
    running = await start
    assert (await running.read_all()).endswith(b"hi\n")
    assert (await running.task.wait()).code == 0
    snapshotter.remove("key")
    assert snapshotter.wait_until_clean(30)


async def spare_child(launcher: int) -> int:
    """The process that will become the next container."""

    def children(pid: int) -> list[int]:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    async with asyncio.timeout(10):
        while True:
            for nursery in children(launcher):
                for shim in children(nursery):
                    for child in children(shim):
                        return child
            await asyncio.sleep(0.01)


def _busybox_layer(yard: Yard, tmp_path: Path) -> tuple[DirectorySnapshotter, Digest]:
    snapshotter = drivers.choose(tmp_path / "root", None, lambda _: pytest.fail("not asked"))
    if snapshotter.name != "erofs":
        pytest.skip("this kernel does not mount images")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.add(yard.layer, ".")
    diff_id = Digest.of(tar.getvalue())
    snapshotter.apply(diff_id, io.BytesIO(tar.getvalue()))
    return snapshotter, diff_id


async def test_a_program_is_in_memory_once(yard: Yard, tmp_path: Path) -> None:
    """Pages of a layer's file are the same for all containers, since all have the one mount."""
    snapshotter, diff_id = _busybox_layer(yard, tmp_path)
    seen = []
    for number in range(3):
        root = snapshotter.prepare(f"k{number}", [diff_id])
        running = await yard.start(yard.spec("sh", "-c", "echo up; exec sleep 1000"), rootfs=root)
        await running.read_until(b"up")
        seen.append(running)
    for running in seen:
        shared, private = mapped(running.task.pid, "/bin/busybox")
        # A mount each would share nothing; what one has run and no other yet is private.
        assert shared > max(100, 2 * private)
    for number, running in enumerate(seen):
        await running.task.kill(signal.SIGKILL)
        await running.task.wait()
        snapshotter.remove(f"k{number}")
    assert snapshotter.wait_until_clean(30)
