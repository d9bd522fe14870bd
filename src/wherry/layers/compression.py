"""Layers and archives as they are stored: compressed, or not, by what their first bytes say."""

import hashlib
import io
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, Protocol, TypeAlias, cast

from wherry import errdefs
from wherry.layers.tar import Readable
from wherry.spec.digest import Digest

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Compression: TypeAlias = Literal["gzip", "zstd", "xz", "bzip2"]

HEAD_SIZE: Final = 16
"""How many bytes `detect` wants to see, where there are as many."""

_CHUNK: Final = 1 << 17
_READ: Final = 1 << 20
_XZ_MEMORY: Final = 1 << 27  # its level 9 takes 65 MiB; what is written to take more is an attack

# bzip2's three letters alone may begin the name of a file in a plain tar, so its first block's (or
# its end's) mark has to follow. zstd's second form is a frame to be skipped, as pzstd writes first.
_MAGIC: Final[tuple[tuple[Compression, re.Pattern[bytes]], ...]] = (
    ("gzip", re.compile(rb"\x1f\x8b\x08", re.DOTALL)),
    ("zstd", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)),
    ("xz", re.compile(rb"\xfd7zXZ\x00", re.DOTALL)),
    ("bzip2", re.compile(rb"BZh[1-9](?:\x31AY&SY|\x17\x72\x45\x38\x50\x90)", re.DOTALL)),
)


def detect(head: bytes) -> Compression | None:
    """How a stream that begins with `head` is compressed; None for not at all."""
    for compression, magic in _MAGIC:
        if magic.match(head):
            return compression
    return None


def open_layer(stream: Readable) -> BinaryIO:
    """What `stream` holds, decompressed while it is read; as it is, if it is not compressed.

    Any number of gzip members, zstd frames, xz or bzip2 streams may follow each other. Memory is
    bounded: gzip takes 32 KiB of history, zstd up to 128 MiB as its own tools do, and what asks
    for more is refused. Reading raises InvalidArgument where the stream is corrupt, ends early, or
    goes on with something else; by the end of the result, all of `stream` has been read. The
    result owns `stream`: closing it closes that too, if it is something that can be closed.
    """
    head = b""
    while len(head) < HEAD_SIZE and (chunk := _pull(stream, HEAD_SIZE - len(head))):
        head += chunk
    compression = detect(head)
    if compression is None:
        return cast("BinaryIO", _Plain(head, stream))
    return io.BufferedReader(_Decompressed(_FORMATS[compression](), head, stream), _CHUNK)


def _pull(stream: Readable, size: int) -> bytes:
    try:
        return stream.read(size)
    except OSError as error:
        raise errdefs.from_os_error("reading a layer", error) from error


def _close(stream: Readable) -> None:
    close: Callable[[], object] | None = getattr(stream, "close", None)
    if close is not None:
        close()


class _Decompressor(Protocol):
    """What the decompressors of all four libraries have in common: the standard library's shape."""

    def decompress(self, data: bytes, max_length: int) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


@dataclass(frozen=True)
class _Format:
    name: Compression
    make: Callable[[], _Decompressor]
    error: type[Exception]
    padded: bool
    """Whether zeros may follow: xz defines it, and gzip has always met it on tapes."""


def _gzip() -> _Format:
    from isal import igzip_lib

    return _Format(
        "gzip",
        lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP),
        igzip_lib.IsalError,  # type: ignore[arg-type]  # the stub calls the class an instance
        padded=True,
    )


def _zstd() -> _Format:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    return _Format("zstd", zstd.ZstdDecompressor, zstd.ZstdError, padded=False)


def _xz() -> _Format:
    import lzma

    return _Format(
        "xz",
        lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY),
        lzma.LZMAError,
        padded=True,
    )


def _bzip2() -> _Format:
    import bz2

    return _Format("bzip2", bz2.BZ2Decompressor, OSError, padded=False)


_FORMATS: Final[dict[Compression, Callable[[], _Format]]] = {
    "gzip": _gzip,
    "zstd": _zstd,
    "xz": _xz,
    "bzip2": _bzip2,
}


class _Plain(io.BufferedIOBase):
    """A stream again, after its head was read: its bytes pass without being copied."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = sys.maxsize if size is None or size < 0 else size
        data, self._head = self._head[:wanted], self._head[wanted:]
        if not data:
            data = _pull(self._stream, min(wanted, _READ))
        if len(data) == wanted or not data:
            return data
        pieces, left = [data], wanted - len(data)
        while left and (piece := _pull(self._stream, min(left, _READ))):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size if size >= 0 else _CHUNK)

    def close(self) -> None:
        if not self.closed:
            _close(self._stream)
        super().close()


class _Decompressed(io.RawIOBase):
    """Members one after another, each by a decompressor of its own."""

    def __init__(self, form: _Format, head: bytes, stream: Readable) -> None:
        self._stream = stream
        self._format = form
        self._decompressor = form.make()
        self._input = head
        self._ended = False

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            _close(self._stream)
        super().close()

    def readinto(self, target: "WriteableBuffer") -> int:
        view = memoryview(target).cast("B")
        while not self._ended:
            if self._decompressor.eof:
                self._next_member()
            elif data := self._step(len(view)):
                view[: len(data)] = data
                return len(data)
        return 0

    def _step(self, limit: int) -> bytes:
        """Some decompressed bytes, or none yet."""
        if self._decompressor.needs_input and not self._input:
            self._input = _pull(self._stream, _CHUNK)
            if not self._input:
                raise self._refusal("it ends early")
        data, self._input = self._input, b""
        try:
            return self._decompressor.decompress(data, limit)
        except self._format.error as error:
            raise self._refusal(f"it is corrupt ({error})") from error

    def _next_member(self) -> None:
        rest = self._decompressor.unused_data
        while True:
            if self._format.padded:
                rest = rest.lstrip(b"\0")
            if len(rest) >= HEAD_SIZE or not (chunk := _pull(self._stream, _CHUNK)):
                break
            rest += chunk
        if not rest:
            self._ended = True
        elif detect(rest) == self._format.name:
            self._decompressor = self._format.make()
            self._input = rest
        else:
            raise self._refusal("after its end comes something else")

    def _refusal(self, what: str) -> errdefs.EngineError:
        return errdefs.invalid(f"the {self._format.name} stream cannot be decompressed: {what}")


class HashingReader:
    """A stream that knows the digest and the number of the bytes that were read through it."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._sha256.update(data)
        self.count += len(data)
        return data

    def close(self) -> None:
        """Close the stream beneath, if it is something that can be closed."""
        _close(self._stream)

    def drain(self) -> None:
        """Read what is left, so that the digest is the whole stream's."""
        while self.read(_CHUNK):
            pass

    @property
    def digest(self) -> Digest:
        """That of the bytes read so far."""
        return Digest.from_hex(self._sha256.hexdigest())
