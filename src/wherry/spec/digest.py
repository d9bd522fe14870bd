"""Digests, as the OCI image specification writes them (descriptor.md, "Digests")."""

import hashlib
import re

from wherry import errdefs

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}\Z")


class Digest(str):
    """`sha256:` and 64 lower-case hexadecimal digits: the identity of some bytes.

    A `Digest` is always well-formed: it comes from `parse` or from hashing. Only sha256 is
    taken, as every registry and tool uses it; another algorithm is refused by name.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """Raises InvalidArgument if `text` is not a digest that Wherry can verify."""
        if _SHA256.match(text):
            return cls(text)
        algorithm, separator, _ = text.partition(":")
        if separator and re.fullmatch(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*", algorithm):
            if algorithm != "sha256":
                raise errdefs.invalid(
                    f"digest {text!r}: the algorithm {algorithm} is not supported, only sha256"
                )
            raise errdefs.invalid(f"digest {text!r}: sha256 has 64 lower-case hexadecimal digits")
        raise errdefs.invalid(f"{text!r} is not a digest (sha256:<64 hexadecimal digits>)")

    @classmethod
    def of(cls, data: bytes) -> "Digest":
        return cls("sha256:" + hashlib.sha256(data).hexdigest())

    @classmethod
    def from_hex(cls, hexdigest: str) -> "Digest":
        return cls.parse("sha256:" + hexdigest)

    @property
    def hex(self) -> str:
        return self[7:]
