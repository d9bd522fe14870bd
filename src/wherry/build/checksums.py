"""`ADD --checksum`: what was fetched has to have this digest."""

from __future__ import annotations

import hashlib
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.build.threads import Stop

_PIECE: Final = 1 << 20
_ALGORITHMS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}


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


def verify(name: str, file: BinaryIO, checksum: str, stop: Stop) -> None:
    """Raises InvalidArgument if the content has another digest, or if `checksum` is none."""
    algorithm, wanted = parse_checksum(checksum)
    hasher = hashlib.new(algorithm)
    while piece := file.read(_PIECE):
        stop.check()
        hasher.update(piece)
    if hasher.hexdigest() != wanted:
        raise errdefs.invalid(
            f"digest mismatch: {name} has {algorithm}:{hasher.hexdigest()}, and --checksum says "
            f"{checksum}"
        )
