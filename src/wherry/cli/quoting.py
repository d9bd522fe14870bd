"""Text as Go writes it between quotes, and made to fit."""

from __future__ import annotations

_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
            "\v": "\\v"}  # fmt: skip


def quoted(text: str) -> str:
    """A string in Go's double quotes (strconv.Quote)."""
    pieces = []
    for char in text:
        code = ord(char)
        if char in '"\\':
            pieces.append("\\" + char)
        elif char.isprintable():
            pieces.append(char)
        elif char in _ESCAPES:
            pieces.append(_ESCAPES[char])
        elif 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8
            pieces.append(f"\\x{code - 0xDC00:02x}")
        elif code < 0x80:
            pieces.append(f"\\x{code:02x}")
        else:
            pieces.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return f'"{"".join(pieces)}"'


def ellipsis(text: str, width: int) -> str:
    """At most `width` characters, the last of them `…` if some had to go."""
    return text if len(text) <= width else text[: width - 1] + "…"
