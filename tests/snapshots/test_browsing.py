"""Looking into stacks without a mount. That all that a mount shows is seen, and nothing else, is
asked for every tree that the other tests look at (`Store.picture`)."""

import concurrent.futures
import hashlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import browsed
import pytest
import trees
from layertars import directory, fifo, file, hardlink, layer, opaque, symlink, whiteout

from wherry.errdefs import EngineError, Kind
from wherry.layers.files import resolve, walk
from wherry.layers.flatten import tar_of
from wherry.snapshots.browsing import merged
from wherry.spec.digest import Digest

pytestmark = pytest.mark.root

SOAK = os.environ.get("WHERRY_SOAK") == "1"

BASE = layer(
    directory("etc", mode=0o755),
    file("etc/passwd", b"root\n", mtime=5, uid=7, xattrs={"user.note": b"noted"}),
    symlink("lib", "usr/lib"),
    file("usr/lib/libc", b"\x7fELF", mode=0o755),
    hardlink("usr/lib/libc.6", "usr/lib/libc"),
    fifo("pipe"),
)


def test_a_tree_is_looked_into(store):
    with store.snapshotter.browse(store.apply(BASE)) as tree:
        assert tree.names(b"") == [b"etc", b"lib", b"pipe", b"usr"]
        node = tree.node(b"etc/passwd")
        assert (node.kind, node.size, node.uid, node.mtime_ns) == ("file", 5, 7, 5_000_000_000)
        assert node.xattrs == {b"user.note": b"noted"}
        assert node.identity is None
        assert resolve(tree, b"lib/libc") == b"usr/lib/libc"
        one, two = tree.node(b"usr/lib/libc"), tree.node(b"usr/lib/libc.6")
        assert one == two
        assert one.identity is not None
        with tree.open(b"usr/lib/libc.6") as content:
            assert content.read() == b"\x7fELF"


@pytest.mark.parametrize(
    "path",
    [
        b"none",
        b"etc/none",
        b"none/passwd",
        b"lib/libc",
        b"etc/passwd/x",
        b"pipe/x",
        b"etc/../etc",
        b"etc/.",
        b"..",
        b"etc//passwd",
        b"etc/passwd/",
        b"nul\0",
        b"n" * 256,
        b"etc/" + b"n" * 256,
        b"d/" * 3000 + b"d",
    ],
)
def test_what_is_not_there(shared_store, path: bytes):
    with shared_store.snapshotter.browse(shared_store.apply(BASE)) as tree:
        for _ in range(2):
            assert tree.node(path) is None
            for ask in (tree.open, tree.names):
                with pytest.raises(EngineError, match="no such") as failure:
                    ask(path)
                assert failure.value.kind is Kind.NOT_FOUND
            assert len(list(walk(tree))) == 9  # now from the names that it has read


@pytest.mark.parametrize("path", [b"", b"etc", b"lib", b"pipe"])
def test_only_regular_files_are_opened(shared_store, path: bytes):
    with shared_store.snapshotter.browse(shared_store.apply(BASE)) as tree:
        with pytest.raises(EngineError, match="is no regular file") as failure:
            tree.open(path)
        assert failure.value.kind is Kind.NOT_FOUND
        if path not in (b"", b"etc"):
            with pytest.raises(EngineError, match="no such directory"):
                tree.names(path)


def test_no_layer_and_no_snapshot(store):
    nothing = Digest.of(b"nothing")
    hidden = [nothing, *store.apply(layer(opaque("")))]
    for ask in (
        lambda: store.snapshotter.browse([nothing]),
        lambda: store.snapshotter.browse(hidden),
        lambda: store.snapshotter.browse_active("key"),
        lambda: store.snapshotter.browse_active("../key"),
    ):
        with pytest.raises(EngineError, match="no such") as failure:
            ask()
        assert failure.value.kind is Kind.NOT_FOUND


def test_scratch(store):
    with store.snapshotter.browse([]) as tree:
        assert (tree.node(b"").kind, tree.node(b"").mode) == ("dir", 0o755)
        assert tree.names(b"") == []
        assert tree.node(b"x") is None


