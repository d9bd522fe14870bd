"""What every snapshotter has to do. A new driver is added to DRIVERS in conftest.py."""

import concurrent.futures
import io
import os
import shutil
import stat
import struct
import tarfile
import threading
from pathlib import Path

import pytest
import trees
from layertars import (
    Member,
    device,
    directory,
    fifo,
    file,
    hardlink,
    layer,
    opaque,
    symlink,
    whiteout,
)

from wherry.errdefs import EngineError, Kind
from wherry.layers.tar import read_tar
from wherry.linux import syscalls
from wherry.spec.digest import Digest

pytestmark = pytest.mark.root

BASE = layer(
    directory("etc", mode=0o755),
    file("etc/hostname", b"base\n", mtime=1_600_000_000),
    file("etc/passwd", b"root\n"),
    directory("var/cache", mode=0o1777, uid=3, gid=4),
    file("var/cache/a", b"a"),
    file("var/cache/b", b"b"),
    symlink("lib", "usr/lib"),
    file("usr/lib/libc", b"\x7fELF", mode=0o755),
    hardlink("usr/lib/libc.6", "usr/lib/libc"),
)


def kind_of(failure: pytest.ExceptionInfo[EngineError]) -> Kind:
    return failure.value.kind


# --- layers ---------------------------------------------------------------------------------------


def test_apply_keeps_a_layer_once(store):
    diff_id, tar = BASE
    usage = store.snapshotter.apply(diff_id, io.BytesIO(tar))
    assert usage.bytes == 5 + 5 + 1 + 1 + 4
    assert usage.inodes == 1 + 5 + 5 + 1  # the root, directories, files, a symlink
    assert store.snapshotter.contains(diff_id)
    assert store.snapshotter.layers() == [diff_id]
    assert store.snapshotter.usage(diff_id) == usage
    assert store.snapshotter.apply(diff_id, io.BytesIO(b"not read again")) == usage


def test_open_tar_gives_the_layer_back(store):
    (diff_id,) = store.apply(BASE)
    assert store.snapshotter.open_tar(diff_id).read() == BASE[1]


def test_a_layer_that_lies_about_its_digest_is_data_loss(store):
    other = Digest.of(b"something else")
    with pytest.raises(EngineError, match=BASE[0]) as failure:
        store.snapshotter.apply(other, io.BytesIO(BASE[1]))
    assert kind_of(failure) is Kind.DATA_LOSS
    assert store.snapshotter.layers() == []


def test_a_lie_is_found_even_if_the_bytes_are_nonsense(store):
    with pytest.raises(EngineError) as failure:
        store.snapshotter.apply(BASE[0], io.BytesIO(b"nonsense" * 1000))
    assert kind_of(failure) is Kind.DATA_LOSS


def test_nonsense_with_the_right_digest_is_invalid(store):
    nonsense = b"nonsense" * 1000
    with pytest.raises(EngineError) as failure:
        store.snapshotter.apply(Digest.of(nonsense), io.BytesIO(nonsense))
    assert kind_of(failure) is Kind.INVALID_ARGUMENT
    assert store.snapshotter.layers() == []


def test_an_error_of_the_stream_passes_through(store):
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer):
            raise EngineError(Kind.UNAVAILABLE, "the registry went away")

    with pytest.raises(EngineError, match="went away"):
        store.snapshotter.apply(BASE[0], Broken())


def test_what_is_not_there_is_not_found(store):
    nothing = Digest.of(b"nothing")
    snapshotter = store.snapshotter
    for ask in (
        lambda: snapshotter.usage(nothing),
        lambda: snapshotter.open_tar(nothing),
        lambda: snapshotter.prepare("key", [nothing]),
        lambda: snapshotter.mounts("key"),
        lambda: snapshotter.diff("key"),
        lambda: snapshotter.key_usage("key"),
        lambda: snapshotter.mounts("../key"),
    ):
        with pytest.raises(EngineError, match="no such") as failure:
            ask()
        assert kind_of(failure) is Kind.NOT_FOUND
    snapshotter.remove("key")
    snapshotter.remove_layer(nothing)
    assert snapshotter.keys() == []


