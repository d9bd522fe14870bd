"""The keys by which a user leaves an attached terminal without ending its program."""

from wherry import errdefs

DEFAULT = b"\x10\x11"  # ctrl-p ctrl-q

_CONTROL = {f"ctrl-{chr(ord('a') + i)}": i + 1 for i in range(26)} | {
    "ctrl-@": 0,
    "ctrl-[": 27,
    "ctrl-\\": 28,
    "ctrl-]": 29,
    "ctrl-^": 30,
    "ctrl-_": 31,
}


def parse(text: str) -> bytes:
    """`ctrl-p,ctrl-q` as the bytes that a terminal sends. Empty means the default."""
    if not text:
        return DEFAULT
    keys = bytearray()
    for key in text.split(","):
        if key in _CONTROL:
            keys.append(_CONTROL[key])
        elif len(key) == 1 and key.isascii():
            keys += key.encode()
        else:
            raise errdefs.invalid(f"invalid detach keys ({text}): unknown character: {key!r}")
    return bytes(keys)


class Detector:
    """Finds the keys in what is typed, however it is cut into pieces.

    What may be the beginning of the keys is held back until the next byte tells.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = 0

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """What goes on to the program, and whether the keys are complete."""
        if not self._held and self._keys[0] not in typed:
            return typed, False
        passed = bytearray()
        for byte in typed:
            if byte == self._keys[self._held]:
                self._held += 1
                if self._held == len(self._keys):
                    return bytes(passed), True
                continue
            passed += self._keys[: self._held]
            self._held = 0
            if byte == self._keys[0]:
                self._held = 1
            else:
                passed.append(byte)
        return bytes(passed), False
