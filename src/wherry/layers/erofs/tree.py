"""A layer's entries as the tree that they make, by the rules of the Snapshotter's tutorial
(snapshots/protocol.py, "How a layer is read")."""

import stat
from typing import Final

from wherry import errdefs
from wherry.layers import whiteouts
from wherry.layers.erofs import xattrs
from wherry.layers.erofs.chunks import ChunkIndex
from wherry.layers.erofs.format import (
    BLOCK_BITS,
    FT_BLOCK_DEVICE,
    FT_CHAR_DEVICE,
    FT_FIFO,
    FT_FILE,
    FT_SYMLINK,
    INODE_ALIGN,
    device_number,
)
from wherry.layers.erofs.inodes import InodeTable, fits_inline
from wherry.layers.erofs.overflow import Overflow
from wherry.layers.tar import (
    BLOCK_DEVICE,
    CHAR_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Entry,
)
from wherry.layers.tar.names import quoted

_NODES: Final = {
    CHAR_DEVICE: (stat.S_IFCHR, FT_CHAR_DEVICE),
    BLOCK_DEVICE: (stat.S_IFBLK, FT_BLOCK_DEVICE),
    FIFO: (stat.S_IFIFO, FT_FIFO),
}
_TYPE: Final = INODE_ALIGN - 1
_AT_HAND: Final = 4096
_MAX_DEVICES: Final = 10_000
_MEMORY: Final = 1 << 30
_DIRECTORY_TAKES: Final = 1024  # as an object, and as an inode and a block
_LONG_NAME: Final = 100
_LONG_NAME_TAKES: Final = 1024  # the name, and its part of a block that few such fit into


class Directory:
    """A directory in the making. A child that is no directory is one number: the position of its
    inode, which leaves the lowest bits for its type (FT_*)."""

    __slots__ = (
        "children", "gid", "has_whiteouts", "mode", "mtime_ns", "nid", "opaque", "uid", "xattrs",
    )  # fmt: skip

    def __init__(self) -> None:
        self.children: dict[bytes, int | Directory] = {}
        self.mode = 0o755
        self.uid = self.gid = self.mtime_ns = 0
        self.xattrs: dict[bytes, bytes] = {}
        self.opaque = False
        self.has_whiteouts = False
        self.nid = 0