def test_one_layer_brought_by_many_at_once(store):
    opened = []
    lock = threading.Lock()

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            with lock:
                if self not in opened:
                    opened.append(self)
            return super().read(size)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        usages = list(
            pool.map(lambda _: store.snapshotter.apply(BASE[0], Counted(BASE[1])), range(8))
        )
    assert len(set(usages)) == 1
    assert len(opened) == 1


def test_a_layer_in_use_is_not_removed(store):
    (diff_id,) = store.apply(BASE)
    store.snapshotter.prepare("user", [diff_id])
    with pytest.raises(EngineError, match="user") as failure:
        store.snapshotter.remove_layer(diff_id)
    assert kind_of(failure) is Kind.CONFLICT
    store.snapshotter.remove("user")
    store.snapshotter.remove_layer(diff_id)
    assert not store.snapshotter.contains(diff_id)
    store.apply(BASE)


# --- what a layer says ----------------------------------------------------------------------------


def test_attributes_are_kept(store):
    capability = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
    stack = store.apply(
        layer(
            directory("d", mode=0o2750, uid=1000, gid=1001, mtime=-5),
            file("d/ns", b"", pax_headers={"mtime": "1700000000.123456789"}),
            file("d/setuid", b"#!", mode=0o4711, uid=70000, gid=4_294_967_294),
            file("d/capable", b"", mode=0o755, uid=7, xattrs={"security.capability": capability}),
            file("d/xattr", b"", xattrs={"user.name": b"value", "user.empty": b""}),
            directory("d/acl", xattrs={"system.posix_acl_default": ACL}),
            symlink("d/link", "/else where\n", uid=5, gid=6, mtime=7),
            fifo("d/fifo"),
            device("d/null", 1, 3),
            device("d/disk", 259, 1_048_575, tarfile.BLKTYPE),
        )
    )
    shown = store.picture("k", stack)
    assert (shown[b"d"].mode, shown[b"d"].owner) == (0o2750, (1000, 1001))
    assert shown[b"d"].mtime_ns == -5_000_000_000
    assert shown[b"d/ns"].mtime_ns == 1_700_000_000_123_456_789
    assert shown[b"d/ns"].owner == (0, 0)  # not the directory's group
    assert (shown[b"d/setuid"].mode, shown[b"d/setuid"].owner) == (0o4711, (70000, 4294967294))
    assert shown[b"d/capable"].xattrs == {"security.capability": capability}
    assert shown[b"d/xattr"].xattrs == {"user.name": b"value", "user.empty": b""}
    assert shown[b"d/acl"].xattrs == {"system.posix_acl_default": ACL}
    link = shown[b"d/link"]
    assert (link.content, link.owner, link.mtime_ns) == (b"/else where\n", (5, 6), 7_000_000_000)
    assert shown[b"d/fifo"].kind == "p"
    assert (shown[b"d/null"].kind, shown[b"d/null"].content) == ("c", b"1:3")
    assert (shown[b"d/disk"].kind, shown[b"d/disk"].content) == ("b", b"259:1048575")
    assert shown[b"d/null"].mode == 0o660


ACL = struct.pack("<I" + "HHI" * 3, 2, 1, 7, 0xFFFFFFFF, 4, 5, 0xFFFFFFFF, 32, 5, 0xFFFFFFFF)


def test_odd_names(store):
    names = ["new\nline", "\udcff\udcfe", "-rf", " ", "x" * 255, "é", "d/" * 100 + "deep", "*"]
    stack = store.apply(layer(*(file(name, b"odd") for name in names), format=tarfile.GNU_FORMAT))
    shown = store.picture("k", stack)
    assert {path for path, seen in shown.items() if seen.kind == "-"} == set(
        map(os.fsencode, names)
    )


def test_a_parent_that_is_not_listed(store):
    stack = store.apply(layer(file("a/b/c", mtime=9)))
    shown = store.picture("k", stack)
    for path in (b"", b"a", b"a/b"):
        assert (shown[path].mode, shown[path].owner, shown[path].mtime_ns) == (0o755, (0, 0), 0)