def test_a_large_file(store):
    data = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(40_000))
    tree = store.snapshotter.browse(store.apply(layer(file("large", data))))
    with tree.open(b"large") as content:
        tree.close()  # who reads a file needs no tree any more
        assert content.read(100) == data[:100]
        assert content.seek(-1000, os.SEEK_END) == len(data) - 1000
        assert content.read() == data[-1000:]
        assert content.seek(700_001) == 700_001
        assert content.read(300_000) == data[700_001:1_000_001]
        content.seek(0)
        assert content.read() == data


def test_holes_are_zeros(store):
    mega = 1 << 20
    info, _ = file(
        "sparse",
        pax_headers={
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": "sparse",
            "GNU.sparse.realsize": str(3 * mega),
        },
    )
    segments = [(mega, 4096), (2 * mega + 5, 7)]
    text = "".join(f"{number}\n" for number in (2, *segments[0], *segments[1]))
    stored = b"A" * 4096 + b"B" * 7
    data = text.encode().ljust(512, b"\0") + stored
    info.size = len(data)
    expected = bytearray(3 * mega)
    expected[mega : mega + 4096] = b"A" * 4096
    expected[2 * mega + 5 : 2 * mega + 12] = b"B" * 7
    stack = store.apply(layer((info, data)))
    with store.snapshotter.browse(stack) as tree, tree.open(b"sparse") as content:
        assert content.read() == expected
        for start in (0, mega - 1, mega + 4090, 2 * mega, 2 * mega + 6, 3 * mega - 1, 3 * mega):
            content.seek(start)
            assert content.read(300_000) == expected[start : start + 300_000]


# --- large directories, small memories ------------------------------------------------------------

WIDE = layer(*(file(f"wide/{number * 7 % 3001:05}", b"%d" % number) for number in range(3001)))
WIDER = layer(
    *(whiteout(f"wide/{number:05}") for number in range(0, 3001, 3)),
    *(file(f"wide/{number:05}.new", b"new") for number in range(0, 3001, 100)),
)


def test_names_are_found_without_reading_all(store):
    with store.snapshotter.browse(store.apply(WIDE, WIDER)) as tree:
        for number in range(3001):
            assert (tree.node(b"wide/%05d" % number) is None) == (number % 3 == 0)
            assert (tree.node(b"wide/%05d.new" % number) is None) == (number % 100 != 0)
        for name in (b"!", b"00000!", b"00001!", b"~", b"03000~"):
            assert tree.node(b"wide/" + name) is None


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged, "_DIRECTORIES_AT_HAND", 3)
    monkeypatch.setattr(merged, "_NAMES_AT_HAND", 20)


DEEP = layer(
    *(
        file(f"{'/'.join(['d'] * depth)}/{name}", name.encode())
        for depth in range(1, 40)
        for name in "az"
    )
)
DEEPER = layer(opaque("/".join(["d"] * 30)), file("/".join(["d"] * 33) + "/m", b"m"))


@pytest.mark.usefixtures("forgetful")
def test_a_tree_that_is_larger_than_what_is_kept_at_hand(store):
    names = layer(*(file(f"names/{number}") for number in range(30)))
    stack = store.apply(names, DEEP, DEEPER)
    shown = store.picture("k", stack)  # which looks into it as well
    assert len(shown) > 100
    with store.snapshotter.browse(stack) as tree:
        assert len(tree._at_hand._kept) == 0
        assert {path for path, _ in walk(tree)} == set(shown)
        assert len(tree._at_hand._kept) <= 3


@pytest.mark.usefixtures("forgetful")
def test_many_threads_read_at_once(store):
    stack = store.apply(BASE, DEEP, DEEPER)
    with (
        store.snapshotter.browse(stack) as tree,
        concurrent.futures.ThreadPoolExecutor(4) as pool,
    ):
        pictures = list(pool.map(lambda _: browsed.picture(tree), range(4)))
    assert all(picture == pictures[0] for picture in pictures)
    assert b"etc/passwd" in pictures[0]


def test_a_closed_tree_is_not_read(store):
    tree = store.snapshotter.browse(store.apply(BASE))
    tree.names(b"etc")
    tree.close()
    tree.close()
    for ask in (tree.node, tree.names, tree.open):
        for path in (b"", b"etc"):
            with pytest.raises(ValueError, match="closed"):
                ask(path)


# --- active snapshots -----------------------------------------------------------------------------


def write(root: int, name: str, data: bytes) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=root)
    os.write(fd, data)
    os.close(fd)


