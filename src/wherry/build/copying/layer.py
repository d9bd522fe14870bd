"""A layer in the making: what has been put into it, and the entries that say so.

A directory that exists below is listed with the attributes that it has there, because a layer's
entry counts before all below it. So each entry comes after those of the directories above it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wherry import errdefs
from wherry.build.copying.ground import Ground
from wherry.build.copying.headers import file_header
from wherry.build.copying.ownership import Attributes, kept_xattrs, refuse_mark
from wherry.build.copying.sources import decoded
from wherry.layers import whiteouts
from wherry.layers.files import FileTree, Node, resolve
from wherry.layers.tar import Entry, Kind, encode
from wherry.layers.tar.fields import BLOCK

SECOND: Final = 1_000_000_000
PADS: Final = tuple(bytes(-size % BLOCK) for size in range(BLOCK))
"""What follows a content of so many bytes beyond a multiple of 512."""

_PLAIN_ROOT: Final[tuple[int, int, int, dict[bytes, bytes]]] = (0o755, 0, 0, {})


class Layer:
    """Methods that change it are iterators: of the entries, which are to be written."""

    def __init__(self, target: FileTree | None, attributes: Attributes) -> None:
        """`target` is what the layer comes upon; None for whatever it may be."""
        self.ground = Ground(target)
        self.attributes = attributes
        self._listed: set[bytes] = set()
        self._opaque: dict[bytes, None] = {}

    def where(self, path: bytes) -> bytes:
        """Where `path` leads to in the root that the layer makes."""
        return resolve(self.ground, path)

    def header(self, path: bytes, node: Node, link: bytes = b"") -> bytes:
        """The entry of a file, times in whole seconds. `link` makes it another name of that."""
        refuse_mark(path)
        seconds = node.mtime_ns // SECOND
        if node.kind == "file" and not node.xattrs and not link:
            return file_header(path, node.mode, node.uid, node.gid, node.size, seconds)
        kind: Kind = "hardlink" if link else node.kind
        return encode(
            Entry(
                path,
                kind,
                node.mode,
                node.uid,
                node.gid,
                seconds * SECOND,
                node.size if kind == "file" else 0,
                link or node.link,
                node.major,
                node.minor,
                kept_xattrs(node.xattrs) if not link else {},
            )
        )

    def put(self, path: bytes, node: Node) -> Iterator[bytes]:
        """The entry of a directory, or of what else has no content; the parents are listed."""
        if self.ground.put(path, node):
            self._opaque[path] = None
        if node.kind == "dir":
            self._listed.add(path)
        yield self.header(path, node)

    def finish(self) -> Iterator[bytes]:
        """What can only be said at the end: which directories hide what lies below them. One that
        was replaced once more by something else has nothing to say."""
        for path in self._opaque:
            node = self.ground.made(path)
            if node is not None and node.kind == "dir":
                yield file_header(whiteouts.opaque_for(path), 0o644, 0, 0, 0, 0)

    def list_above(self, path: bytes) -> Iterator[bytes]:
        """List the directories above `path`, all of which exist."""
        if not self._listed:
            yield from self._list_root()
        parent = path.rpartition(b"/")[0]
        if parent in self._listed:
            return
        whole = b""
        for name in parent.split(b"/"):
            whole = whole + b"/" + name if whole else name
            if whole not in self._listed:
                node = self.ground.node(whole)
                assert node is not None
                yield from self.put(whole, node)

    def _list_root(self) -> Iterator[bytes]:
        """A root is listed only if it is not as in layers that leave it out."""
        self._listed.add(b"")
        tree = self.ground.tree
        root = tree.node(b"") if tree is not None else None
        if root is not None and (root.mode, root.uid, root.gid, root.xattrs) != _PLAIN_ROOT:
            yield self.header(b"", root)

    def make_directory(self, path: bytes, new: Node) -> Iterator[bytes]:
        """See to it that there is a directory at `path`; all that are missing are like `new`.

        Raises InvalidArgument, in the kernel's words, where something else is in the way.
        """
        whole = b""
        for name in path.split(b"/") if path else ():
            whole = whole + b"/" + name if whole else name
            node = self.ground.node(whole)
            if node is None:
                yield from self.list_above(whole)
                yield from self.put(whole, new)
            elif node.kind != "dir":
                raise errdefs.invalid(f"mkdir /{decoded(whole)}: not a directory")