def test_sparse_files(store):
    hole = 1 << 20
    info, _ = file(
        "sparse",
        pax_headers={
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": "sparse",
            "GNU.sparse.realsize": str(hole + 4 + hole),
        },
    )
    data = f"1\n{hole}\n4\n".encode().ljust(512, b"\0") + b"data"
    info.size = len(data)
    stack = store.apply(layer((info, data)))
    with store.mounted(store.snapshotter.prepare("k", stack)) as root:
        fd = os.open("sparse", os.O_RDONLY, dir_fd=root)
        assert os.fstat(fd).st_size == hole + 4 + hole
        # On the disk: what fstat says of a hole is each file system's own affair.
        blocks = sum(path.lstat().st_blocks for path in store.root.rglob("*"))
        assert blocks * 512 < hole
        assert os.pread(fd, 6, hole - 1) == b"\0data\0"
        os.close(fd)
    store.snapshotter.remove("k")


def test_attributes_of_the_root(store):
    stack = store.apply(BASE, layer(directory("./", mode=0o711, uid=9, mtime=11)))
    root = store.picture("k", stack)[b""]
    assert (root.mode, root.owner, root.mtime_ns) == (0o711, (9, 0), 11_000_000_000)


# --- stacks ---------------------------------------------------------------------------------------


def names(shown: dict[bytes, trees.Picture], below: bytes) -> set[bytes]:
    return {path for path in shown if path.startswith(below + b"/")}


A, B, C, N = b"var/cache/a", b"var/cache/b", b"var/cache/c", b"var/cache/n"


@pytest.mark.parametrize(
    ("members", "kept"),
    [
        pytest.param([whiteout("var/cache/a")], {B}, id="whiteout"),
        pytest.param([whiteout("var/cache/none")], {A, B}, id="of-nothing"),
        pytest.param([opaque("var/cache")], set(), id="opaque"),
        pytest.param([file("var/cache/c"), opaque("var/cache")], {C}, id="opaque-last"),
        pytest.param([opaque("var/cache"), file("var/cache/c")], {C}, id="opaque-first"),
        pytest.param([whiteout("var/cache/a"), file("var/cache/a")], {A, B}, id="hidden-and-had"),
        pytest.param([file("var/cache/a"), whiteout("var/cache/a")], {A, B}, id="had-and-hidden"),
        pytest.param(
            [whiteout("var/cache"), directory("var/cache"), file("var/cache/n")],
            {N},
            id="whiteout-and-directory",
        ),
        pytest.param(
            [directory("var/cache"), file("var/cache/n"), whiteout("var/cache")],
            {N},
            id="directory-and-whiteout",
        ),
        pytest.param([whiteout("var"), whiteout("var/cache/a")], set(), id="whiteout-and-below"),
        pytest.param([whiteout("var"), file("var/cache/c")], {C}, id="whole-tree-but-one"),
        pytest.param([whiteout("new/x"), whiteout("var")], set(), id="in-a-new-directory"),
        pytest.param([whiteout("var")], set(), id="whole-tree"),
        pytest.param([file("var/cache", b"file")], set(), id="directory-becomes-file"),
        pytest.param([symlink("var", "tmp")], set(), id="directory-becomes-symlink"),
        pytest.param([directory("var/cache/a")], {A, B}, id="file-becomes-directory"),
        pytest.param([opaque("")], set(), id="opaque-root"),
        pytest.param(
            [file("var/cache/.wh..wh.plnk/5.6"), file(".wh..wh.aufs")],
            {A, B},
            id="aufs-bookkeeping",
        ),
    ],
)
def test_what_a_layer_hides(shared_store, members: list[Member], kept: set[bytes]):
    shown = shared_store.picture("k", shared_store.apply(BASE, layer(*members)))
    assert names(shown, b"var/cache") == kept
    assert not [path for path in shown if b".wh." in path]
    assert shared_store.leftovers() == []


