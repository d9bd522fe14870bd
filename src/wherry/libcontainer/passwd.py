"""Users and groups, as the image's /etc/passwd and /etc/group have them.

Parsed here and never by NSS: its modules would be loaded from the container's root, with our
privileges (CVE-2019-14271). The rules are those of Docker's `--user`: `name`, `uid`, `name:group`,
`uid:gid`; a number needs no entry.
"""

from dataclasses import dataclass

from wherry import errdefs
from wherry.libcontainer.inroot import Root

# A file that an image may hold; the bound keeps a hostile one from filling our memory.
LIMIT = 4 << 20
_MAX_ID = 2**31 - 1


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
    return Identity(user.uid, gid, tuple(dict.fromkeys(more)), user.home or "/")


def _find_user(wanted: str, users: list[_User]) -> _User:
    for user in users:
        if wanted in (user.name, str(user.uid)):
            return user
    number = _number(wanted)
    if number is None:
        raise errdefs.invalid(f"unable to find user {wanted}: no matching entries in passwd file")
    return _User("", number, 0, "/")


def _find_group(wanted: str, groups: list[_Group]) -> int:
    for group in groups:
        if wanted in (group.name, str(group.gid)):
            return group.gid
    number = _number(wanted)
    if number is None:
        raise errdefs.invalid(f"unable to find group {wanted}: no matching entries in group file")
    return number


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    number = int(text)
    if number > _MAX_ID:
        raise errdefs.invalid(f"uids and gids must be in range 0-{_MAX_ID}, not {text}")
    return number


def _text(root: Root, path: str) -> str:
    try:
        return (root.read(path, LIMIT) or b"").decode(errors="surrogateescape")
    except OSError as error:
        raise errdefs.from_os_error(f"reading {path} of the container", error) from error


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
    split = [line.strip().split(":") for line in text.splitlines() if line[:1] not in ("#", "")]
    return [line + [""] * (fields - len(line)) for line in split if line[0]]


def _field(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None
