"""Extended attributes of a layer's files, as they stand behind an inode."""

import os
from typing import Final

from wherry import errdefs
from wherry.layers.attributes import is_content
from wherry.layers.erofs import acl
from wherry.layers.erofs.format import (
    MAX_XATTR_VALUE,
    MAX_XATTRS,
    XATTR_ENTRY,
    XATTR_HEADER,
    XATTR_PREFIXES,
    aligned,
)
from wherry.layers.tar import DIRECTORY, FILE, SYMLINK, Kind

OPAQUE: Final = (b"trusted.overlay.opaque", b"y")
ORIGIN: Final = (b"trusted.overlay.origin", b"")

_ACCESS: Final = b"system.posix_acl_access"
_DEFAULT: Final = b"system.posix_acl_default"
_CAPABILITY: Final = b"security.capability"
_CAPABILITY_SIZES: Final = {2: 20, 3: 24}  # by the revision in the highest byte (capabilities(7))


def judged(xattrs: dict[bytes, bytes], kind: Kind, mode: int) -> tuple[dict[bytes, bytes], int]:
    """What a file of this kind keeps of its xattrs, and its mode after they are set.

    The host's own are dropped (see layers/attributes.py). Raises InvalidArgument for what Linux
    would refuse to set, as a driver that unpacks meets it.
    """
    kept: dict[bytes, bytes] = {}
    for name, value in xattrs.items():
        if not is_content(os.fsdecode(name)):
            continue
        if name in (_ACCESS, _DEFAULT):
            entries = acl.judge(value)
            if kind == SYMLINK or (name == _DEFAULT and kind != DIRECTORY and entries):
                raise _misplaced(name)
            if name == _ACCESS and entries:
                mode, more = acl.access_mode(entries, mode)
                entries = entries if more else []
            if not entries:
                continue
        elif name == _CAPABILITY:
            if value and _CAPABILITY_SIZES.get(value[3] if len(value) > 3 else 0) != len(value):
                raise errdefs.invalid("it has a security.capability that Linux would refuse")
        elif kind not in (FILE, DIRECTORY) or name == b"user.":
            raise _misplaced(name)
        kept[name] = value
    return kept, mode


def encode(xattrs: dict[bytes, bytes]) -> bytes:
    """The bytes that follow an inode; b"" for none.

    Raises InvalidArgument for values, or for so many, that the format cannot have.
    """
    if not xattrs:
        return b""
    pieces = [XATTR_HEADER.pack(0, 0)]
    for name, value in xattrs.items():
        if len(value) > MAX_XATTR_VALUE:
            raise errdefs.invalid(f"its xattr {name!r} is over {MAX_XATTR_VALUE} bytes long")
        rest, index = _split(name)
        piece = XATTR_ENTRY.pack(len(rest), index, len(value)) + rest + value
        pieces.append(piece.ljust(aligned(len(piece), 4), b"\0"))
    encoded = b"".join(pieces)
    if len(encoded) > MAX_XATTRS:
        raise errdefs.invalid(f"its xattrs are over {MAX_XATTRS} bytes long")
    return encoded


def _split(name: bytes) -> tuple[bytes, int]:
    for prefix, index in XATTR_PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :], index
    raise AssertionError(name)  # `judged` lets none of another namespace pass


def _misplaced(name: bytes) -> errdefs.EngineError:
    return errdefs.invalid(f"this kind of file cannot have the xattr {os.fsdecode(name)!r}")
