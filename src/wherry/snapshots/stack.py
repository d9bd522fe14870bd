"""What a stack of unpacked layers looks like, worked out without overlayfs."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """An unpacked layer: the open directory of its tree, and what it hides of those below."""

    tree: int
    whiteouts: frozenset[bytes]
    opaque: frozenset[bytes]


@dataclass(frozen=True)
class Member:
    """A file of the stack: where it is (`path` below `layer.tree`), and its lstat."""

    path: bytes
    layer: Layer
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


def members(layers: Sequence[Layer]) -> Iterator[Member]:
    """Every file that a mount of `layers` (TOP first) shows, a directory before what is in it.

    As overlayfs does: of a name the topmost layer that has it counts; directories are merged
    down to the first layer that has something else there, or hides what lies below.
    """
    if not layers:
        return
    yield Member(b"", layers[0], os.fstat(layers[0].tree))
    pending: list[tuple[bytes, list[Layer]]] = [(b"", list(layers))]
    while pending:
        path, sharing = pending.pop()
        for member, merged in _directory(path, sharing):
            yield member
            if merged:
                pending.append((member.path, merged))


def _directory(path: bytes, sharing: Sequence[Layer]) -> Iterator[tuple[Member, list[Layer]]]:
    """Each file in the directory `path`, which the layers `sharing` have; for a directory also the
    layers that share it in turn."""
    found: dict[bytes, tuple[Member, list[Layer]]] = {}
    closed: set[bytes] = set()
    hiding: list[frozenset[bytes]] = []
    for layer in sharing:
        for name in _names(layer, path):
            child = path + b"/" + name if path else name
            if child in closed or any(child in whiteouts for whiteouts in hiding):
                continue
            status = os.stat(child, dir_fd=layer.tree, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                closed.add(child)
                found.setdefault(child, (Member(child, layer, status), []))
                continue
            found.setdefault(child, (Member(child, layer, status), []))[1].append(layer)
            if child in layer.opaque:
                closed.add(child)
        if path in layer.opaque:
            break
        if layer.whiteouts:
            hiding.append(layer.whiteouts)
    return iter([found[child] for child in sorted(found)])


def _names(layer: Layer, path: bytes) -> list[bytes]:
    fd = os.open(path or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=layer.tree)
    try:
        return [os.fsencode(name) for name in os.listdir(fd)]
    finally:
        os.close(fd)
