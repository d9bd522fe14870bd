"""A context that a client sends: an archive, or the text of a Dockerfile alone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from wherry.build.context.context import Context
from wherry.build.context.index import Index
from wherry.build.context.spool import Spool
from wherry.errdefs import EngineError, invalid
from wherry.layers.compression import open_layer
from wherry.layers.tar import Entry, Readable, TarReader
from wherry.layers.tar.fields import BLOCK, END_OF_ARCHIVE, Malformed
from wherry.layers.tar.header import fields_of

DOCKERFILE: Final = b"Dockerfile"
_CHUNK: Final = 1 << 18


def open_upload(stream: Readable, folder: Path, what: str = "the build context") -> Context:
    """Read `stream` to its end: a tar, plain or compressed by gzip, bzip2, xz or zstd, or a
    Dockerfile's text, told apart by content as Docker's CLI does.

    It lies decompressed in a file without a name in `folder` and takes no more memory than its
    index (some 400 bytes and its name for each file). Nothing at all is a context without files.

    Blocks; runs in a worker thread. Raises InvalidArgument, with the name of an entry where there
    is one, for an archive that is cut short, lies, or leads out of itself; and ResourceExhausted
    when the disk is nearly full. `what` says in messages what was read.
    """
    spool = Spool(folder)
    try:
        return _opened(spool, stream)
    except EngineError as error:
        spool.close()
        raise EngineError(error.kind, f"{what}: {error.message}") from error
    except BaseException:
        spool.close()
        raise


def _opened(spool: Spool, stream: Readable) -> Context:
    source = _Kept(open_layer(stream), spool)
    head = source.peek()
    index = Index()
    if head and not _begins_tar(head):
        _judge_text(head)
        while source.read(_CHUNK):
            pass
        index.add(Entry(DOCKERFILE, mode=0o644, size=spool.size))
        return Context(index.tree(spool), only_dockerfile=True)
    for entry in TarReader(source, may_lack_padding=True):
        index.add(entry)
    return Context(index.tree(spool))


def _begins_tar(head: bytes) -> bool:
    if len(head) < BLOCK:
        return False
    try:
        fields_of(head[:BLOCK])
    except Malformed:
        return head[:BLOCK] == END_OF_ARCHIVE
    return True


def _judge_text(head: bytes) -> None:
    if b"\0" in head:
        raise invalid("it is neither a tar archive (plain, gzip, bzip2, xz, zstd) nor a Dockerfile")


class _Kept:
    """A stream of which all that is read is kept in the spool too."""

    def __init__(self, stream: Readable, spool: Spool) -> None:
        self._stream = stream
        self._spool = spool
        self._head = b""

    def peek(self) -> bytes:
        """The first block, less only if the stream is shorter; it will be read again."""
        while len(self._head) < BLOCK and (data := self._pull(BLOCK - len(self._head))):
            self._head += data
        return self._head

    def read(self, size: int, /) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._pull(size)

    def _pull(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._spool.write(data)
        return data
