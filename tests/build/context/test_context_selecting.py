"""What is left of a context after .dockerignore, and a folder of it."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.build.context import (
    Context,
    Folder,
    SelectedTree,
    ignore_patterns,
    open_upload,
)
from wherry.errdefs import EngineError
from wherry.ignore import Patterns
from wherry.layers.files import walk
from wherry.layers.tar import DIRECTORY, Entry, TarWriter

EXAMPLES = 3000 if os.environ.get("WHERRY_SOAK") == "1" else 100


def context(
    folder: Path, files: Sequence[str], contents: dict[str, bytes] | None = None
) -> Context:
    stream = io.BytesIO()
    writer = TarWriter(stream)
    for name in files:
        writer.add(Entry(name.rstrip("/").encode(), DIRECTORY if name[-1] == "/" else "file"))
    for name, data in (contents or {}).items():
        writer.add(Entry(name.encode(), size=len(data)), data)
    writer.finish()
    stream.seek(0)
    return open_upload(stream, folder)


def names(tree: SelectedTree | Folder) -> list[str]:
    return [path.decode() for path, _ in walk(tree) if path]


def test_what_is_left(tmp_path: Path) -> None:
    with context(tmp_path, ["a/b", "a/c/d", "e/f/", "g", "x/y/keep", "x/y/z"]) as whole:
        tree = SelectedTree(whole.tree, Patterns(["g", "a/c", "x", "!x/y/keep"]))
        assert names(tree) == ["a", "a/b", "e", "e/f", "x", "x/y", "x/y/keep"]
        assert tree.node(b"g") is None
        assert tree.node(b"g/below") is None
        assert tree.node(b"a/c/d") is None
        assert tree.node(b"x/y") == whole.tree.node(b"x/y")
        assert tree.open(b"a/b").read() == b""
        assert tree.content_digest(b"a/b") == whole.tree.content_digest(b"a/b")
        assert tree.locate(b"a/b") is not None
        for read in (tree.open, tree.content_digest, tree.locate):
            with pytest.raises(EngineError, match="'g' is not in the build context"):
                read(b"g")
        with pytest.raises(EngineError, match="not a directory"):
            tree.names(b"a/c")
        assert tree.is_ignored("g")
        assert tree.is_ignored("/x/y/z")
        assert not tree.is_ignored("a/b")
        assert not tree.is_ignored("nothing")


def test_folders_of_an_upload(tmp_path: Path) -> None:
    with context(tmp_path, ["contexts/0/a", "contexts/1/b/c", "src"]) as whole:
        rest = SelectedTree(whole.tree, Patterns(()), hidden=[b"contexts"])
        assert names(rest) == ["src"]
        folder = Folder(whole.tree, b"contexts/1")
        assert names(folder) == ["b", "b/c"]
        assert folder.node(b"") == whole.tree.node(b"contexts/1")
        assert folder.node(b"..") is None
        assert folder.open(b"b/c").read() == b""
        assert len(folder.content_digest(b"b/c")) == 32
        with pytest.raises(EngineError, match="not a directory"):
            Folder(whole.tree, b"src")


def test_the_dockerfiles_own_ignore_file_goes_first(tmp_path: Path) -> None:
    contents = {"Dockerfile": b"", ".dockerignore": b"a", "sub/web.dockerignore": b"b"}
    with context(tmp_path, ["a", "b"], contents) as whole:
        assert ignore_patterns(whole.tree, "Dockerfile").matches("a")
        assert ignore_patterns(whole.tree, "sub/web").matches("b")
        assert not ignore_patterns(whole.tree, "sub/web").matches("a")
    with context(tmp_path, ["a"]) as whole:
        assert not ignore_patterns(whole.tree, "Dockerfile")


def test_an_ignore_file_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    with (
        context(tmp_path, [], {".dockerignore": b"ok\n[a\n"}) as whole,
        pytest.raises(EngineError, match=r"^\.dockerignore: the pattern '\[a'"),
    ):
        ignore_patterns(whole.tree, "Dockerfile")


path = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)
pattern = st.tuples(
    st.sampled_from(["", "", "!"]),
    st.lists(st.sampled_from(["a", "b", "c", "*", "**", "?"]), min_size=1, max_size=4),
).map(lambda parts: parts[0] + "/".join(parts[1]))


@settings(max_examples=EXAMPLES)
@given(st.lists(path, max_size=12), st.lists(pattern, max_size=5), st.randoms())
def test_it_is_what_matching_each_name_gives(tmp_path_factory, paths, patterns, random) -> None:
    files = {path for path in paths if not any(other.startswith(path + "/") for other in paths)}
    compiled = Patterns(patterns)
    folder = tmp_path_factory.getbasetemp()
    with context(folder, sorted(files)) as whole:
        every = [path.decode() for path, _ in walk(whole.tree) if path]
        left = {path for path in every if not compiled.matches(path)}
        left |= {path for path in every if any(other.startswith(path + "/") for other in left)}
        tree = SelectedTree(whole.tree, compiled)
        random.shuffle(every)
        assert {path for path in every if tree.node(path.encode())} == left
        assert names(tree) == sorted(left, key=lambda path: path.split("/"))
        assert set(names(SelectedTree(whole.tree, compiled))) == left


def test_ten_of_many_are_found_at_once(tmp_path: Path) -> None:
    files = [f"node_modules/m{i % 100}/f{i}.js" for i in range(20_000)]
    files += [f"src/{i}.py" for i in range(10)]
    with context(tmp_path, files) as whole:
        tree = SelectedTree(whole.tree, Patterns(["**/node_modules", "!README.md", "!docs/**"]))
        began = time.process_time()
        assert len(names(tree)) == 11
        assert time.process_time() - began < 0.05
