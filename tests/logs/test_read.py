"""The log's reading end: tails, times, following across rotations, and damage."""

import asyncio
import json
import os
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from wherry.logs import files
from wherry.logs import read as reading
from wherry.logs.jsonfile import Writer
from wherry.logs.read import Wanted, read

LARGE = 1 << 30
RAW = Wanted(framed=False)


async def collect(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def line(text: str, at: str = "2026-01-02T03:04:05.000000006Z", stream: str = "stdout") -> str:
    return json.dumps({"log": text, "stream": stream, "time": at}) + "\n"


def fill(path: Path, count: int, max_size: int = LARGE, max_files: int = 1) -> None:
    writer = Writer(path, max_size, max_files)
    for number in range(count):
        writer.write("stdout", b"%d\n" % number)
    writer.close()


async def test_no_log_is_an_empty_log(tmp_path: Path) -> None:
    assert await collect(read(tmp_path / "log", RAW)) == b""


async def test_frames_carry_stream_and_length(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log", LARGE, 1)
    writer.write("stdout", b"out\n")
    writer.write("stderr", "é\n".encode())
    writer.close()
    assert await collect(read(tmp_path / "log", Wanted())) == (
        struct.pack(">BxxxI", 1, 4) + b"out\n" + struct.pack(">BxxxI", 2, 3) + "é\n".encode()
    )
    only_err = Wanted(stdout=False, framed=False)
    assert await collect(read(tmp_path / "log", only_err)) == "é\n".encode()


@pytest.mark.parametrize("tail", [0, 1, 2, 7, 49, 50, 51, 10**12])
@pytest.mark.parametrize("block", [16, 100, 4096])
async def test_tail_across_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tail: int, block: int
) -> None:
    monkeypatch.setattr(files, "BLOCK", block)
    fill(tmp_path / "log", 50, max_size=700, max_files=100)
    wanted = Wanted(tail=tail, framed=False)
    expected = b"".join(b"%d\n" % number for number in range(max(0, 50 - tail), 50))
    assert await collect(read(tmp_path / "log", wanted)) == expected


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, b"a\nb\nc\nd\n"),
        (1767323045_100000000, None, b"b\nc\nd\n"),
        (None, 1767323045_120000000, b"a\nb\nc\n"),
        (1767323045_110000000, 1767323046_000000000, b"c\nd\n"),
        (1767323050_000000000, None, b""),
    ],
)
async def test_since_and_until(
    tmp_path: Path, since: int | None, until: int | None, expected: bytes
) -> None:
    # The third has fewer digits than the second would need to sort as text.
    (tmp_path / "log").write_text(
        line("a\n", "2026-01-02T03:04:05Z")
        + line("b\n", "2026-01-02T03:04:05.1Z")
        + line("c\n", "2026-01-02T03:04:05.12Z")
        + line("d\n", "2026-01-02T05:04:06+02:00")
    )
    wanted = Wanted(since=since, until=until, framed=False)
    assert await collect(read(tmp_path / "log", wanted)) == expected


