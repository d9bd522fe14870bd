"""Archives that were made to hurt: a tree or an EngineError, nothing else, and in no time."""

from __future__ import annotations

import gzip
import io
import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.build.context import index, open_upload
from wherry.errdefs import EngineError, Kind
from wherry.layers.files import walk
from wherry.layers.tar import DIRECTORY, HARDLINK, SYMLINK, Entry, TarWriter, encode, pax

EXAMPLES = 20_000 if os.environ.get("WHERRY_SOAK") == "1" else 300


def whole() -> bytes:
    stream = io.BytesIO()
    writer = TarWriter(stream)
    writer.add(Entry(b"a", DIRECTORY))
    writer.add(Entry(b"a/b", size=600, xattrs={b"user.x": b"y"}), b"x" * 600)
    writer.add(Entry(b"c", SYMLINK, link=b"a"))
    writer.add(Entry(b"d" * 150, HARDLINK, link=b"a/b"))
    writer.finish()
    return stream.getvalue()


WHOLE = whole()


def read(data: bytes, folder: Path) -> None:
    """All of it, or a refusal."""
    try:
        context = open_upload(io.BytesIO(data), folder)
    except EngineError as error:
        kind = error.kind
    else:
        with context:
            for path, node in walk(context.tree):
                if node.kind == "file":
                    with context.tree.open(path) as file:
                        file.read(10_000)
                    context.tree.content_digest(path)
        kind = Kind.INVALID_ARGUMENT
    assert kind is Kind.INVALID_ARGUMENT
    assert os.listdir(folder) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spool")


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_damaged_archives(folder: Path, data: st.DataObject) -> None:
    damaged = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(WHOLE) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(WHOLE)))
    read(bytes(damaged[:end]), folder)
    read(gzip.compress(WHOLE)[:end], folder)


@settings(max_examples=EXAMPLES)
@given(data=st.binary(max_size=2000))
def test_any_bytes(folder: Path, data: bytes) -> None:
    read(data, folder)
    read(data + WHOLE, folder)


names = st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=4).map(b"/".join)
entries = st.tuples(names, st.sampled_from(["file", "dir", "symlink", "hardlink"]), names)


@settings(max_examples=EXAMPLES)
@given(listed=st.lists(entries, max_size=12))
def test_any_order_of_entries_gives_a_consistent_tree(
    folder: Path, listed: list[tuple[bytes, str, bytes]]
) -> None:
    blocks = [
        encode(Entry(name, kind, link=link if kind in ("symlink", "hardlink") else b""))
        for name, kind, link in listed
        if (name, kind) != (link, "hardlink")
    ]
    try:
        context = open_upload(io.BytesIO(b"".join(blocks) + bytes(1024)), folder)
    except EngineError:
        return
    with context:
        seen: dict[int, int] = {}
        for path, node in walk(context.tree):
            parent, _, name = path.rpartition(b"/")
            if path:
                assert name in context.tree.names(parent)
            if node.identity is not None:
                seen[node.identity] = seen.get(node.identity, 0) + 1
        assert all(count > 1 for count in seen.values())


def test_no_archive_takes_long(folder: Path) -> None:
    deep = b"/".join([b"d"] * 2000)
    blocks = [encode(Entry(deep + b"/%d" % number)) for number in range(20)]
    blocks += [encode(Entry(b"f"))]
    blocks += [encode(Entry(b"l%d" % number, HARDLINK, link=b"f")) for number in range(2000)]
    blocks += [encode(Entry(b"l%d" % number)) for number in range(2000)]
    for number in range(1000):
        blocks += [encode(Entry(b"r/s/t%d" % number)), encode(Entry(b"r"))]
        blocks += [encode(Entry(b"r", DIRECTORY))]
    began = time.process_time()
    read(b"".join(blocks) + bytes(1024), folder)
    assert time.process_time() - began < 2


def test_an_index_has_an_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_BUDGET", 100_000)
    rng = random.Random(0)
    paths = [b"/".join(b"%d" % rng.randrange(1000) for _ in range(50)) for _ in range(10)]
    with pytest.raises(EngineError, match=r"the index of its files would take over .*dockerignore"):
        open_upload(io.BytesIO(b"".join(encode(Entry(path)) for path in paths)), folder)


def test_a_hole_of_an_exabyte_costs_nothing(folder: Path) -> None:
    records = pax.encode({b"GNU.sparse.size": b"%d" % 10**18, b"GNU.sparse.map": b"0,0"})
    extended = bytearray(encode(Entry(b"PaxHeaders/x", size=len(records))))
    extended[156:157] = b"x"
    extended[148:156] = b" " * 8
    extended[148:156] = b"%06o\0 " % sum(extended)
    data = bytes(extended) + records + bytes(-len(records) % 512) + encode(Entry(b"x"))
    with open_upload(io.BytesIO(data), folder) as context:
        node = context.tree.node(b"x")
        assert node is not None
        assert node.size == 10**18
        assert context.tree.locate(b"x") is None
        began = time.process_time()
        assert len(context.tree.content_digest(b"x")) == 32
        assert context.tree.open(b"x").read(10) == bytes(10)
        assert time.process_time() - began < 1
