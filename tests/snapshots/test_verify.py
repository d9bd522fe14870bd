"""Damage to a layer is found wherever it is, and a layer is made anew."""

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
import trees
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layertars import archive, device, directory, file, hardlink, layer, opaque, symlink, whiteout

from wherry.errdefs import EngineError, Kind
from wherry.snapshots.overlaid import OverlaidSnapshotter

pytestmark = pytest.mark.root

SOAK = bool(os.environ.get("WHERRY_SOAK"))
RICH = layer(
    directory("etc", mode=0o750, uid=3),
    file("etc/passwd", b"root:x:0:0\n" * 90, xattrs={"user.note": b"kept"}),
    file("bin/tool", bytes(range(256)) * 20, mode=0o4755, mtime=1234567890.5),
    hardlink("bin/again", "bin/tool"),
    symlink("bin/sh", "tool"),
    device("dev/null", 1, 3),
    whiteout("etc/gone"),
    directory("var/new"),
    opaque("var/new"),
    file("empty"),
)


def seen(size: int) -> None:
    assert size >= 0


def files_of(store) -> list[Path]:
    """Every regular file of the layers that has a byte, but once where it has several names."""
    found = {}
    for folder, _, names in os.walk(store.root / "layers"):
        for name in sorted(names):
            path = Path(folder, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size:
                found.setdefault(status.st_ino, path)
    return sorted(found.values())


def flip(path: Path, offset: int, mask: int) -> None:
    """Change a byte, and no time: as a disk does it."""
    status = path.stat()
    with path.open("r+b") as stream:
        stream.seek(offset)
        (byte,) = stream.read(1)
        stream.seek(offset)
        stream.write(bytes([byte ^ mask]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_what_is_whole_is_found_whole(store) -> None:
    sizes: list[int] = []
    for diff_id in store.apply(RICH, layer(file("x", b"x" * 5000)), layer()):
        store.snapshotter.verify(diff_id, sizes.append)
    assert sum(sizes) > 5000


@pytest.mark.parametrize("name", ["erofs", "native", "overlay"])
def test_a_changed_byte_is_found(make_store, name: str) -> None:
    store = make_store(name)
    diff_id, tar = RICH
    store.apply(RICH)
    files = files_of(store)
    assert len(files) >= (1 if name == "erofs" else 3)

    @settings(
        max_examples=2000 if SOAK else 60,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(files), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
    def damaged(path: Path, where: float, mask: int) -> None:
        offset = int(path.stat().st_size * where)
        flip(path, offset, mask)
        try:
            with pytest.raises(EngineError) as failure:
                store.snapshotter.verify(diff_id, seen)
            assert failure.value.kind is Kind.DATA_LOSS, failure.value
            assert diff_id in failure.value.message
        finally:
            flip(path, offset, mask)

    damaged()
    store.snapshotter.verify(diff_id, seen)
    flip(files[0], 0, 1)
    store.snapshotter.replace(diff_id, io.BytesIO(tar))
    store.snapshotter.verify(diff_id, seen)
    assert store.leftovers() == []


CHANGES = {
    "content": lambda fs: (fs / "etc/passwd").write_bytes(b"x"),
    "mode": lambda fs: (fs / "etc").chmod(0o700),
    "owner": lambda fs: os.chown(fs / "bin/sh", 1, 1, follow_symlinks=False),
    "time": lambda fs: os.utime(fs / "empty"),
    "missing": lambda fs: (fs / "empty").unlink(),
    "stray": lambda fs: (fs / "bin/stray").touch(),
    "kind": lambda fs: ((fs / "empty").unlink(), (fs / "empty").mkdir()),
    "xattr": lambda fs: os.setxattr(fs / "etc/passwd", "user.note", b"lost"),
    "more xattrs": lambda fs: os.setxattr(fs / "etc", "user.more", b""),
    "link": lambda fs: ((fs / "bin/sh").unlink(), (fs / "bin/sh").symlink_to("again")),
    "device": lambda fs: (
        (fs / "dev/null").unlink(),
        os.mknod(fs / "dev/null", stat.S_IFCHR | 0o660, os.makedev(1, 5)),
    ),
    "parent": lambda fs: ((fs / "etc/passwd").unlink(), (fs / "etc").rename(fs / "etc2")),
}


@pytest.mark.parametrize("name", ["native", "overlay"])
@pytest.mark.parametrize("change", CHANGES)
def test_any_change_of_an_unpacked_layer_is_named(make_store, name: str, change: str) -> None:
    store = make_store(name)
    (diff_id,) = store.apply(RICH)
    home = store.snapshotter.layer_path(diff_id)
    CHANGES[change](home / "fs")
    with pytest.raises(EngineError) as failure:
        store.snapshotter.verify(diff_id, seen)
    assert failure.value.kind is Kind.DATA_LOSS
    assert diff_id in failure.value.message
    store.snapshotter.replace(diff_id, io.BytesIO(RICH[1]))
    store.snapshotter.verify(diff_id, seen)
    assert store.leftovers() == []


def test_a_layer_that_lost_its_tree(store) -> None:
    (diff_id,) = store.apply(RICH)
    for path in list(store.snapshotter.layer_path(diff_id).iterdir()):
        path.rename(store.root / f"away-{path.name}")
    with pytest.raises(EngineError):
        store.snapshotter.verify(diff_id, seen)
    store.snapshotter.replace(diff_id, io.BytesIO(RICH[1]))
    store.snapshotter.verify(diff_id, seen)
    assert b"bin/tool" in store.picture("key", [diff_id])


def test_a_replacement_that_is_another_layer_is_refused(store) -> None:
    (diff_id,) = store.apply(RICH)
    with pytest.raises(EngineError):
        store.snapshotter.replace(diff_id, io.BytesIO(archive(file("other"))))
    store.snapshotter.verify(diff_id, seen)


def test_the_tar_in_a_damaged_layer_file(make_store) -> None:
    store = make_store("erofs")
    diff_id, tar = RICH
    store.apply(RICH)
    (path,) = files_of(store)
    for offset in (0, 1030, path.stat().st_size - 1):  # record, superblock, metadata
        flip(path, offset, 1)
        intact = store.snapshotter.intact_tar(diff_id, [len(tar)])
        assert intact is not None
        with intact:
            assert intact.read() == tar
        flip(path, offset, 1)
    flip(path, 5000, 1)
    assert store.snapshotter.intact_tar(diff_id, [len(tar)]) is None
    assert store.leftovers() == []


# --- what a container has changed, from one driver to another ------------------------------------


def change(fs: Path) -> None:
    """All that a container can do to its files."""
    (fs / "etc/passwd").write_bytes(b"changed")
    (fs / "etc/new").write_bytes(b"n" * 5000)
    os.link(fs / "etc/new", fs / "etc/new2")
    os.setxattr(fs / "etc/new", "user.mine", b"1")
    (fs / "bin/sh").unlink()
    (fs / "empty").unlink()
    (fs / "empty").mkdir(mode=0o711)
    (fs / "empty/.x").symlink_to("/nowhere")
    (fs / "etc/passwd").chmod(0o600)
    os.chown(fs / "bin", 7, 8)
    os.mkfifo(fs / "pipe")
    (fs / "var/low/a").unlink()
    (fs / "var/low").rmdir()
    (fs / "var/low").mkdir()
    (fs / "var/low/b").write_bytes(b"")
    fs.chmod(0o711)
    os.setxattr(fs, "user.root", b"mine")


@pytest.mark.parametrize("target", ["erofs", "native", "overlay"])
@pytest.mark.parametrize("source", ["erofs", "native", "overlay"])
@pytest.mark.parametrize("touched", [True, False])
def test_changes_are_the_same_in_another_driver(
    make_store, source: str, target: str, touched: bool
) -> None:
    low = layer(directory("var/low"), file("var/low/a", b"a"), file("etc/passwd", b"low"))
    one, other = make_store(source), make_store(target)
    stack = one.apply(low, RICH)
    other.apply(low, RICH)
    with one.mounted(one.snapshotter.prepare("key", stack)) as root:
        if touched:
            change(Path(f"/proc/self/fd/{root}"))
    other.snapshotter.restore("key", stack, one.snapshotter.changes("key"))
    assert other.snapshotter.stack("key") == stack
    with (
        one.mounted(one.snapshotter.mounts("key")) as before,
        other.mounted(other.snapshotter.mounts("key")) as after,
    ):
        assert trees.picture(after) == trees.picture(before)
    with one.snapshotter.diff("key") as before, other.snapshotter.diff("key") as after:
        assert names_in(after.read()) == names_in(before.read())
    assert isinstance(other.snapshotter, OverlaidSnapshotter) or os.path.exists(
        other.root / "active/key/compare-all"
    )
    other.snapshotter.remove("key")
    assert one.leftovers() == other.leftovers() == []


def names_in(tar: bytes) -> set[str]:
    """But for the signs of what is hidden: each driver has its own way to hide the same."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return {member.name for member in opened if "/.wh." not in member.name}