async def test_timestamps_have_nine_digits(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(line("a\n", "2026-01-02T03:04:05.1Z"))
    found = await collect(read(tmp_path / "log", Wanted(timestamps=True, framed=False)))
    assert found == b"2026-01-02T03:04:05.100000000Z a\n"


@pytest.mark.parametrize(
    "damage", [b"\0" * 100 + b"\n", b'{"log":1}\n', b"{\n", b"\n", b'"\xff"\n', b'{"log":"\xff"}\n']
)
async def test_a_corrupt_line_is_left_out(tmp_path: Path, damage: bytes) -> None:
    content = line("a\n").encode() + damage + line("b\n").encode()
    (tmp_path / "log").write_bytes(content)
    assert await collect(read(tmp_path / "log", RAW)) == b"a\nb\n"


async def test_a_long_run_of_zeros_is_skipped_in_bounded_memory(tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as log:
        log.write(line("a\n").encode())
        log.truncate(5 * files.LONGEST_LINE)
        log.seek(0, os.SEEK_END)
        log.write(b"\n" + line("b\n").encode())
    assert await collect(read(tmp_path / "log", RAW)) == b"a\nb\n"


async def test_a_growing_log_does_not_keep_a_plain_reader(tmp_path: Path) -> None:
    fill(tmp_path / "log", 2)
    chunks = read(tmp_path / "log", RAW)
    assert await anext(chunks) == b"0\n1\n"
    fill(tmp_path / "log", 1)
    assert await collect(chunks) == b""


class Follower:
    """A `logs -f` whose text so far can be waited for."""

    def __init__(self, path: Path, wanted: Wanted = RAW) -> None:
        self.ended = asyncio.Event()
        self.text = b""
        self._changed = asyncio.Event()
        self.task = asyncio.create_task(self._run(read(path, wanted, ended=self.ended)))

    async def _run(self, chunks: AsyncIterator[bytes]) -> None:
        async for chunk in chunks:
            self.text += chunk
            self._changed.set()

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(10):
            while not self.text.endswith(text):
                await self._changed.wait()
                self._changed.clear()

    async def finish(self) -> bytes:
        self.ended.set()
        async with asyncio.timeout(10):
            await self.task
        return self.text


@pytest.fixture(params=["inotify", "polling"])
def watched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "polling":

        def none_left(directory: str) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(reading, "DirectoryWatch", none_left)
        monkeypatch.setattr(reading, "_POLL", 0.002)


@pytest.mark.usefixtures("watched")
async def test_following_gives_every_line_across_rotations(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "log")
    writer = Writer(tmp_path / "log", 500, 3)
    expected = b""
    for number in range(60):
        writer.write("stdout", b"%d\n" % number)
        expected += b"%d\n" % number
        if number % 4 == 0:
            await follower.until(b"%d\n" % number)
    writer.write("stdout", b"last words")
    writer.close()
    assert await follower.finish() == expected + b"last words"


async def test_following_waits_for_the_rest_of_a_line(tmp_path: Path) -> None:
    first, second = line("a\n"), line("b\n")
    (tmp_path / "log").write_text(first + second[:20])
    follower = Follower(tmp_path / "log")
    await follower.until(b"a\n")
    with open(tmp_path / "log", "a") as log:
        log.write(second[20:])
    await follower.until(b"b\n")
    assert await follower.finish() == b"a\nb\n"


async def test_following_an_ended_log_gives_what_is_there(tmp_path: Path) -> None:
    fill(tmp_path / "log", 3)
    follower = Follower(tmp_path / "log", Wanted(tail=2, framed=False))
    assert await follower.finish() == b"1\n2\n"


async def test_following_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "log")
    await asyncio.sleep(0)
    fill(tmp_path / "log", 1)
    await follower.until(b"0\n")
    assert await follower.finish() == b"0\n"


async def test_following_ends_when_until_has_passed(tmp_path: Path) -> None:
    fill(tmp_path / "log", 1)
    follower = Follower(tmp_path / "log", Wanted(until=time.time_ns() + 50_000_000, framed=False))
    async with asyncio.timeout(10):
        await follower.task
    assert follower.text == b"0\n"


async def test_following_survives_truncation(tmp_path: Path) -> None:
    fill(tmp_path / "log", 5)
    follower = Follower(tmp_path / "log")
    await follower.until(b"4\n")
    (tmp_path / "log").write_text("")
    await asyncio.sleep(0.02)
    (tmp_path / "log").write_text(line("new\n"))
    await follower.until(b"new\n")
    await follower.finish()


async def test_readers_leave_no_descriptor(tmp_path: Path) -> None:
    fill(tmp_path / "log", 50, max_size=500, max_files=5)
    await collect(read(tmp_path / "log", RAW))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        follower = Follower(tmp_path / "log")
        await follower.until(b"49\n")
        follower.task.cancel()
        await asyncio.gather(follower.task, return_exceptions=True)
        await collect(read(tmp_path / "log", RAW))
    assert len(os.listdir("/proc/self/fd")) == before
