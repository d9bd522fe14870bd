"""What files are taken from: the build's context, further ones, stages, images.

All of them are trees to look into; those that are stacks of layers can be mounted as they are, and
a context can once what is wanted of it was made a layer.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass

from wherry import errdefs
from wherry.layers.files import FileTree, resolve
from wherry.libcontainer import passwd
from wherry.snapshots.protocol import Snapshotter
from wherry.spec.digest import Digest


@dataclass(frozen=True, slots=True)
class Material:
    """Files to take. `where` says it in a sentence: `stage "build"`, `the build context`.

    `layers` is the stack that they are in, or None for a context, which `open` gives: the same tree
    each time, which stays its owner's. `is_ignored` tells of a path that is not in the tree whether
    .dockerignore took it.
    """

    where: str
    layers: tuple[Digest, ...] | None
    open: Callable[[], contextlib.AbstractContextManager[FileTree]]
    is_ignored: Callable[[str], bool] = lambda path: False


def of_layers(where: str, layers: tuple[Digest, ...], snapshots: Snapshotter) -> Material:
    """The files of a stack of layers."""
    return Material(where, layers, lambda: snapshots.browse(layers))


def of_tree(where: str, tree: FileTree, is_ignored: Callable[[str], bool]) -> Material:
    """The files of a context, which its owner closes."""
    return Material(where, None, lambda: contextlib.nullcontext(tree), is_ignored)


@dataclass(frozen=True, slots=True)
class _Root:
    """A tree as the readers of /etc/passwd want it."""

    tree: FileTree

    def read(self, path: str, limit: int) -> bytes | None:
        """A file's content; None for none, or for what is no file."""
        found = resolve(self.tree, path.encode())
        node = self.tree.node(found)
        if node is None or node.kind != "file":
            return None
        if node.size > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        with self.tree.open(found) as file:
            return file.read(limit)


def owner_of(tree: FileTree, wanted: str) -> tuple[int, int]:
    """(uid, gid) of `--chown`: names are those of the tree's /etc/passwd and /etc/group.

    A number without a group is the group too (Dockerfile reference, "COPY --chown"). Raises
    InvalidArgument for a name that is not there.
    """
    user, _, group = wanted.partition(":")
    if user.isascii() and user.isdigit() and not group:
        wanted = f"{user}:{user}"
    identity = passwd.resolve(_Root(tree), wanted)
    return identity.uid, identity.gid


def user_of(tree: FileTree, user: str) -> tuple[int, int]:
    """(uid, gid) of USER, as a program would have them. Raises InvalidArgument."""
    identity = passwd.resolve(_Root(tree), user)
    return identity.uid, identity.gid


def must_have(material: Material, path: str) -> str:
    """Where `path` is in the material, without symlinks: a mount's source.

    Raises InvalidArgument if it is not there, saying where it was looked for.
    """
    with material.open() as tree:
        found = resolve(tree, path.encode(errors="surrogateescape"))
        if tree.node(found) is None:
            taken = " (.dockerignore excludes it)" if material.is_ignored(path) else ""
            raise errdefs.invalid(f'"{path}" is not in {material.where}{taken}')
        return found.decode(errors="surrogateescape")
