"""Users and groups, as the image's /etc/passwd and /etc/group have them.

Parsed here and never by NSS: its modules would be loaded from the container's root, with our
privileges (CVE-2019-14271). The rules are those of Docker's `--user`: `name`, `uid`, `name:group`,
`uid:gid`; a number needs no entry.
"""

from dataclasses import dataclass
from typing import Protocol

from wherry import errdefs

# A file that an image may hold; the bound keeps a hostile one from filling our memory.
LIMIT = 4 << 20
_MAX_ID = 2**31 - 1
_MAX_GROUPS = 65536  # NGROUPS_MAX
_NAMED = 6  # as many of those who are there as an error names
_NAME_MAX = 32  # LOGIN_NAME_MAX of useradd(8)


class Root(Protocol):
    """Where the two files are: a container's root, or a tree that nobody has mounted."""

    def read(self, path: str, limit: int, /) -> bytes | None:
        """The first `limit` bytes of a file; None if there is none. May raise OSError."""


@dataclass(frozen=True)
class Identity:
    """Who a process is: numbers for the kernel, a home for its environment."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


@dataclass(frozen=True)
class _User:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True)
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def resolve(root: Root, wanted: str, extra_groups: tuple[str, ...] = ()) -> Identity:
    """The identity that `wanted` names inside `root`; `extra_groups` are names or numbers.

    Raises InvalidArgument if a name is in none of the files or a number is out of range.
    """
    users = _users(_text(root, "/etc/passwd"))
    groups = _groups(_text(root, "/etc/group"))
    user_part, _, group_part = wanted.partition(":")
    user = _find_user(user_part or "0", users)
    gid = _find_group(group_part, groups) if group_part else user.gid
    # The group itself too, else dropping it by setgid() would widen access (CVE-2022-36109).
    more = [gid]
    if not group_part and user.name:
        more += [group.gid for group in groups if user.name in group.members]
    more += [_find_group(name, groups) for name in extra_groups]
    distinct = tuple(dict.fromkeys(more))
    if len(distinct) > _MAX_GROUPS:
        raise errdefs.invalid(f"user {wanted} is in {len(distinct)} groups, {_MAX_GROUPS} is most")
    # -1 would tell the kernel to leave an identity as it is: root's.
    for number in (user.uid, *distinct):
        _check(number)
    return Identity(user.uid, gid, distinct, user.home or "/")


def _find_user(wanted: str, users: list[_User]) -> _User:
    for user in users:
        if wanted in (user.name, str(user.uid)):
            return user
    number = _number(wanted)
    if number is None:
        raise _unknown("user", wanted, "passwd", [user.name for user in users])
    return _User("", number, 0, "/")


def _find_group(wanted: str, groups: list[_Group]) -> int:
    for group in groups:
        if wanted in (group.name, str(group.gid)):
            return group.gid
    number = _number(wanted)
    if number is None:
        raise _unknown("group", wanted, "group", [group.name for group in groups])
    return number


def _unknown(kind: str, wanted: str, file: str, names: list[str]) -> errdefs.EngineError:
    """In Docker's words, and after them who is there."""
    shown = [name for name in names if name.isprintable() and len(name) <= _NAME_MAX]
    some = ", ".join(shown[:_NAMED]) + (", ..." if len(shown) > _NAMED else "")
    there = f"it has {some}" if shown else f"the image has no /etc/{file} with entries"
    return errdefs.invalid(
        f"unable to find {kind} {wanted}: no matching entries in {file} file "
        f"({there}; a number needs no entry)"
    )


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    return _check(int(text))


def _check(number: int) -> int:
    if number > _MAX_ID:
        raise errdefs.invalid(f"uids and gids must be in range 0-{_MAX_ID}, not {number}")
    return number


def _text(root: Root, path: str) -> str:
    try:
        return (root.read(path, LIMIT) or b"").decode(errors="surrogateescape")
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise errdefs.invalid(f"reading {path} of the container: {said}") from error


def _users(text: str) -> list[_User]:
    found = []
    for fields in _lines(text, 6):
        uid, gid = _field(fields[2]), _field(fields[3])
        if uid is not None and gid is not None:
            found.append(_User(fields[0], uid, gid, fields[5]))
    return found


def _groups(text: str) -> list[_Group]:
    found = []
    for fields in _lines(text, 4):
        gid = _field(fields[2])
        if gid is not None:
            found.append(_Group(fields[0], gid, tuple(fields[3].split(","))))
    return found


def _lines(text: str, fields: int) -> list[list[str]]:
    # Lines as the C library has them: str.splitlines() would let an entry hide in another's text.
    # A zero byte can be in no name and no path.
    lines = [line for line in text.split("\n") if line[:1] not in ("#", "") and "\0" not in line]
    split = [line.strip().split(":") for line in lines]
    return [line + [""] * (fields - len(line)) for line in split if line[0]]


def _field(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None
