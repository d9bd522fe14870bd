"""What a program does to the files below a folder, in order, as strace(1) sees it.

Everything counts: threads, children that change their root, SQLite's own writes. A log is faithful
if the same operations, done again, give the same tree; `powercuts` checks that of each.
"""

import dataclasses
import os
import posixpath
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# A question mark: not every architecture has it.
_CALLS = (
    "?open,openat,?openat2,?creat,write,pwrite64,?writev,?pwritev,?pwritev2,ftruncate,?truncate,"
    "fallocate,copy_file_range,sendfile,?splice,fsync,fdatasync,syncfs,sync,?rename,?renameat,"
    "renameat2,?link,linkat,?symlink,symlinkat,?mkdir,mkdirat,?mknod,mknodat,?unlink,unlinkat,"
    "?rmdir,chdir,pivot_root"
)
_PASSED_OVER = re.compile(r".*-shm(/|\Z)")  # SQLite's index of its log: made anew after a crash
_MARK = "/power-cut-mark/"

_LINE = re.compile(r"(\d+) +(.*)\n?\Z")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+|\?)(.*)\Z", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)\Z", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|(-?\w+)<([^>]*)>(\(deleted\))?|([^, ]+)')


def why_not() -> str | None:
    """Why nothing can be recorded here; None if it can."""
    strace = shutil.which("strace")
    if strace is None:
        return "needs strace"
    tried = subprocess.run([strace, "-f", "-y", "-o", os.devnull, "true"], capture_output=True)
    return f"strace does not work here: {tried.stderr!r}" if tried.returncode else None


def mark(name: str) -> None:
    """Called in the recorded program: what it has done so far is a promise called `name`."""
    try:
        os.rmdir(_MARK + name)
    except FileNotFoundError:
        return


@dataclass(frozen=True)
class Node:
    """A file or directory, whatever its names are. `kind`: file, dir, or link (with a target)."""

    number: int
    kind: str
    target: str = ""


@dataclass(frozen=True)
class Step:
    """Something that was done. It happened between `begin` and `end`, lines of the log."""

    begin: int
    end: int


@dataclass(frozen=True)
class Named(Step):
    """`node` came to be `name` in the directory `parent`, in place of what was called so."""

    parent: int
    name: str
    node: Node


@dataclass(frozen=True)
class Unnamed(Step):
    parent: int
    name: str
    node: Node


@dataclass(frozen=True)
class Moved(Step):
    source: int
    old: str
    parent: int
    name: str
    node: Node


@dataclass(frozen=True)
class Wrote(Step):
    node: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Cut(Step):
    """The file was made `size` bytes long."""

    node: int
    size: int


@dataclass(frozen=True)
class Synced(Step):
    """What had ended before `begin` and concerns `node` is on the disk; None for everything."""

    node: int | None


@dataclass(frozen=True)
class Mark(Step):
    name: str


ROOT = Node(0, "dir")


@dataclass
class Recording:
    """The log of one folder, which was empty before."""

    folder: Path
    steps: list[Step] = field(default_factory=list)


def record(folder: Path, command: Sequence[str], log: Path) -> Recording:
    """Run `command`, which must succeed, and answer what it did to the empty `folder`."""
    folder = folder.resolve()
    assert not any(folder.iterdir())
    options = ["-f", "-y", "-xx", "-s", "100000000", "-e", f"trace={_CALLS}"]
    subprocess.run(["strace", *options, "-o", str(log), *command], check=True)
    recording = Recording(folder)
    _Reader(recording).read(log)
    return recording


@dataclass(frozen=True)
class _Call:
    process: str
    begin: int
    end: int
    name: str
    arguments: list[tuple[str, str]]
    """Each as (what it is, its path if it is a descriptor)."""
    result: int
    result_path: str

    def number(self, place: int) -> int:
        return int(self.arguments[place][0], 0)

    def path(self, place: int) -> str:
        """The path of the descriptor in this place."""
        return self.arguments[place][1]

    def at(self, place: int) -> str:
        """The path of two arguments, a directory's descriptor and a name."""
        return posixpath.join(self.arguments[place][1], self.arguments[place + 1][0])

    def below(self, root: str) -> "_Call":
        """The same, of a process that takes `root` for `/`."""
        arguments = [(text, path and root + path) for text, path in self.arguments]
        result_path = self.result_path and root + self.result_path
        return dataclasses.replace(self, arguments=arguments, result_path=result_path)


