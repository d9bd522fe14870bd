"""Docker's frames, taken apart however they come."""

import asyncio
import socket

from hypothesis import given
from hypothesis import strategies as st

from wherry.engine.building.relay import Frames, relay

PIECES = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=40)))


def framed(pieces: list[tuple[str, bytes]]) -> bytes:
    kinds = {"stdout": 1, "stderr": 2}
    return b"".join(
        bytes([kinds[stream], 0, 0, 0]) + len(data).to_bytes(4, "big") + data
        for stream, data in pieces
    )


@given(PIECES, st.lists(st.integers(1, 30)))
def test_frames_cut_anywhere(pieces: list[tuple[str, bytes]], cuts: list[int]) -> None:
    data, frames = framed(pieces), Frames()
    found: list[tuple[str, bytes]] = []
    for size in [*cuts, len(data)]:
        found += frames.split(data[:size])
        data = data[size:]
    for stream in ("stdout", "stderr"):
        expected = b"".join(text for name, text in pieces if name == stream)
        assert b"".join(text for name, text in found if name == stream) == expected
    assert all(text for _, text in found)


async def test_the_relay_ends_with_the_stream() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    heard: list[tuple[str, bytes]] = []
    relaying = asyncio.create_task(relay(ours, lambda stream, data: heard.append((stream, data))))
    theirs.sendall(framed([("stdout", b"a"), ("stderr", b"b")]))
    theirs.close()
    await relaying
    ours.close()
    assert heard == [("stdout", b"a"), ("stderr", b"b")]
