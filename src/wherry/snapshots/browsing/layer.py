"""What a layer has to be so that a stack of such can be looked into."""

import os
from collections.abc import Iterable
from typing import BinaryIO, Literal, Protocol, TypeAlias

from wherry import errdefs
from wherry.layers.files import Kind, Node

FileKind: TypeAlias = Kind | Literal["whiteout"]
"""A whiteout is a name that the layers below lose; so is what no layer can hold, a socket."""


class LayerFile(Protocol):
    """A file of one layer."""

    @property
    def kind(self) -> FileKind: ...

    def node(self) -> Node | None:
        """None if it is gone since it was found: who looks at a container must expect that."""

    def directory(self) -> "LayerDirectory":
        """Raises NotFound if it is none."""

    def open(self) -> BinaryIO:
        """Raises NotFound if it is no regular file."""


class LayerDirectory(Protocol):
    """A directory of one layer; what is open for it is closed when nobody refers to it."""

    @property
    def opaque(self) -> bool:
        """Whether it hides all that is in the directory in the layers below."""

    def find(self, name: bytes) -> LayerFile | None: ...

    def entries(self) -> Iterable[tuple[bytes, LayerFile]]:
        """All files in it, in any order."""


class Descriptor:
    """An open file that is closed when the last reference goes.

    So none is closed, and its number given to another file, while a thread reads from it.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class EmptyRoot:
    """The root, and all, of a stack of no layers."""

    kind: Literal["dir"] = "dir"
    opaque = True

    def node(self) -> Node:
        return Node("dir", 0o755)

    def directory(self) -> "EmptyRoot":
        return self

    def open(self) -> BinaryIO:
        raise errdefs.not_found("the root is a directory")

    def find(self, name: bytes) -> LayerFile | None:
        return None

    def entries(self) -> Iterable[tuple[bytes, LayerFile]]:
        return ()