def test_what_a_container_has_changed_is_seen(store):
    stack = store.apply(BASE, layer(file("etc/group", b"g"), file("usr/share/doc", b"d")))
    with store.mounted(store.snapshotter.prepare("key", stack)) as root:
        write(root, "etc/passwd", b"changed\n")
        write(root, "etc/new", b"new")
        os.unlink("etc/group", dir_fd=root)
        os.link("etc/new", "etc/newer", src_dir_fd=root, dst_dir_fd=root)
        os.unlink("usr/share/doc", dir_fd=root)
        os.rmdir("usr/share", dir_fd=root)
        os.mkdir("usr/share", 0o700, dir_fd=root)
        os.chmod("usr/lib", 0o711, dir_fd=root)
        shown = trees.picture(root)
        with store.snapshotter.browse_active("key") as tree:
            found = browsed.picture(tree)
    assert found[b"etc/passwd"].content == b"changed\n"
    assert found[b"etc/new"].names == (b"etc/new", b"etc/newer")
    assert found == shown
    store.snapshotter.remove("key")


def test_a_container_leads_nobody_out_of_its_root(store, tmp_path: Path):
    (tmp_path / "secret").write_text("the host's")
    stack = store.apply(BASE)
    with store.mounted(store.snapshotter.prepare("key", stack)) as root:
        os.symlink(tmp_path, "way", dir_fd=root)
        os.symlink(tmp_path / "secret", "etc/file", dir_fd=root)
        write(root, "etc/new", b"new")
        with store.snapshotter.browse_active("key") as tree:
            assert tree.names(b"etc") == [b"file", b"new", b"passwd"]
            assert tree.node(b"way/secret") is None
            assert tree.node(b"way").link == os.fsencode(tmp_path)
            with pytest.raises(EngineError, match="no regular file"):
                tree.open(b"etc/file")
            # The file becomes a symlink between the look at its directory and its opening.
            os.unlink("etc/new", dir_fd=root)
            os.symlink(tmp_path / "secret", "etc/new", dir_fd=root)
            with pytest.raises(EngineError, match="no such file") as failure:
                tree.open(b"etc/new")
            assert failure.value.kind is Kind.NOT_FOUND
    store.snapshotter.remove("key")


def test_sockets_hide_what_is_below_them_and_are_not_seen(store):
    with store.mounted(store.snapshotter.prepare("key", store.apply(BASE))) as root:
        os.unlink("etc/passwd", dir_fd=root)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"/proc/self/fd/{root}/etc/passwd")
        with store.snapshotter.browse_active("key") as tree:
            assert tree.node(b"etc/passwd") is None
            assert tree.names(b"etc") == []
            assert tree.node(b"etc/passwd") is None
    store.snapshotter.remove("key")


def test_a_stack_as_one_archive_is_the_same_tree(store):
    stack = store.apply(BASE, DEEP, layer(whiteout("d/d/d"), file("lib", b"no link")))
    shown = store.picture("k", stack)
    with store.snapshotter.browse(stack) as tree, tar_of(tree) as archive:
        tar = archive.read()
    again = store.picture("k", store.apply((Digest.of(tar), tar)))
    assert again.pop(b"").mode == shown.pop(b"").mode
    assert again == shown


# --- damage ---------------------------------------------------------------------------------------


def damage(look: Callable[[], object]) -> EngineError | None:
    try:
        look()
    except EngineError as error:
        return error
    except AssertionError:
        pass  # it shows something else than it should: `verify` is for that
    return None


def test_a_damaged_layer_file_is_named(make_store: Callable):
    store = make_store("erofs")
    (diff_id,) = store.apply(BASE)
    path = store.root / "layers" / diff_id.hex / "layer.erofs"
    whole = path.read_bytes()
    (metadata,) = struct.unpack_from("<Q", whole, 32)  # docs/erofs.md, "The record"

    def look() -> None:
        with store.snapshotter.browse([diff_id]) as tree:
            tree.node(b"usr/lib/libc")
            browsed.picture(tree)

    seen: set[Kind] = set()
    for at in range(metadata, len(whole), 1 if SOAK else 29):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        error = damage(look)
        if error is not None:
            seen.add(error.kind)
            assert error.kind is Kind.NOT_FOUND or diff_id in error.message
    assert Kind.DATA_LOSS in seen
    assert seen <= {Kind.DATA_LOSS, Kind.NOT_FOUND}
