"""A file system and a program that copies, both as plain as can be, to compare with."""

from __future__ import annotations

import io
import posixpath
from typing import TypeAlias

from hypothesis import strategies as st

from wherry.layers.files import Node
from wherry.layers.tar import TarReader

Files: TypeAlias = dict[str, Node | bytes]


class RefusedError(Exception):
    pass


class Machine:
    def __init__(self, files: Files) -> None:
        self.files = files

    def real(self, path: str, last: bool = True) -> str:
        done: list[str] = []
        todo = path.split("/")[::-1]
        budget = 40
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                done = done[:-1]
                continue
            done.append(part)
            found = self.files.get("/".join(done))
            if isinstance(found, Node) and found.kind == "symlink" and (todo or last):
                budget -= 1
                if not budget:
                    raise RefusedError
                done = [] if found.link.startswith(b"/") else done[:-1]
                todo += found.link.decode().split("/")[::-1]
        return "/".join(done)

    def is_directory(self, path: str) -> bool:
        found = self.files.get(path)
        return path == "" or (isinstance(found, Node) and found.kind == "dir")

    def make(self, path: str) -> None:
        whole = ""
        for part in path.split("/") if path else []:
            whole = posixpath.join(whole, part)
            if whole not in self.files:
                self.files[whole] = Node("dir", 0o755)
            elif not self.is_directory(whole):
                raise RefusedError

    def copy(self, source: Machine, path: str, to: str) -> None:
        found = source.real(posixpath.normpath("/" + path))
        if found and found not in source.files:
            raise RefusedError
        slash = to.endswith("/")
        directory = source.is_directory(found)
        self.make(self.real(to if slash else posixpath.dirname(posixpath.normpath(to))))
        goal = self.real(to)
        if not directory:
            if self.is_directory(goal):
                goal = posixpath.join(goal, posixpath.basename(posixpath.normpath("/" + path)))
            self.make(posixpath.dirname(goal))
            self.put(goal, source.files[found])
            return
        if goal not in self.files:
            self.make(goal)
        if not self.is_directory(goal):
            raise RefusedError
        before = f"{found}/" if found else ""
        for name in sorted(source.files):
            if name.startswith(before) and name != found:
                self.put(posixpath.join(goal, name[len(before) :]), source.files[name])

    def put(self, path: str, what: Node | bytes) -> None:
        new = isinstance(what, Node) and what.kind == "dir"
        if path in self.files and self.is_directory(path) != new:
            raise RefusedError
        if not path and not new:
            raise RefusedError
        self.files[path] = what


def overlaid(below: Files, tar: bytes) -> Files:
    """The layer upon what is below, as overlayfs and every other driver has it."""
    layer: Files = {}
    opaque = set()
    reader = TarReader(io.BytesIO(tar))
    for entry in reader:
        name = entry.name.decode()
        parent, _, last = name.rpartition("/")
        assert not any(
            isinstance(layer.get(above), bytes) or layer.get(above, DIRECTORY).kind != "dir"
            for above in above_of(name)
        ), f"{name} goes through what is no directory"
        if last == ".wh..wh..opq":
            opaque.add(parent)
            continue
        what: Node | bytes
        if entry.kind == "file":
            what = reader.read()
        elif entry.kind == "hardlink":
            what = layer[entry.link.decode()]
        else:
            what = Node(entry.kind, entry.mode, link=entry.link)
        if not (isinstance(what, Node) and what.kind == "dir"):
            layer = {path: old for path, old in layer.items() if not path.startswith(f"{name}/")}
            opaque.discard(name)
        layer[name] = what
    hiding = opaque | {
        path for path, what in layer.items() if isinstance(what, bytes) or what.kind != "dir"
    }
    seen = {
        path: what
        for path, what in below.items()
        if not any(above in hiding for above in above_of(path))
    }
    return seen | layer


def above_of(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


DIRECTORY = Node("dir", 0o755)

names = st.sampled_from(["a", "b", "c"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
links = st.sampled_from(["a", "b", "/a", "/b/c", "../a", "..", "../../c", "a/b", "/"])
things = st.one_of(
    st.sampled_from([b"", b"1", b"22"]),
    st.sampled_from([0o755, 0o700, 0o511]).map(lambda mode: Node("dir", mode)),
    links.map(lambda link: Node("symlink", 0o777, link=link.encode())),
)


@st.composite
def trees(draw: st.DrawFn) -> Files:
    files: Files = {}
    for path, what in draw(st.dictionaries(paths, things, max_size=7)).items():
        parts = path.split("/")
        above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
        if any(not isinstance(files.get(one, Node("dir")), Node) for one in above):
            continue
        if any(files.get(one, Node("dir")).kind != "dir" for one in above):
            continue
        if path in files:
            continue
        files.update({one: Node("dir", 0o755) for one in above if one not in files})
        files[path] = what
    return files
