"""Stages of work on one stream, each in a thread of its own, with a bound on what lies between.

::

    source --- ReadAhead ---> consumer --- Digesting ---> sha256
               reads, decompresses          hashes what the consumer has got

Reading, decompressing and hashing let go of the interpreter's lock while they work, so two stages
use two processors. A stage that is ahead waits: at most `DEPTH` pieces lie before the next one.
"""

import hashlib
import queue
import threading
from typing import Final, Generic, TypeVar

from wherry.closing import Closing
from wherry.layers.tar import Readable
from wherry.spec.digest import Digest

PIECE: Final = 1 << 18  # a few of them stay in a processor's cache, from stage to stage
DEPTH: Final = 8

Item = TypeVar("Item")


class _Channel(Generic[Item]):
    """A bounded queue whose two ends can leave."""

    def __init__(self) -> None:
        self._items: queue.Queue[Item] = queue.Queue(DEPTH)
        self._left = threading.Event()

    def put(self, item: Item) -> bool:
        """Wait for room; False if the taker has left."""
        while not self._left.is_set():
            try:
                self._items.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def take(self) -> Item:
        return self._items.get()

    def leave(self) -> None:
        """The taker takes no more."""
        self._left.set()


class ReadAhead(Closing):
    """Reads `source` in a thread of its own, ahead of who reads this.

    An error of the source is raised here, in its place in the stream. To be closed: then the
    thread has let go of the source, which stays its owner's.
    """

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._channel: _Channel[bytes | BaseException] = _Channel()
        self._piece = memoryview(b"")
        self._ended: bytes | BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                piece = self._source.read(PIECE)
                if not self._channel.put(piece) or not piece:
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised again by who reads
            self._channel.put(error)

    def read(self, size: int, /) -> bytes:
        if not self._piece:
            if self._ended is None:
                taken = self._channel.take()
                if isinstance(taken, bytes) and taken:
                    self._piece = memoryview(taken)
                else:
                    self._ended = taken
            if isinstance(self._ended, BaseException):
                raise self._ended
            if self._ended is not None:
                return b""
        given, self._piece = self._piece[:size], self._piece[size:]
        whole = given.obj
        if isinstance(whole, bytes) and len(given) == len(whole):
            return whole
        return bytes(given)

    def close(self) -> None:
        self._channel.leave()
        self._thread.join()


class Digesting(Closing):
    """A stream whose bytes are hashed in a thread of its own, behind who reads it."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self._channel: _Channel[bytes] = _Channel()
        self._thread = threading.Thread(target=self._run, name="hashing", daemon=True)
        self._thread.start()
        self.count = 0
        self.at_end = False

    def _run(self) -> None:
        while piece := self._channel.take():
            self._sha256.update(piece)

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        if data:
            self.count += len(data)
            self._channel.put(data)
        elif size:
            self.at_end = True
        return data

    @property
    def digest(self) -> Digest:
        """That of the bytes read; nothing may be read any more."""
        self.close()
        return Digest.from_hex(self._sha256.hexdigest())

    def close(self) -> None:
        if self._thread.is_alive():
            self._channel.put(b"")
            self._thread.join()
