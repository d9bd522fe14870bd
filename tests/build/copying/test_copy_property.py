"""COPY upon any tree comes to what copying files one by one comes to."""

import io
import os
import posixpath

from copies import plan, whole
from hypothesis import given, settings
from hypothesis import strategies as st
from memorytrees import MemoryTree

from wherry.errdefs import EngineError, Kind
from wherry.layers.files import Node
from wherry.layers.tar import TarReader

SOAK = bool(os.environ.get("WHERRY_SOAK"))

Files = dict[str, Node | bytes]


class RefusedError(Exception):
    pass


class Machine:
    """A file system and a program that copies, both as plain as can be."""

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

    def copy(self, source: "Machine", path: str, to: str) -> None:
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
    """The layer upon what is below."""
    merged = dict(below)
    links: dict[bytes, bytes] = {}
    reader = TarReader(io.BytesIO(tar))
    for entry in reader:
        name = entry.name.decode()
        if entry.kind == "file":
            merged[name] = links[entry.name] = reader.read()
        elif entry.kind == "hardlink":
            merged[name] = links[entry.link]
        else:
            assert entry.kind in ("dir", "symlink")
            merged[name] = Node(entry.kind, entry.mode, link=entry.link)
    return merged


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


sources = st.one_of(paths, st.sampled_from([".", "/", "a/..", "../b"]))
destinations = st.tuples(paths, st.sampled_from(["", "/"])).map("".join) | st.just("/")


@settings(max_examples=20_000 if SOAK else 250, deadline=None)
@given(
    trees(),
    trees(),
    st.lists(sources, min_size=1, max_size=2),
    destinations.map(lambda to: f"/{to}"),
)
def test_the_result_is_that_of_copying_one_by_one(
    source: Files, target: Files, patterns: list[str], to: str
) -> None:
    expected: Files | None = dict(target)
    assert expected is not None
    machine = Machine(expected)
    try:
        for pattern in patterns:
            machine.copy(Machine(source), pattern, posixpath.normpath(to) + "/" * to.endswith("/"))
    except RefusedError:
        expected = None
    try:
        made = plan(MemoryTree(source), *patterns, to=to, upon=MemoryTree(target))
        found = overlaid(target, whole(made))
    except EngineError as refusal:
        error = refusal
        if "more than one source file" in error.message:
            return  # BuildKit loses all but the last
    else:
        assert found == expected
        return
    assert error.kind is Kind.INVALID_ARGUMENT
    assert expected is None, error.message


@settings(max_examples=5_000 if SOAK else 150, deadline=None)
@given(st.binary(min_size=1, max_size=40), st.binary(max_size=20), st.text(max_size=20))
def test_no_name_gets_through_that_tar_does_not_give_back(
    name: bytes, content: bytes, destination: str
) -> None:
    parts = [part for part in name.split(b"/") if part not in (b"", b".", b"..")]
    name = b"/".join(parts).replace(b"\0", b"")
    if not name or b"//" in name or name.endswith(b"/"):
        return
    try:
        tar = whole(plan(MemoryTree({name: content}), ".", to=f"{destination}/x/"))
    except EngineError as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert refused.kind is Kind.INVALID_ARGUMENT
        return
    entries = list(TarReader(io.BytesIO(tar)))
    assert entries[-1].name.endswith(b"x/" + name)
    assert (entries[-1].kind, entries[-1].size) == ("file", len(content))