def test_a_file_below_a_symlink_of_a_lower_layer_replaces_the_symlink(store):
    shown = store.picture("k", store.apply(BASE, layer(file("lib/new", b"new"))))
    assert shown[b"lib"].kind == "d"
    assert names(shown, b"lib") == {b"lib/new"}
    assert names(shown, b"usr/lib") == {b"usr/lib/libc", b"usr/lib/libc.6"}


def test_hardlinks_hold_within_a_layer(store):
    stack = store.apply(BASE, layer(file("usr/lib/libc", b"new")))
    shown = store.picture("k", stack[:1])
    assert shown[b"usr/lib/libc"].names == (b"usr/lib/libc", b"usr/lib/libc.6")
    shown = store.picture("k", stack)
    assert shown[b"usr/lib/libc"].content == b"new"
    assert shown[b"usr/lib/libc.6"].content == b"\x7fELF"


def test_a_name_that_comes_and_goes_through_a_stack(store):
    stack = store.apply(
        layer(directory("x", mode=0o700), file("x/1")),
        layer(file("x", b"file")),
        layer(directory("x", mode=0o711), file("x/2")),
        layer(whiteout("x")),
        layer(directory("x"), file("x/3")),
        layer(file("x/4")),
    )
    expected = [{b"x/1"}, set(), {b"x/2"}, set(), {b"x/3"}, {b"x/3", b"x/4"}]
    for height, below in enumerate(expected, 1):
        assert names(store.picture("k", stack[:height]), b"x") == below


def test_scratch_is_an_empty_directory(store):
    shown = store.picture("k", [])
    assert list(shown) == [b""]
    assert shown[b""].mode == 0o755


def test_a_layer_may_occur_twice_in_a_stack(store):
    base, empty, gone = store.apply(BASE, layer(), layer(whiteout("etc")))
    shown = store.picture("k", [base, empty, gone, empty, base, empty])
    assert b"etc/passwd" in shown


# --- active snapshots -----------------------------------------------------------------------------


def write(root: int, name: str, data: bytes) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=root)
    os.write(fd, data)
    os.close(fd)


def test_a_snapshot_is_written_to_without_touching_its_layers(store):
    stack = store.apply(BASE)
    before = store.picture("other", stack)
    mount = store.snapshotter.prepare("key", stack)
    assert store.snapshotter.mounts("key") == mount
    assert store.snapshotter.keys() == ["key"]
    with store.mounted(mount) as root:
        write(root, "etc/hostname", b"changed\n")
        os.unlink("etc/passwd", dir_fd=root)
    assert store.picture("other", stack) == before
    with store.mounted(store.snapshotter.mounts("key")) as root:
        assert names(trees.picture(root), b"etc") == {b"etc/hostname"}
    store.snapshotter.remove("key")
    assert store.snapshotter.keys() == []


def test_a_key_is_taken_once(store):
    store.snapshotter.prepare("key", [])
    with pytest.raises(EngineError, match="key") as failure:
        store.snapshotter.prepare("key", [])
    assert kind_of(failure) is Kind.CONFLICT
    store.snapshotter.remove("key")
    store.snapshotter.prepare("key", [])
    store.snapshotter.remove("key")


def take_from(home: Path, part: str) -> None:
    """As a power cut may, of what no sync has promised to keep."""
    if part == "all of it":
        shutil.rmtree(home)
    elif part == "half of the stack":
        (home / "stack").write_text((home / "stack").read_text()[:20])
    elif (home / part).is_dir():
        (home / part).rmdir()
    else:
        (home / part).unlink()


@pytest.mark.parametrize("part", ["all of it", "stack", "half of the stack", "upper", "work"])
def test_what_was_never_secured_is_made_anew(store, part):
    if store.snapshotter.name == "native" and part != "all of it":
        pytest.skip("it is brought to the disk at once")
    stack = store.apply(BASE)
    mount = store.snapshotter.prepare("key", stack)
    usage = store.snapshotter.key_usage("key")
    take_from(store.snapshotter.active_path("key"), part)
    store.snapshotter.renew("key", stack)
    assert store.snapshotter.mounts("key") == mount
    assert store.snapshotter.key_usage("key") == usage
    store.snapshotter.secure("key")
    with store.mounted(mount) as root:
        write(root, "etc/hostname", b"changed\n")
    store.snapshotter.remove("key")


