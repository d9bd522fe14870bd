"""A context without the files that its .dockerignore names, and a folder of one as a context."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import BinaryIO, Final, Protocol

from wherry import errdefs
from wherry.ignore import MATCHED, Patterns
from wherry.layers.files import FileTree, Node, resolve
from wherry.layers.tar.names import quoted

IGNORE: Final = ".dockerignore"
_MAX_IGNORE: Final = 4 << 20


class ContextFiles(FileTree, Protocol):
    """A FileTree of which contents can be compared, and found where they lie."""

    def content_digest(self, path: bytes) -> bytes: ...
    def locate(self, path: bytes) -> tuple[int, int] | None: ...


def ignore_patterns(tree: FileTree, dockerfile: str) -> Patterns:
    """Those of `<dockerfile>.dockerignore`, or else of `.dockerignore`; none if neither is there.

    Raises InvalidArgument for a file that holds no patterns.
    """
    for name in (f"{dockerfile}{IGNORE}", IGNORE):
        path = resolve(tree, name.encode(errors="surrogateescape"))
        node = tree.node(path)
        if node is None or node.kind != "file":
            continue
        if node.size > _MAX_IGNORE:
            raise errdefs.invalid(f"{name}: it has {node.size} bytes, and {_MAX_IGNORE} are most")
        with tree.open(path) as file:
            return Patterns.parse(file.read(), name)
    return Patterns(())


class SelectedTree(ContextFiles):
    """A tree without what `patterns` match, and without the folders `hidden`.

    A directory that is matched stays, as itself, if anything below it does (as BuildKit has it;
    Docker's older command line does not look below a directory that no exception begins with).
    Nothing is looked at before it is asked for. It does not close the tree that it is made of.
    """

    def __init__(
        self, tree: ContextFiles, patterns: Patterns, hidden: Collection[bytes] = ()
    ) -> None:
        self._tree = tree
        self._patterns = patterns
        self._hidden = frozenset(hidden)
        self._folders: dict[bytes, dict[bytes, int]] = {}
        self._bare: set[bytes] = set()  # directories that are matched, and all below them

    def is_ignored(self, path: str) -> bool:
        """Whether there is such a file, and a pattern has taken it. Symlinks are not followed."""
        name = path.encode(errors="surrogateescape").strip(b"/")
        return self._tree.node(name) is not None and self.node(name) is None

    def node(self, path: bytes) -> Node | None:
        if path:
            parent, _, name = path.rpartition(b"/")
            folder = self._folder(parent)
            if folder is None or name not in folder:
                return None
        return self._tree.node(path)

    def names(self, path: bytes) -> list[bytes]:
        folder = self._folder(path)
        if folder is None:
            raise errdefs.not_found(f"{quoted(path)} is not a directory of the build context")
        return list(folder)

    def open(self, path: bytes) -> BinaryIO:
        return self._tree.open(self._here(path))

    def content_digest(self, path: bytes) -> bytes:
        return self._tree.content_digest(self._here(path))

    def locate(self, path: bytes) -> tuple[int, int] | None:
        return self._tree.locate(self._here(path))

    def _here(self, path: bytes) -> bytes:
        if self.node(path) is None:
            raise errdefs.not_found(f"{quoted(path)} is not in the build context")
        return path

    def close(self) -> None:
        pass

    def _folder(self, path: bytes) -> dict[bytes, int] | None:
        """The names in a directory, with the verdict on each; None for what is none."""
        folder = self._folders.get(path)
        if folder is not None:
            return folder
        folder = self._look(b"", 0)
        above = b""
        for name in path.split(b"/") if path else ():
            verdict = folder.get(name)
            above = above + b"/" + name if above else name
            if verdict is None or not self._is_directory(above):
                return None
            folder = self._look(above, verdict)
        return folder

    def _is_directory(self, path: bytes) -> bool:
        node = self._tree.node(path)
        return node is not None and node.kind == "dir"

    def _look(self, path: bytes, verdict: int) -> dict[bytes, int]:
        folder = self._folders.get(path)
        if folder is None:
            folder = {
                child.rpartition(b"/")[2]: judged
                for child, judged in self._judged(path, verdict)
                if not judged & MATCHED or self._spares_below(child, judged)
            }
            self._folders[path] = folder
        return folder

    def _judged(self, path: bytes, verdict: int) -> Iterator[tuple[bytes, int]]:
        before = path + b"/" if path else b""
        judge = self._patterns.judge
        for name in self._tree.names(path):
            child = before + name
            if child not in self._hidden:
                yield child, judge(child.decode("utf-8", "surrogateescape"), verdict)

    def _spares_below(self, path: bytes, verdict: int) -> bool:
        """Whether anything stays below something that is matched."""
        if not self._may_spare_below(path):
            return False
        way = [(path, self._judged(path, verdict))]
        while way:
            path, left = way[-1]
            for child, judged in left:
                if not judged & MATCHED:
                    return True
                if self._may_spare_below(child):
                    way.append((child, self._judged(child, judged)))
                    break
            else:
                self._bare.add(path)
                way.pop()
        return False

    def _may_spare_below(self, path: bytes) -> bool:
        return (
            path not in self._bare
            and self._is_directory(path)
            and self._patterns.may_spare(path.decode("utf-8", "surrogateescape"))
        )


class Folder(ContextFiles):
    """A directory of a tree as a tree. It does not close the tree that it is made of.

    Hardlinks keep their identity; a symlink that leads out leads to the folder's own root.
    """

    def __init__(self, tree: ContextFiles, path: bytes) -> None:
        """Raises NotFound if there is no such directory."""
        node = tree.node(path)
        if node is None or node.kind != "dir":
            raise errdefs.not_found(f"{quoted(path)} is not a directory of the build context")
        self._tree = tree
        self._path = path

    def _of(self, path: bytes) -> bytes:
        return b"/".join(part for part in (self._path, path) if part)

    def node(self, path: bytes) -> Node | None:
        return self._tree.node(self._of(path))

    def names(self, path: bytes) -> list[bytes]:
        return self._tree.names(self._of(path))

    def open(self, path: bytes) -> BinaryIO:
        return self._tree.open(self._of(path))

    def content_digest(self, path: bytes) -> bytes:
        return self._tree.content_digest(self._of(path))

    def locate(self, path: bytes) -> tuple[int, int] | None:
        return self._tree.locate(self._of(path))

    def close(self) -> None:
        pass
