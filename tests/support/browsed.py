"""Pictures of a FileTree, to be compared with those of a mount (trees.py)."""

import os

import trees

from wherry.layers.files import FileTree, walk

_LETTERS = {"file": "-", "dir": "d", "symlink": "l", "char": "c", "block": "b", "fifo": "p"}


def picture(tree: FileTree) -> dict[bytes, trees.Picture]:
    nodes = dict(walk(tree))
    names: dict[int, list[bytes]] = {}
    for path, node in nodes.items():
        if node.identity is not None:
            names.setdefault(node.identity, []).append(path)
    pictures = {}
    for path, node in nodes.items():
        content = node.link
        if node.kind == "file":
            with tree.open(path) as file:
                content = file.read()
            assert len(content) == node.size
        elif node.kind in ("char", "block"):
            content = b"%d:%d" % (node.major, node.minor)
        same = names.get(node.identity, []) if node.identity is not None else []
        pictures[path] = trees.Picture(
            _LETTERS[node.kind],
            node.mode,
            (node.uid, node.gid),
            node.mtime_ns,
            content,
            {os.fsdecode(name): value for name, value in node.xattrs.items()},
            tuple(sorted(same)) if len(same) > 1 else (),
        )
    return pictures
