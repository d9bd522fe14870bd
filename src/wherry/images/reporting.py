"""What a user sees of a layer on its way."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from wherry.layers.tar import Readable

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a layer's short name, the bytes done of its blob, and the blob's bytes."""

_STEP: Final = 1 << 20
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_SHOWN: Final = 12


class Reported:
    """A blob being read, which says how far."""

    def __init__(self, stream: Readable, name: str, total: int, seen: Progress) -> None:
        self._stream = stream
        self.name = name
        self._total = total
        self._seen = seen
        self._done = 0
        self._said = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._done += len(data)
        if self._done - self._said >= _STEP:
            self._said = self._done
            self._seen(self.name, self._done, self._total)
        return data


def shown_as(member: str) -> str:
    """A member of an archive, in the short form of a digest where its name has one: mostly the
    layer's own, or an old one of its own."""
    found = _HEX.search(member)
    return (found[0] if found else member)[:_SHOWN]