def test_what_was_written_is_never_made_anew(store):
    stack = store.apply(BASE)
    mount = store.snapshotter.prepare("key", stack)
    store.snapshotter.secure("key")
    with store.mounted(mount) as root:
        write(root, "precious", b"data")
        before = trees.picture(root)
    store.snapshotter.renew("key", stack)
    (store.snapshotter.active_path("key") / "stack").write_text("damaged")
    with pytest.raises(EngineError, match="file stack is damaged") as failure:
        store.snapshotter.renew("key", stack)
    assert kind_of(failure) is Kind.DATA_LOSS
    with store.mounted(mount) as root:
        assert trees.picture(root) == before
    store.snapshotter.remove("key")


def test_a_snapshot_is_secured_once(store, monkeypatch):
    synced = []
    store.snapshotter.prepare("key", store.apply(BASE))
    monkeypatch.setattr(os, "fsync", synced.append)
    store.snapshotter.secure("key")
    first = len(synced)
    assert first == (0 if store.snapshotter.name == "native" else 4)
    store.snapshotter.secure("key")
    assert len(synced) == first
    store.snapshotter.remove("key")
    store.snapshotter.prepare("key", [])
    store.snapshotter.remove("key")
    store.snapshotter.secure("key")


@pytest.mark.parametrize("key", ["", ".", "..", "a/b", "-x", "x" * 129, "a\0b", "ä", "a\n"])
def test_a_key_is_a_file_name(store, key):
    with pytest.raises(EngineError, match="key") as failure:
        store.snapshotter.prepare(key, [])
    assert kind_of(failure) is Kind.INVALID_ARGUMENT
    store.snapshotter.remove(key)


def test_the_mount_attaches_in_a_namespace_of_its_own(store, tmp_path):
    mount = store.snapshotter.prepare("key", store.apply(BASE))
    target = tmp_path / "target"
    target.mkdir()
    seen: list[bytes] = []

    def in_a_namespace() -> None:  # a thread may have its own; it ends with the thread
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        mount.attach(str(target))
        seen.append((target / "etc/hostname").read_bytes())

    thread = threading.Thread(target=in_a_namespace)
    thread.start()
    thread.join()
    assert seen == [b"base\n"]
    assert not os.listdir(target)
    store.snapshotter.remove("key")


# --- changes as a layer ---------------------------------------------------------------------------


def change_much(root: int) -> None:
    write(root, "etc/hostname", b"changed\n")
    os.unlink("etc/passwd", dir_fd=root)
    os.mkdir("etc/new", 0o711, dir_fd=root)
    os.chown("etc/new", 12, 13, dir_fd=root)
    write(root, "etc/new/one", b"one")
    os.link("etc/new/one", "etc/new/two", src_dir_fd=root, dst_dir_fd=root)
    os.symlink("nowhere", "etc/new/link", dir_fd=root)
    os.mkfifo("etc/new/fifo", 0o600, dir_fd=root)
    os.mknod("etc/new/null", stat.S_IFCHR | 0o666, os.makedev(1, 3), dir_fd=root)
    for name in ("a", "b"):
        os.unlink(f"var/cache/{name}", dir_fd=root)
    os.rmdir("var/cache", dir_fd=root)
    os.mkdir("var/cache", 0o755, dir_fd=root)  # opaque, in overlayfs's words
    write(root, "var/cache/fresh", b"fresh")
    os.unlink("lib", dir_fd=root)
    os.mkdir("lib", 0o755, dir_fd=root)
    write(root, "lib/x", b"x")
    fd = os.open("usr/lib", os.O_RDONLY, dir_fd=root)
    os.setxattr(fd, "user.note", b"noted")
    os.close(fd)


