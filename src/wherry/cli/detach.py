"""The keys that leave a container running: Ctrl-P Ctrl-Q unless other ones are named."""

from __future__ import annotations

DEFAULT_KEYS = "ctrl-p,ctrl-q"


def parse_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q`, `a,b` as bytes; the empty text means the default.

    Raises ValueError for a key that is neither one character nor `ctrl-` and one of `a-z@[\\]^_`.
    """
    return bytes(_key(name) for name in (text or DEFAULT_KEYS).split(","))


def _key(name: str) -> int:
    if len(name) == 1 and name.isascii():
        return ord(name)
    letter = name.removeprefix("ctrl-")
    if len(name) == 6 and letter != name and letter.lower() in "abcdefghijklmnopqrstuvwxyz@[\\]^_":
        return ord(letter.upper()) - 64
    raise ValueError(f"unknown character: {name!r} (a key is one character, or ctrl-<letter>)")


class DetachKeys:
    """Finds the sequence in what is typed; its beginning is held back until it is decided."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What goes on to the container, and whether the sequence is complete."""
        passed = bytearray()
        for byte in data:
            if byte == self._keys[self._held]:
                self._held += 1
                if self._held == len(self._keys):
                    self._held = 0
                    return bytes(passed), True
                continue
            passed += self._keys[: self._held]
            self._held = 0
            if byte == self._keys[0]:
                self._held = 1
            else:
                passed.append(byte)
        return bytes(passed), False
