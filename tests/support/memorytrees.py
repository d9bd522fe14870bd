"""Trees of files in memory, to be copied from and upon."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import BinaryIO

from wherry import errdefs
from wherry.layers.files import FileTree, Node


class MemoryTree(FileTree):
    """A FileTree. Directories that nobody mentions are 0755 and root's.

    MemoryTree({"etc/motd": b"hi", "bin": Node("symlink", link=b"usr/bin")})
    """

    def __init__(self, files: Mapping[str | bytes, bytes | Node | tuple[Node, bytes]]) -> None:
        self.nodes: dict[bytes, Node] = {b"": Node("dir", 0o755)}
        self.contents: dict[bytes, bytes] = {}
        self.opened: list[bytes] = []
        for name, what in files.items():
            path = name.encode() if isinstance(name, str) else name
            node, content = what if isinstance(what, tuple) else (what, b"")
            if isinstance(node, bytes):
                node, content = Node("file", 0o644), node
            if node.kind == "file":
                node = replace(node, size=len(content))
                self.contents[path] = content
            parent = path.rpartition(b"/")[0]
            while parent and parent not in self.nodes:
                self.nodes[parent] = Node("dir", 0o755)
                parent = parent.rpartition(b"/")[0]
            self.nodes[path] = node

    def node(self, path: bytes) -> Node | None:
        return self.nodes.get(path)

    def names(self, path: bytes) -> list[bytes]:
        node = self.nodes.get(path)
        if node is None or node.kind != "dir":
            raise errdefs.not_found(f"{path!r} is no directory")
        before = path + b"/" if path else b""
        below = [name[len(before) :] for name in self.nodes if name and name.startswith(before)]
        return sorted(name for name in below if b"/" not in name)

    def open(self, path: bytes) -> BinaryIO:
        if path not in self.contents:
            raise errdefs.not_found(f"{path!r} is no file")
        self.opened.append(path)
        return io.BytesIO(self.contents[path])

    def close(self) -> None:
        pass
