"""JSON laid out without being understood: numbers and escapes stay as the daemon wrote them."""

from __future__ import annotations

INDENT = "    "


def indent(text: str, level: int = 0) -> str:
    """`text`, valid JSON, with four spaces to a level; empty objects and arrays stay on a line."""
    pieces: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == '"':
            end = _string_end(text, at)
            pieces.append(text[at:end])
            at = end
            continue
        at += 1
        if char in "{[":
            closing = _skip_space(text, at)
            if text[closing : closing + 1] in ("}", "]"):
                pieces.append(char + text[closing])
                at = closing + 1
                continue
            level += 1
            pieces.append(char + "\n" + INDENT * level)
        elif char in "}]":
            level -= 1
            pieces.append("\n" + INDENT * level + char)
        elif char == ",":
            pieces.append(",\n" + INDENT * level)
        elif char == ":":
            pieces.append(": ")
        elif char not in " \t\r\n":
            pieces.append(char)
    return "".join(pieces)


def compact(text: str) -> str:
    """`text`, valid JSON, without the space between its tokens."""
    pieces: list[str] = []
    at = 0
    while at < len(text):
        quote = text.find('"', at)
        end = len(text) if quote < 0 else quote
        pieces.append("".join(text[at:end].split()))
        at = end if quote < 0 else _string_end(text, quote)
        pieces.append(text[end:at])
    return "".join(pieces)


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def _string_end(text: str, start: int) -> int:
    at = start + 1
    while True:
        quote = text.find('"', at)
        if quote < 0:
            return len(text)
        slashes = quote
        while text[slashes - 1] == "\\":
            slashes -= 1
        if (quote - slashes) % 2 == 0:
            return quote + 1
        at = quote + 1
