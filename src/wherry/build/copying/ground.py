"""What a layer is made upon: a tree, and over it what the layer has already."""

from __future__ import annotations

from typing import Final

from wherry.layers.files import FileTree, Node

NEW_DIRECTORY: Final = Node("dir", 0o755)


class Place:
    """A name in the layer. `node` is None for a directory of the tree below that is only passed
    through; `hides` says that what the tree has there is gone."""

    __slots__ = ("children", "hides", "node")

    def __init__(self, node: Node | None, hides: bool) -> None:
        self.node = node
        self.hides = hides
        self.children: dict[bytes, Place] = {}


class Ground:
    """Merged like a stack of two layers, where the upper one grows. `tree` None: there is nothing
    but a root."""

    def __init__(self, tree: FileTree | None) -> None:
        self.tree = tree
        self._root = Place(None, hides=tree is None)

    def node(self, path: bytes) -> Node | None:
        """As `FileTree.node`, of the two together."""
        place = self._root
        hidden = place.hides
        for name in path.split(b"/") if path else ():
            below = place.children.get(name)
            if below is None:
                return None if hidden else self._below(path)
            place = below
            hidden = hidden or place.hides
        if place.node is not None:
            return place.node
        if place is self._root and self.tree is None:
            return NEW_DIRECTORY
        return self._below(path)

    def names(self, directory: bytes) -> set[bytes]:
        """What is in a directory of the two together."""
        place: Place | None = self._root
        hidden = self._root.hides
        for name in directory.split(b"/") if directory else ():
            place = place.children.get(name) if place is not None else None
            hidden = hidden or (place is not None and place.hides)
        found = set(place.children) if place is not None else set[bytes]()
        if not hidden and self.tree is not None:
            below = self.tree.node(directory)
            if below is not None and below.kind == "dir":
                found.update(self.tree.names(directory))
        return found

    def made(self, path: bytes) -> Node | None:
        """What the layer itself has there."""
        place: Place | None = self._root
        for name in path.split(b"/") if path else ():
            assert place is not None
            place = place.children.get(name)
            if place is None:
                return None
        return place.node if place is not None else None

    def put(self, path: bytes, node: Node) -> bool:
        """The layer has `node` there now.

        A directory on a directory keeps what is in it; anything else replaces all that was there.
        True if the new directory has to be opaque: the layer has removed the tree's before.
        """
        parent, _, name = path.rpartition(b"/")
        children = self._open(parent).children if name else {}
        place = children.get(name) if name else self._root
        if place is None:
            children[name] = Place(node, hides=node.kind != "dir")
            return False
        had_directory = place.node is None or place.node.kind == "dir"
        if node.kind == "dir":
            place.node = node
            below = None if had_directory else self._below(path)
            return below is not None and below.kind == "dir"
        children[name] = Place(node, hides=True)
        return False

    def _open(self, path: bytes) -> Place:
        place = self._root
        for name in path.split(b"/") if path else ():
            below = place.children.get(name)
            if below is None:
                below = place.children[name] = Place(None, hides=False)
            place = below
        return place

    def _below(self, path: bytes) -> Node | None:
        return self.tree.node(path) if self.tree is not None else None


class Chroot:
    """The ground below a directory, as that directory's own root."""

    def __init__(self, ground: Ground, directory: bytes) -> None:
        self._ground = ground
        self._before = directory + b"/" if directory else b""

    def whole(self, path: bytes) -> bytes:
        return self._before + path if path else self._before[:-1]

    def node(self, path: bytes) -> Node | None:
        return self._ground.node(self.whole(path))