class Tree:
    """Takes entries one by one; what it keeps of each is an inode's bytes and a name.

    Raises InvalidArgument and ResourceExhausted; whoever gave the entry knows its name.
    """

    def __init__(self, max_entries: int, data_at: int) -> None:
        """`data_at` is where in the layer file the tar begins."""
        self.root = Directory()
        self.inodes = InodeTable()
        self.overflow = Overflow()
        self.count = 1
        """Files of every kind, whiteouts apart."""
        self.bytes = 0
        """Of regular files, each counted once."""
        self.whiteouts = 0
        self.chunked = False
        self._data_at = data_at
        self._max_entries = max_entries
        self._entries = 0
        self._devices = 0
        self._memory = _MEMORY
        self._marks = whiteouts.Marks()
        # Archives are written directory by directory: few parents serve nearly every entry.
        self._at_hand: dict[bytes, Directory] = {b"": self.root}

    # --- entries ----------------------------------------------------------------------------------

    def add(self, entry: Entry) -> None:
        self._entries += 1
        if self._entries > self._max_entries:
            raise errdefs.exhausted(f"a layer may have {self._max_entries} entries")
        whole = entry.name
        path, _, name = whole.rpartition(b"/")
        if len(name) > _LONG_NAME:
            self._charge(_LONG_NAME_TAKES)
        if whole.find(whiteouts.PREFIX) >= 0 and self._marks.take(whole, path, name):
            self._charge(len(whole))
            return
        kind = entry.kind
        if kind == DIRECTORY:
            self._directory(entry, path, name)
        elif kind == HARDLINK:
            self._hardlink(entry, path, name)
        else:
            children = (self._at_hand.get(path) or self._open(path)).children
            if name in children:
                self._clear(children, name)
            children[name] = self._file(entry) if kind == FILE else self._node(entry)

    def _directory(self, entry: Entry, path: bytes, name: bytes) -> None:
        directory = self.root
        if name:
            children = self._open(path).children
            child = children.get(name)
            if isinstance(child, Directory):
                directory = child
            else:
                if child is not None:
                    self._clear(children, name)
                directory = self._make(children, name, entry.name)
        directory.mode, directory.xattrs = entry.mode, {}
        directory.uid, directory.gid = entry.uid, entry.gid
        directory.mtime_ns = entry.mtime_ns
        if entry.xattrs:
            kept, directory.mode = xattrs.judged(entry.xattrs, DIRECTORY, entry.mode)
            # Whether it fits, whatever is found out about the directory later.
            encoded = xattrs.encode(kept | dict((xattrs.OPAQUE, xattrs.ORIGIN)))
            self._charge(2 * len(encoded))
            directory.xattrs = kept

    def _file(self, entry: Entry) -> int:
        mode, encoded = entry.mode, b""
        if entry.xattrs:
            mode, encoded = self._xattrs(entry)
        self.count += 1
        self.bytes += entry.size
        mode |= stat.S_IFREG
        if entry.sparse is not None and entry.size:
            return self._sparse_file(entry, mode, encoded) | FT_FILE
        block = self._data_at + entry.offset >> BLOCK_BITS if entry.size else 0
        return FT_FILE | self.inodes.add(
            mode, entry.size, block, entry.uid, entry.gid, entry.mtime_ns, encoded
        )

    def _sparse_file(self, entry: Entry, mode: int, encoded: bytes) -> int:
        assert entry.sparse is not None
        self.chunked = True
        data_at = self._data_at + entry.offset
        index = ChunkIndex(entry.sparse, entry.size, data_at, self.overflow)
        self._charge(4 * len(index.encoded))
        position, at = self.inodes.add_chunked(
            mode,
            entry.size,
            index.form,
            entry.uid,
            entry.gid,
            entry.mtime_ns,
            encoded,
            index.encoded,
        )
        for chunk, block in index.late:
            self.overflow.refer(at + 4 * chunk, block)
        return position

    def _node(self, entry: Entry) -> int:
        mode, encoded = self._xattrs(entry) if entry.xattrs else (entry.mode, b"")
        self.count += 1
        owner = (entry.uid, entry.gid, entry.mtime_ns, encoded)
        if entry.kind == SYMLINK:
            mode = stat.S_IFLNK | 0o777  # all that Linux has
            if fits_inline(encoded, entry.link):
                return self.inodes.add_inline(mode, *owner, entry.link) | FT_SYMLINK
            position = self.inodes.add(mode, len(entry.link), 0, *owner)
            self.overflow.refer_inode(position, self.overflow.put_text(entry.link))
            self._charge(len(entry.link))
            return position | FT_SYMLINK
        device = 0
        if entry.kind in (CHAR_DEVICE, BLOCK_DEVICE):
            device = self._device(entry)
        file_type, directory_type = _NODES[entry.kind]
        return directory_type | self.inodes.add(file_type | mode, 0, device, *owner)

    def _device(self, entry: Entry) -> int:
        self._devices += 1
        if self._devices > _MAX_DEVICES:
            raise errdefs.exhausted(f"a layer may have {_MAX_DEVICES} devices")
        device = device_number(entry.major, entry.minor)
        if entry.kind == CHAR_DEVICE and not device:
            raise errdefs.invalid("character device 0/0 is overlayfs's own sign for a removed file")
        return device

    def _hardlink(self, entry: Entry, path: bytes, name: bytes) -> None:
        self._target(entry.link)
        children = self._open(path).children
        if name in children:
            self._clear(children, name)
        target = self._target(entry.link)  # it may have been in what was cleared
        self.inodes.link(target & ~_TYPE, 1)
        children[name] = target

    def _target(self, link: bytes) -> int:
        path, _, name = link.rpartition(b"/")
        found = self._find(path)
        target = found.children.get(name) if found else None
        if target is None:
            raise errdefs.invalid(
                f"it is a hardlink to {quoted(link)}, which the layer has not had before it"
            )
        if isinstance(target, Directory):
            raise errdefs.invalid(f"it is a hardlink to the directory {quoted(link)}")
        return target

    def _xattrs(self, entry: Entry) -> tuple[int, bytes]:
        """The mode and the xattrs that the file has in the end."""
        kept, mode = xattrs.judged(entry.xattrs, entry.kind, entry.mode)
        encoded = xattrs.encode(kept)
        self._charge(len(encoded))
        return mode, encoded

    # --- directories ------------------------------------------------------------------------------

    def _open(self, path: bytes) -> Directory:
        """The directory at `path`; what is missing is made."""
        found = self._find(path, make=True)
        assert found is not None
        return found

    def _find(self, path: bytes, make: bool = False) -> Directory | None:
        directory = self._at_hand.get(path)
        if directory is not None:
            return directory
        directory = self.root
        parts = path.split(b"/")
        for depth, name in enumerate(parts, 1):
            child = directory.children.get(name)
            if child is None:
                if not make:
                    return None
                child = self._make(directory.children, name)
            elif not isinstance(child, Directory):
                parent = b"/".join(parts[:depth])
                raise errdefs.invalid(f"its parent {quoted(parent)} is not a directory")
            directory = child
        self._keep_at_hand(path, directory)
        return directory

    def _make(
        self, children: "dict[bytes, int | Directory]", name: bytes, path: bytes = b""
    ) -> Directory:
        self._charge(_DIRECTORY_TAKES + len(name))
        self.count += 1
        directory = children[name] = Directory()
        if path:
            self._keep_at_hand(path, directory)
        return directory

    def _keep_at_hand(self, path: bytes, directory: Directory) -> None:
        if len(self._at_hand) >= _AT_HAND:
            self._put_away()
        self._at_hand[path] = directory

    def _put_away(self) -> None:
        self._at_hand = {b"": self.root}

    # --- replacing --------------------------------------------------------------------------------

    def _clear(self, children: dict[bytes, int | Directory], name: bytes) -> None:
        """Take away what an earlier entry made. Not recursive: an archive may nest deeper than
        Python's stack."""
        cleared = [children.pop(name)]
        for child in cleared:
            if isinstance(child, Directory):
                self._put_away()
                self.count -= 1
                cleared += child.children.values()
            elif self.inodes.link(child & ~_TYPE, -1) == 0:
                self.count -= 1
                mode, size = self.inodes.mode_and_size(child & ~_TYPE)
                if stat.S_ISREG(mode):
                    self.bytes -= size

    # --- the end ----------------------------------------------------------------------------------

    def finish(self) -> None:
        """Carry out the whiteouts, in overlayfs's own form.

        A removed name is a 0/0 device. Its directory gets an origin (empty: unknown), as after a
        copy-up: without it the kernel lists removed names, if the directory comes to have nothing
        below it to be merged with.
        """
        for path in sorted(self._marks.opaque):
            self._in_directory(path).opaque = True
        for path in sorted(self._marks.hidden):
            self._in_directory(path.rpartition(b"/")[0])
        for path in sorted(self._marks.hidden):
            parent, _, name = path.rpartition(b"/")
            directory = self._in_directory(parent)
            child = directory.children.get(name)
            if isinstance(child, Directory):
                child.opaque = True
            elif child is None:
                position = self.inodes.add(stat.S_IFCHR, 0, 0, 0, 0, 0)
                directory.children[name] = position | FT_CHAR_DEVICE
                directory.has_whiteouts = True
                self.whiteouts += 1

    def _in_directory(self, path: bytes) -> Directory:
        try:
            return self._open(path)
        except errdefs.EngineError as error:
            raise errdefs.EngineError(
                error.kind, f"whiteout in {quoted(path)}: {error.message}"
            ) from error

    def _charge(self, size: int) -> None:
        """What usual entries take is bounded by how many there may be; the rest is counted."""
        self._memory -= size
        if self._memory < 0:
            raise errdefs.exhausted(
                "the layer's directories, whiteouts, long names and extended attributes take over"
                f" {_MEMORY} bytes"
            )
