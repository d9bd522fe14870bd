"""Folders as tar archives, made while they are sent: the context of a build.

What is sent is what a Dockerfile may copy: names, modes, times and contents, owned by root, since
the users here are nobody's there. A file with several names is sent once.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from wherry.ignore import Patterns

PIECE = 256 * 1024
END = bytes(1024)

_BLOCK = 512
_MAX_SIZE = 0o77777777777  # eleven digits
_MATCHED = 1  # the bit of a verdict, as wherry.ignore has it
_CAPABILITY = "security.capability"


class PackError(Exception):
    """A sentence about a file that cannot be sent."""


def pack(
    root: str, patterns: Patterns | None = None, kept: Collection[str] = (), prefix: str = ""
) -> Iterator[bytes]:
    """The entries of a folder, without the archive's `END`, in pieces of about `PIECE` bytes.

    `patterns` match what is left out; the files `kept`, paths below `root`, are sent in any case.
    Names begin with `prefix`, a folder and its slash. Sockets are left out, as Docker does. Raises
    PackError.
    """
    waiting: list[bytes] = []
    size = 0
    for piece in _Folder(root, patterns, kept, prefix).entries():
        waiting.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    if waiting:
        yield b"".join(waiting)


def pack_file(name: str, data: bytes) -> bytes:
    """The entry of a file that is made here."""
    head = _entry(os.fsencode(name), b"0", 0o600, len(data), 0)
    return head + data + bytes(-len(data) % _BLOCK)


class _Folder:
    """One folder on its way."""

    def __init__(
        self, root: str, patterns: Patterns | None, kept: Collection[str], prefix: str
    ) -> None:
        self._root = root
        self._patterns = patterns
        self._kept = set(kept)
        self._prefix = prefix
        self._first_names: dict[tuple[int, int], bytes] = {}
        # Folders that are left out, unless something in them is sent: then they come before it.
        self._waiting: dict[str, os.DirEntry[str]] = {}

    def entries(self) -> Iterator[bytes]:
        if self._prefix:
            yield _entry(os.fsencode(self._prefix), b"5", 0o755, 0, 0)
        todo: list[tuple[str, int]] = [("", 0)]
        while todo:
            folder, verdict = todo.pop()
            below: list[tuple[str, int]] = []
            for entry in self._scan(folder):
                path = f"{folder}/{entry.name}" if folder else entry.name
                judged = self._patterns.judge(path, verdict) if self._patterns else 0
                left_out = judged & _MATCHED and path not in self._kept
                if not left_out:
                    self._kept.discard(path)
                    yield from self._folders_above(path)
                    yield from self._entry(path, entry)
                if not entry.is_dir(follow_symlinks=False):
                    continue
                if not left_out or self._may_send_below(path):
                    below.append((path, judged))
                if left_out:
                    self._waiting[path] = entry
            todo += reversed(below)

    def _folders_above(self, path: str) -> Iterator[bytes]:
        """Those that have not been sent, the topmost first."""
        at = path.find("/")
        while at >= 0 and self._waiting:
            folder = self._waiting.pop(path[:at], None)
            if folder is not None:
                yield from self._entry(path[:at], folder)
            at = path.find("/", at + 1)

    def _may_send_below(self, folder: str) -> bool:
        if self._patterns and self._patterns.may_spare(folder):
            return True
        return any(path.startswith(folder + "/") for path in self._kept)

    def _scan(self, folder: str) -> list[os.DirEntry[str]]:
        path = os.path.join(self._root, folder) if folder else self._root
        try:
            with os.scandir(path) as found:
                return sorted(found, key=_name)
        except OSError as error:
            raise _failed(path, error) from error

    def _entry(self, path: str, entry: os.DirEntry[str]) -> Iterator[bytes]:
        try:
            status = entry.stat(follow_symlinks=False)
            yield from self._pieces(self._prefix + path, entry.path, status)
        except FileNotFoundError:
            return  # it went while we looked
        except OSError as error:
            raise _failed(entry.path, error) from error

    def _pieces(self, name: str, path: str, status: os.stat_result) -> Iterator[bytes]:
        mode = status.st_mode
        member = os.fsencode(name)
        if stat.S_ISDIR(mode):
            yield _entry(member + b"/", b"5", mode, 0, status.st_mtime_ns)
            return
        if status.st_nlink > 1:
            first = self._first_names.setdefault((status.st_dev, status.st_ino), member)
            if first != member:
                yield _entry(member, b"1", mode, 0, status.st_mtime_ns, link=first)
                return
        if stat.S_ISREG(mode):
            yield from _file(member, path, mode)
        elif stat.S_ISLNK(mode):
            link = os.fsencode(os.readlink(path))
            yield _entry(member, b"2", mode, 0, status.st_mtime_ns, link=link)
        elif stat.S_ISFIFO(mode):
            yield _entry(member, b"6", mode, 0, status.st_mtime_ns)
        elif not stat.S_ISSOCK(mode):
            kind = b"4" if stat.S_ISBLK(mode) else b"3"
            device = (os.major(status.st_rdev), os.minor(status.st_rdev))
            yield _entry(member, kind, mode, 0, status.st_mtime_ns, device=device)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _failed(path: str, error: OSError) -> PackError:
    if isinstance(error, PermissionError):
        return PackError(f"no permission to read from '{path}' (.dockerignore may leave it out)")
    return PackError(f"read {path}: {(error.strerror or '').lower()}")


def _file(member: bytes, path: str, mode: int) -> Iterator[bytes]:
    """A file's size and bytes, of one moment: what it gets meanwhile is not sent."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        size = left = status.st_size
        capability = _capability(fd) if mode & 0o111 else b""
        head = _entry(member, b"0", mode, size, status.st_mtime_ns, capability=capability)
        data = os.read(fd, min(left, PIECE)) if left else b""
        left -= len(data)
        if not left:
            yield head + data + bytes(-size % _BLOCK)
            return
        yield head
        while data:
            yield data
            data = os.read(fd, min(left, PIECE)) if left else b""
            left -= len(data)
        if left:
            raise PackError(f"{path}: it became shorter while it was sent")
        yield bytes(-size % _BLOCK)
    finally:
        os.close(fd)


