"""The Dockerfiles of tests/golden/dockerfiles, each with its context, its flags and its reasons.

tests/golden/dockerfiles/README.md explains the form of the files.
"""

import bz2
import codecs
import gzip
import hashlib
import io
import lzma
import os
import re
import shlex
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import differential

FOLDER = differential.GOLDEN / "dockerfiles"
RECORDING = FOLDER / "outcomes.json"

# Nobody's on the host that sends a context: in an image they are to become root's.
_SENDER = 4321
_MTIME = 1_700_000_000


@dataclass(frozen=True)
class Member:
    """A file of a context, or of an archive in one."""

    path: str
    kind: str = "file"
    mode: int = 0o644
    data: bytes = b""
    link: str = ""
    uid: int = _SENDER
    gid: int = _SENDER
    xattrs: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Case:
    name: str
    flags: list[str] = field(default_factory=list)
    error: str = ""
    """A regular expression that is found in whatever refuses the build; empty if it is to work."""
    differs: str = ""
    """Why this is to come out otherwise than on dockerd: as `error` or `expected` says."""
    stubs: list[str] = field(default_factory=list)
    """Empty folders for mounts that 20.10 leaves in a layer; later BuildKits take them away."""
    unknown: bool = False
    """Whether dockerd is too old to be asked; then `error` or `expected` is the documentation's."""
    expected: dict[str, str] | None = None
    """Files, by a path with a slash in front, and members of the config, as JSON."""
    members: list[Member] = field(default_factory=list)

    @property
    def needs_client(self) -> bool:
        """Whether a client has more to do than to send the context: leave out what .dockerignore
        names, or answer what is asked while the build goes on."""
        return any(member.path.endswith(".dockerignore") for member in self.members) or any(
            flag.partition("=")[0] in ("--secret", "--ssh") for flag in self.flags
        )


# --- Reading --------------------------------------------------------------------------------------


def cases() -> dict[str, Case]:
    """All, by name."""
    found: dict[str, Case] = {}
    for path in sorted(FOLDER.glob("*.txt")):
        for case in _read(path.read_text()):
            assert case.name not in found, f"{path.name}: a second case {case.name!r}"
            found[case.name] = case
    return found


def _read(text: str) -> Iterator[Case]:
    head, *parts = re.split(r"^=== ", text, flags=re.MULTILINE)
    assert "\n--- " not in head
    for part in parts:
        head, *bodies = re.split(r"^--- ", part, flags=re.MULTILINE)
        name, *fields = head.rstrip("\n").split("\n")
        case = Case(name.strip())
        for line in fields:
            if line and not line.startswith("#"):
                _field(case, line)
        for body in bodies:
            header, _, data = body.partition("\n")
            # Before the next case stands an empty line.
            if body is bodies[-1] and data.endswith("\n\n"):
                data = data[:-1]
            if header == "expected":
                case.expected = dict(_expectations(data))
            else:
                case.members.append(_member(header, data))
        yield case


def _field(case: Case, line: str) -> None:
    key, _, value = line.partition(": ")
    if key == "flags":
        case.flags = shlex.split(value)
    elif key == "error":
        case.error = value
    elif key == "differs":
        case.differs = value
    elif key == "stubs":
        case.stubs = value.split()
    elif key == "by the documentation":
        case.unknown = True
    else:
        raise AssertionError(f"case {case.name!r} has an unknown field: {line}")


def _expectations(data: str) -> Iterator[tuple[str, str]]:
    for line in data.splitlines():
        key, _, value = line.partition(": ")
        yield key, value


def _member(header: str, data: str) -> Member:
    path, *words = shlex.split(header)
    kind, mode, link = "file", None, ""
    content = data.encode()
    while words:
        word = words.pop(0)
        if re.fullmatch(r"[0-7]{3,5}", word):
            mode = int(word, 8)
        elif word in ("->", "="):
            kind, link = {"->": "symlink", "=": "hardlink"}[word], words.pop(0)
        elif word in ("dir", "fifo"):
            kind = word
        elif word == "escaped":
            # Newlines are written as \n here, those of the file itself are none.
            content = codecs.escape_decode(data.replace("\n", ""))[0]
        elif word == "size":
            content = _filling(int(words.pop(0)))
        elif word in _PACKERS:
            content = _PACKERS[word]([_entry(line) for line in data.splitlines() if line])
        else:
            raise AssertionError(f"an unknown word {word!r} in: {header}")
    default = {"dir": 0o755, "symlink": 0o777}.get(kind, 0o644)
    return Member(path, kind, default if mode is None else mode, content, link)