class _Reader:
    """Turns lines into steps, and keeps the names that files have meanwhile."""

    def __init__(self, recording: Recording) -> None:
        self._root = str(recording.folder)
        self._steps = recording.steps
        self._nodes = 0
        self._names: dict[str, Node] = {"": ROOT}
        self._content: dict[int, bytearray] = {}
        self._cursor: dict[int, int] = {}
        self._places: dict[str, str] = {}
        self._roots: dict[str, str] = {}

    def read(self, log: Path) -> None:
        with log.open(encoding="latin-1", newline="\n") as lines:
            for call in _calls(lines):
                if call.result >= 0 or _MARK in call.arguments[0][0]:
                    handle = _HANDLERS.get(call.name)
                    if handle is None:
                        raise NotImplementedError(f"nobody knows how to replay {call}")
                    root = self._roots.get(call.process)
                    handle(self, call.below(root) if root else call)

    # --- names ----------------------------------------------------------------------------------

    def _inside(self, path: str) -> str | None:
        """`path` below the folder, None if it isn't there."""
        path = posixpath.normpath(path)
        if path == self._root:
            return ""
        if not path.startswith(self._root + "/") or _PASSED_OVER.match(path):
            return None
        return path[len(self._root) + 1 :]

    def _node_at(self, path: str) -> Node | None:
        inside = self._inside(path)
        return None if inside is None else self._names.get(inside)

    def _parent(self, inside: str) -> tuple[int, str]:
        folder, _, name = inside.rpartition("/")
        return self._names[folder].number, name

    def _new(self, call: _Call, path: str, kind: str, target: str = "") -> Node | None:
        inside = self._inside(path)
        if inside is None:
            return None
        self._nodes += 1
        return self._name(call, inside, Node(self._nodes, kind, target))

    def _name(self, call: _Call, inside: str, node: Node) -> Node:
        self._names[inside] = node
        self._steps.append(Named(call.begin, call.end, *self._parent(inside), node))
        return node

    # --- calls ----------------------------------------------------------------------------------

    def entered(self, call: _Call) -> None:
        self._places[call.process] = call.arguments[0][0]

    def confined(self, call: _Call) -> None:
        """pivot_root(".", "."), by the extractor: its root is where it is."""
        assert [text for text, _ in call.arguments] == [".", "."]
        self._roots[call.process] = self._places[call.process]

    def opened(self, call: _Call) -> None:
        flags = next((text for text, path in call.arguments if "O_" in text), "")
        if not ("O_CREAT" in flags or "O_TRUNC" in flags) or "O_TMPFILE" in flags:
            return
        inside = self._inside(call.result_path)
        if inside is None:
            return
        node = self._names.get(inside)
        if node is None:
            node = self._new(call, call.result_path, "file")
        elif "O_TRUNC" in flags and self._content.get(node.number):
            self._cut(call, node, 0)
        assert node is not None
        self._cursor[node.number] = 0

    def wrote(self, call: _Call) -> None:
        node = self._node_at(call.path(0))
        if node is not None and node.kind == "file":
            data = call.arguments[1][0].encode("latin-1")[: call.result]
            assert len(data) == call.result, "strace did not show all"
            at = call.number(3) if call.name == "pwrite64" else self._cursor.get(node.number, 0)
            self._write(call, node, at, data)
            if call.name == "write":
                self._cursor[node.number] = at + len(data)

    def copied(self, call: _Call) -> None:
        """copy_file_range(in, [at], out, [at], size, flags)"""
        target, source = self._node_at(call.path(2)), self._node_at(call.path(0))
        if target is None:
            return
        assert source is not None, "data from elsewhere"
        start, at = (int(call.arguments[place][0].strip("[]")) for place in (1, 3))
        data = bytes(self._content[source.number][start : start + call.result])
        self._write(call, target, at, data)

    def unknown_inside(self, call: _Call) -> None:
        if any(self._node_at(path) for _, path in call.arguments if path):
            raise NotImplementedError(f"nobody knows how to replay {call}")

    def _write(self, call: _Call, node: Node, at: int, data: bytes) -> None:
        content = self._content.setdefault(node.number, bytearray())
        content.extend(bytes(max(0, at + len(data) - len(content))))
        content[at : at + len(data)] = data
        self._steps.append(Wrote(call.begin, call.end, node.number, at, data))

    def _cut(self, call: _Call, node: Node, size: int) -> None:
        content = self._content.setdefault(node.number, bytearray())
        content[:] = content[:size].ljust(size, b"\0")
        self._steps.append(Cut(call.begin, call.end, node.number, size))

    def resized(self, call: _Call) -> None:
        node = self._node_at(call.path(0) or call.arguments[0][0])
        if node is not None:
            self._cut(call, node, call.number(1))

    def synced(self, call: _Call) -> None:
        node = self._node_at(call.path(0))
        if node is not None:
            self._steps.append(Synced(call.begin, call.end, node.number))

    def synced_all(self, call: _Call) -> None:
        self._steps.append(Synced(call.begin, call.end, None))

    def made_directory(self, call: _Call) -> None:
        self._new(call, self._path(call), "dir")

    def made_special(self, call: _Call) -> None:
        self._new(call, self._path(call), "special")

    def made_symlink(self, call: _Call) -> None:
        path = call.at(1) if call.name == "symlinkat" else call.arguments[1][0]
        self._new(call, path, "link", call.arguments[0][0])

    def linked(self, call: _Call) -> None:
        old, new = self._two_paths(call)
        node, inside = self._node_at(old), self._inside(new)
        if node is not None and inside is not None:
            self._name(call, inside, node)

    def removed(self, call: _Call) -> None:
        path = self._path(call)
        if _MARK in path:
            self._steps.append(Mark(call.begin, call.end, posixpath.basename(path)))
            return
        inside = self._inside(path)
        if inside in self._names:  # else an overlay's doing: the kernel makes files in its upper
            node = self._names.pop(inside)
            self._steps.append(Unnamed(call.begin, call.end, *self._parent(inside), node))

    def moved(self, call: _Call) -> None:
        assert not any("EXCHANGE" in text for text, _ in call.arguments)
        old, new = (self._inside(path) for path in self._two_paths(call))
        if old is None and new is None:
            return
        assert old is not None, "moved across the folder's border"
        assert new is not None, "moved across the folder's border"
        source, old_name = self._parent(old)
        node = self._names.pop(old)
        for path in [path for path in self._names if path.startswith(f"{old}/")]:
            self._names[new + path[len(old) :]] = self._names.pop(path)
        self._names[new] = node
        parent, name = self._parent(new)
        self._steps.append(Moved(call.begin, call.end, source, old_name, parent, name, node))

    def _path(self, call: _Call) -> str:
        return call.at(0) if call.name.endswith("at") else call.arguments[0][0]

    def _two_paths(self, call: _Call) -> tuple[str, str]:
        if call.name.endswith(("at", "at2")):
            return call.at(0), call.at(2)
        return call.arguments[0][0], call.arguments[1][0]


