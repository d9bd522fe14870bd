"""Owner and mode that copied files get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wherry import errdefs
from wherry.build.copying.modes import Chmod, parse_chmod
from wherry.build.copying.options import CopyOptions
from wherry.layers import whiteouts
from wherry.layers.attributes import is_content
from wherry.layers.files import Node
from wherry.layers.tar.names import quoted

_MARK: Final = b"/" + whiteouts.PREFIX


class Attributes:
    """What `--chown` and `--chmod` make of a node."""

    def __init__(self, options: CopyOptions) -> None:
        """Raises InvalidArgument for a `--chmod` that is none."""
        self.uid, self.gid = options.uid or 0, options.gid or 0
        """Of what is made new."""
        self.chowned = options.uid is not None
        self.kept = options.keep_owner and not self.chowned
        """Whether files keep their owners."""
        self.chmod: Chmod | None = parse_chmod(options.chmod) if options.chmod else None

    def of(self, node: Node) -> Node:
        """The node as it is copied."""
        mode = node.mode
        if node.kind == "symlink":
            mode = 0o777  # all that Linux has
        elif self.chmod is not None:
            mode = self.chmod(mode, node.kind == "dir")
        uid, gid = (node.uid, node.gid) if self.kept else (self.uid, self.gid)
        if mode == node.mode and uid == node.uid and gid == node.gid:
            return node
        # dataclasses.replace takes four times as long, and this is done for each file.
        return Node(
            node.kind,
            mode,
            uid,
            gid,
            node.mtime_ns,
            node.size,
            node.link,
            node.major,
            node.minor,
            node.xattrs,
            node.identity,
        )

    def new_directory(self) -> Node:
        """Of a directory that a destination needs: as in layers that leave it out, but for the
        owner. Its time is 0, so that the same files give the same layer."""
        return Node("dir", 0o755, self.uid, self.gid)


def kept_xattrs(xattrs: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Those that belong to a file rather than to the host that it was on, sorted."""
    return {
        name: xattrs[name]
        for name in sorted(xattrs)
        if is_content(name.decode("utf-8", "surrogateescape"))
    }


def refuse_mark(path: bytes) -> None:
    """Raises InvalidArgument for a path that means something else in a layer."""
    # bytes.find: `in` first tries whether the needle is a number.
    if path.find(whiteouts.PREFIX) >= 0 and (
        path.startswith(whiteouts.PREFIX) or path.find(_MARK) >= 0
    ):
        raise errdefs.invalid(
            f"{quoted(path)} cannot be copied: in a layer, a name that begins with '.wh.' removes a"
            " file; leave it out (.dockerignore, --exclude) or rename it"
        )
