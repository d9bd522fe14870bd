"""A tree of files to look into, whatever keeps it: a stack of layers, or the context of a build.

    with snapshotter.browse(image.diff_ids) as tree:
        passwd = resolve(tree, b"etc/passwd")
        with tree.open(passwd) as file:
            ...

Nothing is mounted and nothing is unpacked. A path is bytes, relative to the root, and normal: no
slash at its ends, no empty, `.` or `..` component. `b""` is the root.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Final, Literal, Protocol, Self, TypeAlias

from wherry import errdefs
from wherry.layers.tar.names import quoted

Kind: TypeAlias = Literal["file", "dir", "symlink", "char", "block", "fifo"]

_LINKS_MAX: Final = 40  # as many as the kernel follows (path_resolution(7))


@dataclass(frozen=True, slots=True)
class Node:
    """What a tree says of one file. The fields are those of `wherry.layers.tar.Entry`.

    `identity` is equal for all names of one hardlinked file in a tree, None for a file of one name.
    """

    kind: Kind
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: Mapping[bytes, bytes] = field(default_factory=dict)
    identity: int | None = None


class FileTree(Protocol):
    """A read-only tree. Nothing here follows a symlink: a path whose parent is no directory does
    not exist. Any thread may read; `close` lets go of what is open, and is for when all is read.
    """

    def node(self, path: bytes) -> Node | None:
        """None for what does not exist. Raises DataLoss for a damaged layer."""

    def names(self, path: bytes) -> list[bytes]:
        """The names in a directory, sorted as bytes. Raises NotFound for what is none."""

    def open(self, path: bytes) -> BinaryIO:
        """The content of a regular file, holes as zeros. Raises NotFound for what is none."""

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Nodes(Protocol):
    """All that following symlinks takes."""

    def node(self, path: bytes) -> Node | None: ...


def resolve(tree: Nodes, path: bytes, *, last: bool = True) -> bytes:
    """Where `path` leads if the tree were a root directory: a normal path without symlinks.

    `path` may be absolute, and may hold `.` and `..`, which stay in the root. What does not exist
    is taken literally. `last`: a symlink at the very end is followed too. Raises InvalidArgument
    for more than 40 symlinks.
    """
    done: list[bytes] = []
    todo = path.split(b"/")[::-1]
    followed = 0
    absent = 0  # how many of `done` lead to the first that does not exist
    while todo:
        name = todo.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            del done[-1:]
            if len(done) < absent:
                absent = 0
            continue
        done.append(name)
        if absent:
            continue
        if not last and not any(todo):
            break
        node = tree.node(b"/".join(done))
        if node is None:
            absent = len(done)
            continue
        if node.kind != "symlink":
            continue
        followed += 1
        if followed > _LINKS_MAX:
            raise errdefs.invalid(f"{quoted(path)} has more than {_LINKS_MAX} symlinks on its way")
        done.pop()
        if node.link.startswith(b"/"):
            done.clear()
        todo.extend(node.link.split(b"/")[::-1])
    return b"/".join(done)


def walk(tree: FileTree, path: bytes = b"") -> Iterator[tuple[bytes, Node]]:
    """`path` and all below it, a directory before what is in it, names in order.

    Nothing for what does not exist, or is gone meanwhile.
    """
    todo = [path]
    while todo:
        path = todo.pop()
        node = tree.node(path)
        if node is None:
            continue
        yield path, node
        if node.kind == "dir":
            before = path + b"/" if path else b""
            todo.extend(before + name for name in reversed(_names(tree, path)))


def _names(tree: FileTree, path: bytes) -> list[bytes]:
    try:
        return tree.names(path)
    except errdefs.EngineError as error:
        if error.kind is errdefs.Kind.NOT_FOUND:
            return []
        raise
