"""Which names an archive may hold. No name that passes leads out of the archive's root."""

from typing import Final

from wherry.layers.tar.fields import Malformed

MAX_PATH: Final = 4095
"""Bytes of a path or of a symlink's text: the kernel's PATH_MAX, less the NUL that ends it."""
MAX_COMPONENT: Final = 255


def entry_name(raw: bytes, rooted: bool = False) -> bytes:
    """The normal form (see Entry) of an entry's name; b"" is the root itself.

    `a/../b` is `b`, as in Go's filepath.Clean, by which every other engine reads layers; an
    absolute name is refused, but `/` alone is the root (kaniko writes that). `rooted`: any name may
    begin with a slash, which is the archive's root.
    """
    if not rooted and raw[:1] == b"/" and raw.strip(b"/"):
        raise Malformed("its name is absolute")
    if not raw:
        raise Malformed("it has no name")
    return _normal(raw, "name")


def link_name(raw: bytes) -> bytes:
    """The normal form of a hardlink's target.

    A leading `/` is the archive's root: kaniko writes such links, and nobody else's root is meant.
    """
    name = _normal(raw, f"link target {quoted(raw)}")
    if not name:
        raise Malformed("it is a hardlink to nothing")
    return name


def symlink_text(raw: bytes) -> bytes:
    """A symlink's text, as written. Raises Malformed for one that the kernel would refuse."""
    if not raw:
        raise Malformed("it is a symlink to nothing")
    if len(raw) > MAX_PATH:
        raise Malformed(f"its link target is over {MAX_PATH} bytes long")
    if b"\0" in raw:
        raise Malformed("its link target holds a NUL byte")
    return raw


def _normal(raw: bytes, what: str) -> bytes:
    name = raw.rstrip(b"/") if raw.endswith(b"/") else raw
    # bytes.find: `in` first tries whether the needle is a number, which costs more than the search.
    if name.startswith((b".", b"/")) or name.find(b"/.") >= 0 or name.find(b"//") >= 0:
        name = _resolved(name, what)
    if len(name) > MAX_COMPONENT:
        _judge_lengths(name, what)
    if name.find(b"\0") >= 0:
        raise Malformed(f"its {what} holds a NUL byte")
    return name


def _resolved(name: bytes, what: str) -> bytes:
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                raise Malformed(f"its {what} leads out of the archive's root")
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def _judge_lengths(name: bytes, what: str) -> None:
    if len(name) > MAX_PATH:
        raise Malformed(f"its {what} is over {MAX_PATH} bytes long")
    if max(map(len, name.split(b"/"))) > MAX_COMPONENT:
        raise Malformed(f"its {what} has a component of over {MAX_COMPONENT} bytes")


def quoted(name: bytes) -> str:
    """A name for people: in quotes, printable, not endless."""
    readable = name.decode("utf-8", "backslashreplace")
    return repr(readable if len(readable) <= 200 else f"{readable[:200]}...")