def _capability(fd: int) -> bytes:
    """What the file may do that its caller may not: setcap(8)."""
    try:
        return os.getxattr(fd, _CAPABILITY)
    except OSError:
        return b""


def _entry(
    name: bytes,
    kind: bytes,
    mode: int,
    size: int,
    mtime_ns: int,
    *,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    capability: bytes = b"",
) -> bytes:
    """A ustar header (POSIX pax(1)), with an extended one before it where it needs one."""
    records = b""
    if len(name) > 100:
        records += _record(b"path", name)
    if len(link) > 100:
        records += _record(b"linkpath", link)
    if size > _MAX_SIZE:
        records += _record(b"size", b"%d" % size)
    if capability:
        records += _record(b"SCHILY.xattr.security.capability", capability)
    seconds = min(max(mtime_ns // 1_000_000_000, 0), _MAX_SIZE)
    block = _header(name, kind, mode, size, seconds, link, device)
    if not records:
        return block
    extended = _header(b"PaxHeaders/x", b"x", 0o644, len(records), 0, b"", (0, 0))
    return extended + records + bytes(-len(records) % _BLOCK) + block


def _header(
    name: bytes,
    kind: bytes,
    mode: int,
    size: int,
    seconds: int,
    link: bytes,
    device: tuple[int, int],
) -> bytes:
    # bytes of: name mode uid gid size mtime checksum type link magic user group device prefix
    block = (
        b"%s%07o\0000000000\0000000000\0%011o\0%011o\0        %s%sustar\00000%s%07o\0%07o\0%s"
        % (
            name[:100].ljust(100, b"\0"),
            mode & 0o7777,
            size if size <= _MAX_SIZE else 0,
            seconds,
            kind,
            link[:100].ljust(100, b"\0"),
            bytes(64),
            device[0],
            device[1],
            bytes(167),
        )
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH key=value`, whose length counts itself."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest) + len(b"%d" % len(rest))
    if len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d" % length + rest