def test_changes_become_a_layer_and_a_layer_the_same_tree(store):
    stack = store.apply(BASE)
    with store.mounted(store.snapshotter.prepare("key", stack)) as root:
        change_much(root)
        changed = trees.picture(root)
    with store.snapshotter.diff("key") as stream:
        tar = stream.read()
    assert store.snapshotter.diff("key").read() == tar
    stack += store.apply((Digest.of(tar), tar))
    shown = store.picture("again", stack)
    assert shown.pop(b"")[:3] == changed.pop(b"")[:3]
    assert shown == changed
    with tarfile.open(fileobj=io.BytesIO(tar)) as listing:
        members = set(listing.getnames())
    assert "etc/.wh.passwd" in members
    assert "usr/lib/libc" not in members
    store.snapshotter.remove("key")


def test_a_change_that_hides_itself_is_found(store):
    with store.mounted(store.snapshotter.prepare("key", store.apply(BASE))) as root:
        before = os.stat("etc/hostname", dir_fd=root)
        write(root, "etc/hostname", b"evil\n")
        os.utime("etc/hostname", ns=(before.st_atime_ns, before.st_mtime_ns), dir_fd=root)
    with tarfile.open(fileobj=io.BytesIO(store.snapshotter.diff("key").read())) as tar:
        changed = tar.extractfile("etc/hostname")
        assert changed is not None
        assert changed.read() == b"evil\n"
    store.snapshotter.remove("key")


def test_no_change_is_an_empty_layer(store):
    store.snapshotter.prepare("key", store.apply(BASE))
    assert store.snapshotter.diff("key").read() == bytes(1024)
    assert store.snapshotter.key_usage("key").bytes == 0
    store.snapshotter.remove("key")


def test_an_unread_diff_is_closed(store):
    with store.mounted(store.snapshotter.prepare("key", [])) as root:
        write(root, "file", b"x" * 1_000_000)
    stream = store.snapshotter.diff("key")
    assert stream.read(10)
    stream.close()
    store.snapshotter.remove("key")


def test_sockets_are_left_out_of_a_layer_and_marks_refused(store):
    with store.mounted(store.snapshotter.prepare("key", [])) as root:
        os.mknod("socket", stat.S_IFSOCK | 0o600, dir_fd=root)
        assert store.snapshotter.diff("key").read() == bytes(1024)
        write(root, ".wh.victim", b"")
        with (
            store.snapshotter.diff("key") as tar,
            pytest.raises(EngineError, match=r"\.wh\.victim") as failure,
        ):
            tar.read()
    assert kind_of(failure) is Kind.INVALID_ARGUMENT
    store.snapshotter.remove("key")


def test_key_usage_counts_what_was_written(store):
    with store.mounted(store.snapshotter.prepare("key", store.apply(BASE))) as root:
        write(root, "file", b"x" * 1000)
        os.link("file", "again", src_dir_fd=root, dst_dir_fd=root)
        os.unlink("etc/passwd", dir_fd=root)
    assert store.snapshotter.key_usage("key").bytes == 1000
    store.snapshotter.remove("key")


def test_all_files_of_a_stack_are_on_one_device(store):
    """Else programs that stay on one file system leave out what is in another layer."""
    top = layer(file("top", b"t"), directory("own"), file("own/file"))
    stack = store.apply(BASE, top)
    with store.mounted(store.snapshotter.prepare("k", stack)) as root:
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=root))
        names = (".", "top", "own", "own/file", "etc", "etc/hostname", "usr/lib/libc", "new")
        found = [os.stat(name, dir_fd=root) for name in names]
    assert len({status.st_dev for status in found}) == 1
    assert len({status.st_ino for status in found}) == len(names)


def test_what_the_top_layers_root_hides_is_not_the_containers_doing(store):
    """An untouched container has no changes, whatever marks the layer below it bears."""
    stack = store.apply(BASE, layer(opaque(""), file("kept"), whiteout("etc")))
    store.snapshotter.prepare("k", stack)
    with store.snapshotter.diff("k") as changes:
        entries = [entry.name for entry, _ in read_tar(changes)]
    assert entries == []
    store.snapshotter.remove("k")
