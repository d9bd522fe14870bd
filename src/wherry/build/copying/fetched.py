"""Files that ADD has fetched from a URL."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
from typing import TYPE_CHECKING, BinaryIO, Final, cast
from urllib.parse import unquote, urlsplit

from wherry import errdefs
from wherry.build.copying.options import GivenFile

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PIECE: Final = 1 << 20
_MODE: Final = 0o600
_UNNAMED: Final = "__unnamed__"
_ALGORITHMS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}


def fetched_file(
    url: str, file: BinaryIO, *, mtime_ns: int = 0, checksum: str = "", unpack: bool = False
) -> GivenFile:
    """A source for `plan_copy` of what was fetched from `url` into `file`, a file on disk.

    `file` stays the caller's, and open as long as the plan is used. It is called as the URL's path
    ends, has mode 0600, and the time that the server has told (`Last-Modified`), or 0. `checksum`
    is `--checksum` as written. Raises InvalidArgument if it is none, or the content's is another.
    """
    wanted = parse_checksum(checksum) if checksum else None
    hashers = [hashlib.sha256()]
    if wanted is not None:
        hashers.append(hashlib.new(wanted[0]))
    size = 0
    try:
        while piece := os.pread(file.fileno(), _PIECE, size):
            for hasher in hashers:
                hasher.update(piece)
            size += len(piece)
    except OSError as error:
        raise errdefs.from_os_error(f"reading what was fetched from {url}", error) from error
    if wanted is not None and hashers[1].hexdigest() != wanted[1]:
        raise errdefs.invalid(
            f"digest mismatch: {url} has {wanted[0]}:{hashers[1].hexdigest()}, and --checksum says"
            f" {checksum}"
        )

    def opened() -> BinaryIO:
        return io.BufferedReader(cast("io.RawIOBase", _FromStart(file.fileno())), _PIECE)

    digest = hashers[0].digest()
    return GivenFile(name_of(url), size, digest, opened, _MODE, mtime_ns, unpack)


def parse_checksum(text: str) -> tuple[str, str]:
    """(algorithm, hex digits) of `sha256:...`. Raises InvalidArgument for what is none."""
    algorithm, _, digits = text.partition(":")
    if algorithm not in _ALGORITHMS:
        known = ", ".join(_ALGORITHMS)
        raise errdefs.invalid(f"--checksum={text}: it begins with none of {known} and a colon")
    if len(digits) != _ALGORITHMS[algorithm] or digits.strip("0123456789abcdef"):
        raise errdefs.invalid(
            f"--checksum={text}: after {algorithm} there are {_ALGORITHMS[algorithm]} digits of"
            " 0-9 and a-f"
        )
    return algorithm, digits


def name_of(url: str) -> str:
    """What a file of a URL is called: the last part of its path, as BuildKit has it."""
    path = unquote(urlsplit(url).path, errors="surrogateescape")
    name = posixpath.basename(path.rstrip("/"))
    return name if name not in ("", ".", "..") and "\0" not in name else _UNNAMED


class _FromStart(io.RawIOBase):
    """An open file, read from its start whatever its position."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: WriteableBuffer, /) -> int:
        count = os.preadv(self._fd, [target], self._at)
        self._at += count
        return count