def _filling(size: int) -> bytes:
    """Bytes that no compression makes small, always the same."""
    blocks = (hashlib.sha256(b"%d" % number).digest() for number in range(size // 32 + 1))
    return b"".join(blocks)[:size]


# --- Archives in a context ------------------------------------------------------------------------


def _entry(line: str) -> Member:
    """`PATH [KIND] [MODE] [UID:GID] [-> LINK | = LINK] [NAME=VALUE] [: TEXT]`."""
    line, _, text = line.partition(" : ")
    path, *words = shlex.split(line)
    kind, mode, uid, gid, link = "file", None, 0, 0, ""
    xattrs: dict[str, str] = {}
    while words:
        word = words.pop(0)
        if re.fullmatch(r"[0-7]{3,5}", word):
            mode = int(word, 8)
        elif match := re.fullmatch(r"(\d+):(\d+)", word):
            uid, gid = int(match[1]), int(match[2])
        elif word in ("->", "="):
            kind, link = {"->": "symlink", "=": "hardlink"}[word], words.pop(0)
        elif word in _TYPES:
            kind = word
        else:
            name, equals, value = word.partition("=")
            assert equals, f"an unknown word {word!r} in: {line}"
            xattrs[name] = value
    default = {"dir": 0o755, "symlink": 0o777}.get(kind, 0o644)
    mode = default if mode is None else mode
    return Member(path, kind, mode, f"{text}\n".encode(), link, uid, gid, xattrs)


_TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "char": tarfile.CHRTYPE,
}


def tar(members: Sequence[Member]) -> bytes:
    """Each member as it is; folders that are not among them are left to who unpacks."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            info = tarfile.TarInfo(member.path)
            info.type, info.mode, info.mtime = _TYPES[member.kind], member.mode, _MTIME
            info.uid, info.gid, info.linkname = member.uid, member.gid, member.link
            if member.kind == "char":
                info.devmajor, info.devminor = 1, 3
            if member.kind == "file":
                info.size = len(member.data)
            info.pax_headers = {
                f"SCHILY.xattr.{name}": value for name, value in member.xattrs.items()
            }
            archive.addfile(info, io.BytesIO(member.data))
    return out.getvalue()


def _zip(members: Sequence[Member]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member in members:
            archive.writestr(zipfile.ZipInfo(member.path), member.data)
    return out.getvalue()


_PACKERS: dict[str, Callable[[Sequence[Member]], bytes]] = {
    "tar": tar,
    "tar.gz": lambda members: gzip.compress(tar(members), mtime=0),
    "tar.bz2": lambda members: bz2.compress(tar(members)),
    "tar.xz": lambda members: lzma.compress(tar(members)),
    "zip": _zip,
}


# --- Contexts -------------------------------------------------------------------------------------


def context_tar(case: Case) -> bytes:
    """The context as a client sends it, with its folders."""
    whole = {member.path: member for member in case.members}
    for member in case.members:
        parts = member.path.split("/")
        for count in range(1, len(parts)):
            parent = "/".join(parts[:count])
            whole.setdefault(parent, Member(parent, "dir", 0o755))
    # What a hard link names stands before it, and folders stand before their files.
    return tar(sorted(whole.values(), key=lambda one: (one.kind == "hardlink", one.path)))


def write_context(case: Case, folder: Path) -> None:
    """The context as files in the empty `folder`."""
    umask = os.umask(0)
    try:
        for member in sorted(case.members, key=lambda one: one.kind == "hardlink"):
            path = folder / member.path
            for parent in reversed(path.relative_to(folder).parents):
                (folder / parent).mkdir(0o755, exist_ok=True)
            if member.kind == "dir":
                path.mkdir(exist_ok=True)
            elif member.kind == "symlink":
                path.symlink_to(member.link)
            elif member.kind == "hardlink":
                path.hardlink_to(folder / member.link)
            elif member.kind == "fifo":
                os.mkfifo(path)
            else:
                path.write_bytes(member.data)
            if member.kind not in ("symlink", "hardlink"):
                path.chmod(member.mode)
    finally:
        os.umask(umask)
