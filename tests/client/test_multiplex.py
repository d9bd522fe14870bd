"""Frames of a container's output."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.client.multiplex import Demultiplexer, FrameError

frames = st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=50)), max_size=10)


def encode(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


@given(frames, st.lists(st.integers(0, 600), max_size=20))
def test_any_cutting_gives_the_same_text(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    message = b"".join(encode(*frame) for frame in frames)
    places = sorted({place % (len(message) + 1) for place in cuts} | {0, len(message)})
    demultiplexer = Demultiplexer()
    received = [
        piece for start, end in pairwise(places) for piece in demultiplexer.feed(message[start:end])
    ]
    for stream in range(4):
        assert b"".join(data for kind, data in received if kind == stream) == b"".join(
            data for kind, data in frames if kind == stream
        )
    assert not demultiplexer.mid_frame


@pytest.mark.parametrize(
    "header", [b"\4" + bytes(7), b"\1\0\1" + bytes(5), b"\1\0\0\0\xff" + bytes(3)]
)
def test_what_starts_no_frame_is_refused(header: bytes) -> None:
    with pytest.raises(FrameError):
        Demultiplexer().feed(header)


def test_a_frame_that_is_not_whole_is_known() -> None:
    demultiplexer = Demultiplexer()
    demultiplexer.feed(encode(1, b"hello")[:-1])
    assert demultiplexer.mid_frame
