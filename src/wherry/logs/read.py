"""The reading end of a container's log.

    async for chunk in read(path, Wanted(tail=10), ended=container_has_stopped):
        ...                                  # bytes, ready to be sent

A chunk holds many entries, already in the form that the client gets: for a log of 200,000 lines
that is what makes reading cheap. At most a block of the log is in memory at a time.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator

from wherry import errdefs
from wherry.linux.inotify import DirectoryWatch
from wherry.logs import files
from wherry.logs.entries import Renderer, Wanted
from wherry.logs.files import LogFile
from wherry.threads import to_thread

__all__ = ["Wanted", "read"]

# A block as small as this is in the page cache, just written: reading it on the loop costs less
# than a thread.
_INLINE = 32 * 1024
# The watch tells of every change; this is for file systems whose changes it doesn't see.
_BACKSTOP = 2.0
_POLL = 0.1


async def read(
    path: str | os.PathLike[str], wanted: Wanted, *, ended: asyncio.Event | None = None
) -> AsyncGenerator[bytes, None]:
    """What the log holds, oldest first; with `ended`, also what comes, until that is set.

    `ended` is set when nothing will be written any more; everything written before is still
    delivered. Without it only what was there at the call's beginning is read. A log that does
    not exist is empty. Raises EngineError if a file can't be opened or read.
    """
    text = os.fspath(path)
    reader = _Reader(text, Renderer(wanted))
    try:
        if ended is None:
            reader.open(wanted.tail)
            async for chunk in reader.present():
                yield chunk
            return
        with _Alarm(os.path.dirname(text), ended) as alarm:
            # Watching begins before reading: no change can fall between the two.
            reader.open(wanted.tail)
            async for chunk in reader.follow(alarm, wanted.until):
                yield chunk
    except OSError as error:
        raise errdefs.from_os_error(f"cannot read the log {text}", error) from error
    finally:
        reader.close()


class _Reader:
    """Goes through the log's files, from the oldest to the live one."""

    def __init__(self, path: str, renderer: Renderer) -> None:
        self._path = path
        self._renderer = renderer
        self._files: list[LogFile] = []

    def open(self, tail: int | None) -> None:
        self._files = files.open_all(self._path)
        if tail is None:
            return
        for file in reversed(self._files):
            tail -= file.seek_tail(tail)

    def close(self) -> None:
        for file in self._files:
            file.close()

    async def present(self) -> AsyncIterator[bytes]:
        """What is there now. A writer that is faster than the client can't keep us here."""
        ends = [file.size() for file in self._files]
        for file, end in zip(self._files, ends, strict=True):
            async for chunk in self._drain(file, end):
                yield chunk

    async def follow(self, alarm: "_Alarm", until: int | None) -> AsyncIterator[bytes]:
        while not self._renderer.past_until:
            # Both are asked before reading: what happens later is seen in the next round.
            finished = alarm.ended() or (until is not None and time.time_ns() > until)
            self._find_newer()
            while self._files:
                async for chunk in self._drain(self._files[0], None):
                    yield chunk
                if len(self._files) == 1:
                    break
                self._files.pop(0).close()
            if finished:
                return
            await alarm.wait(until)

    def _find_newer(self) -> None:
        if not self._files:
            self._files = files.open_all(self._path)
        elif files.was_replaced(self._files[-1], self._path):
            self._files += files.open_successors(self._files[-1], self._path)

    async def _drain(self, file: LogFile, end: int | None) -> AsyncIterator[bytes]:
        """All whole lines of a file, up to the offset `end` if there is one."""
        while not self._renderer.past_until:
            if file.behind() > _INLINE:
                chunk = await to_thread(self._step, file, end)
            else:
                chunk = self._step(file, end)
            if chunk is None:
                return
            if chunk:
                yield chunk

    def _step(self, file: LogFile, end: int | None) -> bytes | None:
        block = file.read_lines(end)
        return self._renderer.render(block) if block else None


class _Alarm:
    """Wakes a follower: when the log's directory changes, and when the writer has ended."""

    def __init__(self, directory: str, ended: asyncio.Event) -> None:
        self._directory = directory
        self._ended = ended
        self._wake = asyncio.Event()
        self._watch: DirectoryWatch | None = None
        self._waiter: asyncio.Task[None] | None = None

    def __enter__(self) -> "_Alarm":
        self._waiter = asyncio.create_task(self._wait_for_end())
        try:
            self._watch = DirectoryWatch(self._directory)
        except OSError:
            return self  # no watches left: look now and then
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._changed, self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        if self._waiter is not None:
            self._waiter.cancel()
        if self._watch is not None:
            asyncio.get_running_loop().remove_reader(self._watch.fileno())
            self._watch.close()

    def ended(self) -> bool:
        return self._ended.is_set()

    async def wait(self, until: int | None) -> None:
        timeout = _BACKSTOP if self._watch is not None else _POLL
        if until is not None:
            timeout = min(timeout, max(0.0, (until - time.time_ns()) / 1e9) + 0.001)
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def _changed(self, watch: DirectoryWatch) -> None:
        watch.clear()
        self._wake.set()

    async def _wait_for_end(self) -> None:
        await self._ended.wait()
        self._wake.set()
