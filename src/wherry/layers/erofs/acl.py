"""POSIX ACLs in the form that xattrs have them, judged as Linux does when it sets one.

An EROFS image keeps the xattr's own form, so what the kernel would refuse has to be refused here:
a file whose ACL cannot be understood is a file that nobody can open. The form is linux/
posix_acl_xattr.h: a version, then entries of tag, permissions and id.
"""

import struct
from typing import Final

from wherry import errdefs

_VERSION: Final = struct.pack("<I", 2)
_ENTRY: Final = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 1, 2, 4, 8, 0x10, 0x20
_NOBODY: Final = 0xFFFFFFFF

# In which order tags may follow each other (fs/posix_acl.c, posix_acl_valid).
_AFTER: Final[dict[int, tuple[int, ...]]] = {
    0: (_USER_OBJ,),
    _USER_OBJ: (_USER, _GROUP_OBJ),
    _USER: (_USER, _GROUP_OBJ),
    _GROUP_OBJ: (_GROUP, _MASK, _OTHER),
    _GROUP: (_GROUP, _MASK, _OTHER),
    _MASK: (_OTHER,),
    _OTHER: (),
}


def judge(value: bytes) -> list[tuple[int, int, int]]:
    """The ACL's entries (tag, permissions, id), none for one that means "no ACL".

    Raises InvalidArgument for what the kernel would refuse to set.
    """
    if value[:4] != _VERSION or (len(value) - 4) % _ENTRY.size:
        raise errdefs.invalid("it has an ACL that is not in the form of version 2")
    entries = list(_ENTRY.iter_unpack(value[4:]))
    before = 0
    for tag, permissions, owner in entries:
        if tag not in _AFTER[before] or permissions > 7:
            raise _wrong()
        if tag in (_USER, _GROUP) and owner == _NOBODY:
            raise _wrong()
        if tag == _OTHER and before in (_USER, _GROUP):
            raise _wrong()
        before = tag
    named = any(tag in (_USER, _GROUP) for tag, _, _ in entries)
    masked = any(tag == _MASK for tag, _, _ in entries)
    if entries and (before != _OTHER or (named and not masked)):
        raise _wrong()
    return [(tag, permissions, owner) for tag, permissions, owner in entries]


def access_mode(entries: list[tuple[int, int, int]], mode: int) -> tuple[int, bool]:
    """What setting an access ACL makes of the mode, and whether the ACL says more than that.

    One that doesn't is not kept. (fs/posix_acl.c, posix_acl_update_mode)
    """
    shifts = {_USER_OBJ: 6, _GROUP_OBJ: 3, _MASK: 3, _OTHER: 0}  # the mask comes after the group
    more = False
    for tag, permissions, _ in entries:
        shift = shifts.get(tag)
        if shift is not None:
            mode = mode & ~(7 << shift) | permissions << shift
        more = more or tag in (_USER, _GROUP, _MASK)
    return mode, more


def _wrong() -> errdefs.EngineError:
    return errdefs.invalid("it has an ACL whose entries Linux would refuse")
