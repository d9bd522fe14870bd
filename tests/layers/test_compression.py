"""Streams as registries and archives hold them: whole, in parts, cut off, changed."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import sys
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.errdefs import EngineError, Kind
from wherry.layers.compression import HEAD_SIZE, HashingReader, detect, open_layer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

EXAMPLES = 5000 if os.environ.get("WHERRY_SOAK") else 100
CHECKED = {zstd.CompressionParameter.checksum_flag: 1}
COMPRESS = {
    "gzip": lambda data: gzip.compress(data, 6, mtime=0),
    "zstd": lambda data: zstd.compress(data, options=CHECKED),
    "xz": lambda data: lzma.compress(data, preset=1),
    "bzip2": bz2.compress,
}
TEXT = b"".join(b"line %d of a layer\n" % number for number in range(30_000))

every = pytest.mark.parametrize("name", list(COMPRESS))


class Trickle:
    """Gives a few bytes at a time, as a socket may."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, 7))


@every
class TestEach:
    def test_whole(self, name):
        compressed = COMPRESS[name](TEXT)
        assert detect(compressed[:HEAD_SIZE]) == name
        assert open_layer(io.BytesIO(compressed)).read() == TEXT

    def test_by_pieces(self, name):
        stream = open_layer(Trickle(COMPRESS[name](TEXT[:5000])))
        assert b"".join(iter(lambda: stream.read(100), b"")) == TEXT[:5000]
        assert stream.read() == b""

    def test_nothing(self, name):
        assert open_layer(io.BytesIO(COMPRESS[name](b""))).read() == b""

    def test_members_follow_each_other(self, name):
        compressed = COMPRESS[name](TEXT) + COMPRESS[name](b"") + COMPRESS[name](b"more")
        assert open_layer(io.BytesIO(compressed)).read() == TEXT + b"more"
        assert open_layer(Trickle(COMPRESS[name](b"a") + COMPRESS[name](b"b"))).read() == b"ab"

    def test_all_of_the_stream_is_read(self, name):
        compressed = COMPRESS[name](TEXT)
        reader = HashingReader(io.BytesIO(compressed))
        open_layer(reader).read()
        assert reader.count == len(compressed)
        assert reader.digest.hex == hashlib.sha256(compressed).hexdigest()

    def test_cut_off_anywhere(self, name):
        compressed = COMPRESS[name](os.urandom(50))
        first = COMPRESS[name](b"")
        for cut in range(HEAD_SIZE, len(compressed)):
            with pytest.raises(EngineError, match="ends early") as caught:
                open_layer(io.BytesIO(compressed[:cut])).read()
            assert caught.value.kind is Kind.INVALID_ARGUMENT
            with pytest.raises(EngineError, match=r"ends early|something else"):
                open_layer(io.BytesIO(first + compressed[: cut - HEAD_SIZE + 1])).read()

    def test_changed_content_is_never_given_as_whole(self, name):
        compressed = COMPRESS[name](TEXT[:3000])
        for place in range(HEAD_SIZE, len(compressed), 11):
            changed = bytearray(compressed)
            changed[place] ^= 0x40
            try:
                assert open_layer(io.BytesIO(changed)).read() == TEXT[:3000]
            except EngineError as error:
                assert name in error.message  # noqa: PT017 - it may also be a byte without meaning

    def test_something_else_follows(self, name):
        for tail in (
            b"garbage",
            b"garbage" * 10,
            COMPRESS["xz" if name == "gzip" else "gzip"](b"x"),
        ):
            with pytest.raises(EngineError, match="something else"):
                open_layer(io.BytesIO(COMPRESS[name](b"data") + tail)).read()

    def test_a_bomb_takes_no_memory(self, name):
        bomb = COMPRESS[name](bytes(10_000_000))
        tracemalloc.start()
        try:
            stream = open_layer(io.BytesIO(bomb))
            assert sum(len(piece) for piece in iter(lambda: stream.read(65536), b"")) == 10_000_000
            assert tracemalloc.get_traced_memory()[1] < 6 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("name", ["gzip", "xz"])
def test_zeros_may_fill_up_a_tape(name):
    assert open_layer(io.BytesIO(COMPRESS[name](b"x") + bytes(10_240))).read() == b"x"
    padded = COMPRESS[name](b"x") + bytes(512) + COMPRESS[name](b"y")
    assert open_layer(io.BytesIO(padded)).read() == b"xy"


def test_zstd_frames_to_skip():
    skipped = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    compressed = COMPRESS["zstd"](b"data")
    assert detect(skipped) == "zstd"
    assert open_layer(io.BytesIO(skipped + compressed + skipped)).read() == b"data"


@pytest.mark.parametrize("data", [b"", b"x", b"BZh is how this file's name begins", TEXT])
def test_what_is_not_compressed_is_passed_on(data):
    assert detect(data[:HEAD_SIZE]) is None
    assert open_layer(io.BytesIO(data)).read() == data
    assert open_layer(Trickle(data[:1000])).read() == data[:1000]


def test_too_much_memory_is_refused():
    greedy = lzma.compress(TEXT, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}])
    with pytest.raises(EngineError, match=r"[Mm]emory"):
        open_layer(io.BytesIO(greedy)).read()


def test_closing_closes_the_stream():
    for data in (b"plain", COMPRESS["gzip"](b"x")):
        source = io.BytesIO(data)
        with open_layer(HashingReader(source)):
            pass
        assert source.closed


def test_an_error_of_the_disk_keeps_its_kind():
    class Broken:
        def read(self, size: int, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(EngineError, match="input/output error") as caught:
        open_layer(Broken())
    assert caught.value.kind is Kind.INTERNAL


@settings(max_examples=EXAMPLES, deadline=2000)
@given(st.sampled_from(list(COMPRESS)), st.binary(max_size=200), st.data())
def test_mutated_streams_give_bytes_or_an_engine_error(name, content, data):
    stream = bytearray(COMPRESS[name](content))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(stream) - 1))
        stream[place] = data.draw(st.integers(0, 255))
    opened = open_layer(io.BytesIO(stream))
    try:
        for _ in range(100):
            opened.read(65536)
    except EngineError as error:
        refused = error.kind
    else:
        return
    assert refused is Kind.INVALID_ARGUMENT


def test_hashing_reader_counts_and_drains():
    reader = HashingReader(io.BytesIO(TEXT))
    assert reader.read(10) == TEXT[:10]
    assert reader.count == 10
    reader.drain()
    assert reader.count == len(TEXT)
    assert reader.digest.hex == hashlib.sha256(TEXT).hexdigest()