_HANDLERS: dict[str, Callable[[_Reader, _Call], None]] = {
    **dict.fromkeys(("open", "openat", "openat2", "creat"), _Reader.opened),
    **dict.fromkeys(("write", "pwrite64"), _Reader.wrote),
    **dict.fromkeys(("ftruncate", "truncate"), _Reader.resized),
    **dict.fromkeys(("fsync", "fdatasync"), _Reader.synced),
    **dict.fromkeys(("syncfs", "sync"), _Reader.synced_all),
    **dict.fromkeys(("mkdir", "mkdirat"), _Reader.made_directory),
    **dict.fromkeys(("mknod", "mknodat"), _Reader.made_special),
    **dict.fromkeys(("symlink", "symlinkat"), _Reader.made_symlink),
    **dict.fromkeys(("link", "linkat"), _Reader.linked),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), _Reader.removed),
    **dict.fromkeys(("rename", "renameat", "renameat2"), _Reader.moved),
    "chdir": _Reader.entered,
    "pivot_root": _Reader.confined,
    "copy_file_range": _Reader.copied,
    **dict.fromkeys(
        ("writev", "pwritev", "pwritev2", "fallocate", "sendfile", "splice"),
        _Reader.unknown_inside,
    ),
}


def _calls(lines: Iterator[str]) -> Iterator[_Call]:
    """The calls in the order in which they ended."""
    unfinished: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines):
        found = _LINE.match(line)
        if found is None or found[2].startswith(("---", "+++")):
            continue
        process, text = found.groups()
        begin = number
        if text.endswith(_UNFINISHED):
            unfinished[process] = (number, text.removesuffix(_UNFINISHED))
            continue
        if resumed := _RESUMED.match(text):
            begin, before = unfinished.pop(process)
            text = before + resumed[2]
        call = _CALL.match(text)
        if call is None:
            raise ValueError(f"not a line of strace's: {line[:200]!r}")
        if call[3] != "?":  # the process ended in it
            arguments, result = _arguments(call[2]), int(call[3])
            yield _Call(process, begin, number, call[1], arguments, result, _path(call[4]))


def _arguments(text: str) -> list[tuple[str, str]]:
    found = []
    for string, fd, path, deleted, other in _ARGUMENT.findall(text):
        if fd:
            # What has no name any more concerns nobody after a power cut.
            found.append((fd, "" if deleted else _decoded(path)))
        else:
            found.append((other or _decoded(string), ""))
    return found


def _path(text: str) -> str:
    """Of the descriptor that a call answered."""
    found = re.match(r"<([^>]*)>", text)
    return _decoded(found[1]) if found else ""


def _decoded(text: str) -> str:
    if text.startswith("\\x") and len(text) % 4 == 0:
        return bytes.fromhex(text.replace("\\x", "")).decode("latin-1")
    return re.sub(r"\\x(..)", lambda found: chr(int(found[1], 16)), text)
