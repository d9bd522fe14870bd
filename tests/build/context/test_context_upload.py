"""What an uploaded context becomes: a tree of the archive's files, or a clear refusal."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.build.context import Context, open_upload
from wherry.build.context.index import Index
from wherry.build.context.spool import Spool
from wherry.errdefs import EngineError, Kind
from wherry.layers.files import Node, resolve, walk
from wherry.layers.tar import DIRECTORY, HARDLINK, SYMLINK, Entry, TarWriter

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def archive(*entries: Entry | tuple[Entry, bytes]) -> bytes:
    stream = io.BytesIO()
    writer = TarWriter(stream)
    for item in entries:
        entry, data = item if isinstance(item, tuple) else (item, b"")
        entry.size = len(data)
        writer.add(entry, data)
    writer.finish()
    return stream.getvalue()


def file(name: bytes, data: bytes = b"", mode: int = 0o644) -> tuple[Entry, bytes]:
    return Entry(name, mode=mode), data


def names(context: Context) -> list[bytes]:
    return [path for path, _ in walk(context.tree) if path]


def descriptors() -> list[str]:
    return os.listdir("/proc/self/fd")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[object]:
    contexts: list[Context] = []
    before = len(descriptors())

    def opening(data: bytes) -> Context:
        contexts.append(open_upload(io.BytesIO(data), tmp_path))
        return contexts[-1]

    yield opening
    for context in contexts:
        context.close()
    assert len(descriptors()) == before
    assert os.listdir(tmp_path) == []


def refused(tmp_path: Path, data: bytes) -> str:
    before = len(descriptors())
    with pytest.raises(EngineError) as caught:
        open_upload(io.BytesIO(data), tmp_path)
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    assert len(descriptors()) == before
    return caught.value.message


def test_files_have_their_metadata_and_content(opened) -> None:
    data = archive(
        Entry(b"bin", DIRECTORY, mode=0o2775, uid=3, gid=4, mtime_ns=7_000_000_000),
        (Entry(b"bin/tool", mode=0o4711, uid=1, gid=2, xattrs={b"user.a": b"b"}), b"#!/bin/sh\n"),
        Entry(b"bin/t", SYMLINK, link=b"../bin/tool", mode=0o777),
        Entry(b"dev", "char", major=1, minor=3),
    )
    context = opened(data)
    tree = context.tree
    assert not context.only_dockerfile
    assert tree.node(b"bin") == Node("dir", 0o2775, 3, 4, 7_000_000_000)
    assert tree.node(b"bin/tool") == Node("file", 0o4711, 1, 2, size=10, xattrs={b"user.a": b"b"})
    assert tree.node(b"bin/t") == Node("symlink", 0o777, link=b"../bin/tool")
    assert tree.node(b"dev") == Node("char", major=1, minor=3)
    assert tree.names(b"bin") == [b"t", b"tool"]
    assert tree.names(b"") == [b"bin", b"dev"]
    assert tree.node(b"bin/none") is None
    assert tree.node(b"bin/tool/below") is None
    assert tree.node(b"bin/t/below") is None
    with tree.open(resolve(tree, b"bin/t")) as content:
        assert content.read() == b"#!/bin/sh\n"


def test_directories_that_nobody_mentions_are_roots(opened) -> None:
    tree = opened(archive(file(b"a/b/c", b"x"))).tree
    assert tree.node(b"") == tree.node(b"a") == tree.node(b"a/b") == Node("dir", 0o755)
    assert [path for path, _ in walk(tree)] == [b"", b"a", b"a/b", b"a/b/c"]


def test_a_directory_mentioned_after_its_files_keeps_them(opened) -> None:
    tree = opened(archive(file(b"a/b"), Entry(b"a", DIRECTORY, mode=0o700))).tree
    assert tree.node(b"a") == Node("dir", 0o700)
    assert tree.names(b"a") == [b"b"]


def test_the_root_has_the_metadata_that_the_archive_gives_it(opened) -> None:
    assert opened(archive(Entry(b"", DIRECTORY, mode=0o711))).tree.node(b"") == Node("dir", 0o711)


def test_the_last_entry_of_a_name_wins(opened) -> None:
    context = opened(
        archive(
            file(b"f", b"old"),
            file(b"d/below/x", b"1"),
            file(b"l", b"1"),
            file(b"f", b"new"),
            Entry(b"d", SYMLINK, link=b"f"),
            Entry(b"l", DIRECTORY),
            file(b"l/x"),
        )
    )
    assert names(context) == [b"d", b"f", b"l", b"l/x"]
    assert context.tree.open(b"f").read() == b"new"
    assert context.tree.node(b"d/below") is None


def test_whiteouts_are_ordinary_files(opened) -> None:
    context = opened(archive(file(b"d/x"), file(b"d/.wh.x", b"w"), file(b"d/.wh..wh..opq")))
    assert names(context) == [b"d", b"d/.wh..wh..opq", b"d/.wh.x", b"d/x"]


def test_names_of_one_file_share_identity_and_content(opened) -> None:
    tree = opened(
        archive(
            file(b"a", b"one", mode=0o600),
            file(b"z", b"one"),
            Entry(b"d/b", HARDLINK, link=b"a"),
            Entry(b"s", SYMLINK, link=b"a"),
            Entry(b"t", HARDLINK, link=b"s"),
        )
    ).tree
    first, second = tree.node(b"a"), tree.node(b"d/b")
    assert first == second
    assert first is not None
    assert first.identity is not None
    assert first.mode == 0o600
    assert tree.node(b"z").identity is None
    assert tree.node(b"s").identity not in (None, first.identity)
    assert tree.open(b"d/b").read() == b"one"


def test_a_file_that_lost_its_other_names_has_no_identity(opened) -> None:
    tree = opened(
        archive(
            file(b"d/a", b"one"),
            Entry(b"b", HARDLINK, link=b"d/a"),
            Entry(b"b", HARDLINK, link=b"d/a"),
            file(b"d", b"instead"),
        )
    ).tree
    assert tree.node(b"b") == Node("file", size=3)
    assert tree.open(b"b").read() == b"one"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([Entry(b"l", SYMLINK, link=b"/etc"), file(b"l/passwd")], "'l' above it is a symlink"),
        ([file(b"f"), Entry(b"f/d", DIRECTORY)], "'f' above it is a file"),
        ([file(b"f"), file(b"f/a/b/c")], "'f' above it is a file"),
        ([Entry(b"a", HARDLINK, link=b"b"), file(b"b")], "hardlink to 'b', which is nothing"),
        ([Entry(b"d", DIRECTORY), Entry(b"a", HARDLINK, link=b"d")], "which is a directory"),
    ],
)
def test_what_has_no_place_is_refused_by_name(tmp_path: Path, entries, words: str) -> None:
    message = refused(tmp_path, archive(*entries))
    assert words in message
    assert message.startswith("the build context: tar entry ")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x"])
def test_names_that_climb_out_are_refused(tmp_path: Path, name: str) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    assert repr(name) in refused(tmp_path, stream.getvalue())


def compressed() -> list[object]:
    return [gzip.compress, bz2.compress, lzma.compress, zstd.compress, bytes]


@pytest.mark.parametrize("compress", compressed())
def test_compressions(opened, compress) -> None:
    context = opened(compress(archive(file(b"Dockerfile", b"FROM a\n"), file(b"x"))))
    assert names(context) == [b"Dockerfile", b"x"]
    assert context.tree.open(b"Dockerfile").read() == b"FROM a\n"
    assert not context.only_dockerfile


@pytest.mark.parametrize("compress", compressed())
@pytest.mark.parametrize("text", [b"FROM a\n", b"FROM b\n# " + b"x" * 300_000, b"FROM \xff\n"])
def test_a_text_is_a_dockerfile_alone(opened, compress, text: bytes) -> None:
    context = opened(compress(text))
    assert context.only_dockerfile
    assert names(context) == [b"Dockerfile"]
    assert context.tree.node(b"Dockerfile") == Node("file", size=len(text))
    assert context.tree.open(b"Dockerfile").read() == text


@pytest.mark.parametrize("data", [b"", bytes(512), bytes(10240), gzip.compress(b"", mtime=0)])
def test_nothing_is_a_context_without_files(opened, data: bytes) -> None:
    context = opened(data)
    assert names(context) == []
    assert not context.only_dockerfile


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    assert "neither a tar archive" in refused(tmp_path, b"\x7fELF\0\0" + bytes(2000))


@pytest.mark.parametrize("cut", [100, 512, 700, 1024, 1100])
def test_what_is_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    whole = archive(file(b"a", b"x" * 600), file(b"b", b"y" * 600))
    if cut != 512 + 1024:
        refused(tmp_path, whole[: -1024 - cut])
    refused(tmp_path, gzip.compress(whole)[:-9])


def test_the_last_file_may_lack_its_padding(opened) -> None:
    """The tar that Docker's CLI makes for `build -f -` has nothing behind its last file's data."""
    whole = archive(file(b"a", b"x" * 600), file(b"b", b"y" * 600))
    tree = opened(whole[: -1024 - 424]).tree
    assert tree.open(b"a").read() == b"x" * 600
    assert tree.open(b"b").read() == b"y" * 600


def test_sparse_files_read_as_zeros(opened, tmp_path: Path) -> None:
    body = b"1.0"  # GNU.sparse 1.0: the map is before the data
    info = tarfile.TarInfo("GNUSparseFile.0/s")
    listed = b"2\n1000\n5\n300000\n3\n"
    body = listed + bytes(512 - len(listed)) + b"helloend"
    info.size = len(body)
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "s",
        "GNU.sparse.realsize": "400000",
    }
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(body))
    tree = opened(stream.getvalue()).tree
    whole = bytes(1000) + b"hello" + bytes(300000 - 1005) + b"end" + bytes(400000 - 300003)
    content = tree.open(b"s")
    assert content.read() == whole
    for at, size in [(0, 10), (995, 10), (1002, 100), (1004, 1), (299_999, 300), (399_999, 5)]:
        content.seek(at)
        assert content.read(size) == whole[at : at + size]
    content.seek(-3, os.SEEK_END)
    assert content.read(10) == bytes(3)
    assert tree.content_digest(b"s") != hashlib.sha256(b"helloend").digest()


def test_no_file_can_pass_for_one_with_holes(tmp_path: Path) -> None:
    """One is written of what the digest of the other might be made of."""
    for said in (b"sparse 4000 [(0, 5)]\n", b"4000 [(0, 5)]\n"):
        index = Index()
        spool = Spool(tmp_path)
        spool.write(said + b"hello")
        index.add(Entry(b"plain", size=spool.size))
        index.add(Entry(b"holes", size=4000, sparse=[(0, 5)], offset=len(said)))
        with index.tree(spool) as tree:
            assert tree.content_digest(b"plain") != tree.content_digest(b"holes")


def test_contents_are_hashed_once_for_all_names(opened) -> None:
    tree = opened(
        archive(file(b"a", b"one" * 100_000), Entry(b"b", HARDLINK, link=b"a"), file(b"empty"))
    ).tree
    assert tree.content_digest(b"a") == hashlib.sha256(b"one" * 100_000).digest()
    assert tree.content_digest(b"b") is tree.content_digest(b"a")
    assert tree.content_digest(b"empty") == hashlib.sha256().digest()
    for wrong in (b"", b"none"):
        with pytest.raises(EngineError):
            tree.content_digest(wrong)


def test_reading_in_pieces(opened) -> None:
    content = opened(archive(file(b"a", b"0123456789"))).tree.open(b"a")
    assert content.read(4) == b"0123"
    buffer = bytearray(4)
    assert content.readinto(buffer) == 4
    assert bytes(buffer) == b"4567"
    assert content.tell() == 8
    assert content.read() == b"89"
    assert content.read(1) == b""
    assert content.seek(0) == 0
    assert io.BufferedReader(content).read() == b"0123456789"
