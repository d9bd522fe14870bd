"""A stack of layers as the one tree that a mount of it would show."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import BinaryIO, Final, Self

from wherry import errdefs
from wherry.layers.files import FileTree, Node
from wherry.layers.tar.names import quoted
from wherry.snapshots.browsing.layer import LayerDirectory, LayerFile

_NO_NAMES: Final = (b"", b".", b"..")
_MAX_NAME: Final = 255
_MAX_PATH: Final = 4095
_DIRECTORIES_AT_HAND: Final = 256
_NAMES_AT_HAND: Final = 50_000

_Found = tuple[LayerFile, ...]
"""A name in a stack: what shows, and for a directory those that are merged with it."""


class MergedTree(FileTree):
    """Layers upon each other, as overlayfs has it (snapshots/protocol.py, "How a layer is read").

    Nothing is read before it is asked for. Directories that were in use lately are kept at hand, so
    that a walk costs no more than the look at each file; what they hold is bounded.
    """

    def __init__(self, roots: Iterable[LayerFile]) -> None:
        """`roots` are the root directories of the layers, TOP first, up to the first opaque one."""
        found: list[LayerFile] = []
        merged: list[LayerDirectory] = []
        for root in roots:
            found.append(root)
            merged.append(root.directory())
            if merged[-1].opaque:
                break
        self._root: _Found | None = tuple(found)
        self._at_hand = _AtHand(_Directory(merged))

    def node(self, path: bytes) -> Node | None:
        found = self._find(path)
        return found[0].node() if found else None

    def names(self, path: bytes) -> list[bytes]:
        directory = self._directory(path)
        if directory is None:
            raise errdefs.not_found(f"no such directory: {quoted(path)}")
        if directory.listing is not None:
            return list(directory.listing)
        listing = directory.read()
        self._at_hand.list(path, directory, listing)
        return list(listing)

    def open(self, path: bytes) -> BinaryIO:
        found = self._find(path)
        if found is None:
            raise errdefs.not_found(f"no such file: {quoted(path)}")
        if found[0].kind != "file":
            raise errdefs.not_found(f"{quoted(path)} is no regular file")
        return found[0].open()

    def close(self) -> None:
        self._root = None
        self._at_hand = _AtHand(_Directory([]))

    # --- lookup -----------------------------------------------------------------------------------

    def _find(self, path: bytes) -> _Found | None:
        if not path and self._root:
            return self._root
        parent, _, name = path.rpartition(b"/")
        directory = self._directory(parent)
        return directory.find(name) if directory else None

    def _directory(self, path: bytes) -> "_Directory | None":
        """The directory at `path`, by way of the nearest one above it that is at hand."""
        if self._root is None:
            raise ValueError("the tree is closed")
        missing: list[bytes] = []
        at = path
        while (directory := self._at_hand.get(at)) is None:
            if len(at) > _MAX_PATH:
                return None
            at, _, name = at.rpartition(b"/")
            missing.append(name)
        while missing:
            name = missing.pop()
            found = directory.find(name)
            if not found or found[0].kind != "dir":
                return None
            try:
                directory = _Directory.of(found)
            except errdefs.EngineError as error:
                if error.kind is errdefs.Kind.NOT_FOUND:
                    return None  # gone since it was found: a container may be at work
                raise
            at = at + b"/" + name if at else name
            self._at_hand.put(at, directory)
        return directory


class _Directory:
    """A directory of the stack: those of its layers that are merged, TOP first."""

    __slots__ = ("layers", "listing")

    def __init__(self, layers: list[LayerDirectory]) -> None:
        self.layers = layers
        self.listing: dict[bytes, _Found] | None = None
        """All names in order, if they were read and are kept."""

    @classmethod
    def of(cls, found: _Found) -> Self:
        layers = []
        for file in found:
            directory = file.directory()
            layers.append(directory)
            if directory.opaque:
                break
        return cls(layers)

    def find(self, name: bytes) -> _Found | None:
        if self.listing is not None:
            return self.listing.get(name)
        if name in _NO_NAMES or len(name) > _MAX_NAME or b"\0" in name:
            return None
        found: list[LayerFile] = []
        for layer in self.layers:
            file = layer.find(name)
            if file is None:
                continue
            if file.kind != "dir":
                if not found and file.kind != "whiteout":
                    found.append(file)
                break
            found.append(file)
        return tuple(found) or None

    def read(self) -> dict[bytes, _Found]:
        """All names, in order."""
        if len(self.layers) == 1:
            entries = sorted(self.layers[0].entries(), key=lambda entry: entry[0])
            return {name: (file,) for name, file in entries if file.kind != "whiteout"}
        merged: dict[bytes, list[LayerFile]] = {}
        closed: set[bytes] = set()
        for layer in self.layers:
            for name, file in layer.entries():
                if name in closed:
                    continue
                if file.kind == "dir":
                    merged.setdefault(name, []).append(file)
                    continue
                closed.add(name)
                if file.kind != "whiteout":
                    merged.setdefault(name, [file])
        return {name: tuple(merged[name]) for name in sorted(merged)}


class _AtHand:
    """The directories that were used last, the root always among them.

    Bounded in two ways: each layer of a directory may be an open file, and names are memory.
    """

    def __init__(self, root: _Directory) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, _Directory] = OrderedDict()
        self._layers = 0
        self._names = 0

    def get(self, path: bytes) -> _Directory | None:
        if not path:
            return self._root
        with self._lock:
            found = self._kept.get(path)
            if found is not None:
                self._kept.move_to_end(path)
            return found

    def put(self, path: bytes, directory: _Directory) -> None:
        with self._lock:
            if path not in self._kept:
                self._kept[path] = directory
                self._layers += len(directory.layers)
                self._shrink()

    def list(self, path: bytes, directory: _Directory, listing: dict[bytes, _Found]) -> None:
        """Keep the listing too, if there is room for it."""
        if len(listing) > _NAMES_AT_HAND:
            return
        with self._lock:
            if (path and self._kept.get(path) is not directory) or directory.listing is not None:
                return
            directory.listing = listing
            self._names += len(listing)
            self._shrink()

    def _shrink(self) -> None:
        while self._kept and (self._layers > _DIRECTORIES_AT_HAND or self._names > _NAMES_AT_HAND):
            if len(self._kept) == 1 and self._names <= _NAMES_AT_HAND:
                return  # a higher stack than that: its directory may be needed right now
            _, gone = self._kept.popitem(last=False)
            self._layers -= len(gone.layers)
            self._names -= len(gone.listing or ())
