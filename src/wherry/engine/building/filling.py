"""A directory with the files of a tree: what a cache mount begins with."""

from __future__ import annotations

import os
import shutil
import stat
from typing import Final

from wherry import errdefs
from wherry.build.threads import Stop
from wherry.content.disk import Reserve
from wherry.layers.files import FileTree, Node, walk

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK: Final = 1 << 20
_KINDS: Final = {"char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO}


def fill(target: int, tree: FileTree, source: bytes, reserve: Reserve, stop: Stop) -> None:
    """Make a copy of all below the directory `source` in the empty directory `target`, whose
    attributes become the source's.

    Raises InvalidArgument if the source is no directory, ResourceExhausted before the disk is full;
    may raise OSError.
    """
    node = tree.node(source)
    if node is None or node.kind != "dir":
        shown = "/" + os.fsdecode(source)
        raise errdefs.invalid(f"a cache mount begins with a directory, and {shown} is none")
    directories: list[tuple[bytes, Node]] = []
    linked: dict[int, bytes] = {}
    for path, node in walk(tree, source):
        stop.check()
        inside = path[len(source) :].lstrip(b"/")
        if node.kind == "dir":
            directories.append((inside or b".", node))
            if inside:
                os.mkdir(inside, 0o700, dir_fd=target)
            continue
        if node.identity is not None:
            first = linked.setdefault(node.identity, inside)
            if first != inside:
                os.link(first, inside, src_dir_fd=target, dst_dir_fd=target, follow_symlinks=False)
                continue
        _make(target, inside, node, tree, path, reserve)
        _give(target, inside, node)
    # Last, so that nothing is inherited from a directory and no time changes any more.
    for inside, node in directories:
        _give(target, inside, node)


def _make(
    target: int, inside: bytes, node: Node, tree: FileTree, path: bytes, reserve: Reserve
) -> None:
    if node.kind == "symlink":
        os.symlink(node.link, inside, dir_fd=target)
    elif node.kind != "file":
        device = os.makedev(node.major, node.minor)
        os.mknod(inside, _KINDS[node.kind] | 0o600, device, dir_fd=target)
    else:
        reserve.spend(node.size)
        with (
            tree.open(path) as content,
            open(os.open(inside, _NEW, 0o600, dir_fd=target), "wb") as copy,
        ):
            shutil.copyfileobj(content, copy, _CHUNK)


def _give(target: int, inside: bytes, node: Node) -> None:
    os.chown(inside, node.uid, node.gid, dir_fd=target, follow_symlinks=False)
    if node.kind != "symlink":
        os.chmod(inside, node.mode, dir_fd=target)
    for name, value in node.xattrs.items():
        where = b"/proc/self/fd/%d/%b" % (target, inside)
        os.setxattr(where, name, value, follow_symlinks=False)
    os.utime(inside, ns=(node.mtime_ns, node.mtime_ns), dir_fd=target, follow_symlinks=False)
