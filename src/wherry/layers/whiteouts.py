"""Names that are not files but marks: what a layer removes from the layers below it.

The rules are the OCI image specification's (layer.md, "Whiteouts"), which took them from AUFS:

    dir/.wh.X           removes dir/X of lower layers, never what this layer has itself
    dir/.wh..wh..opq    removes everything that lower layers have in dir: dir is opaque
    .wh..wh.*           AUFS's own bookkeeping (plnk, aufs, orph): means nothing, is skipped

The order of entries does not matter. A `.wh.X` beside a directory X of the same layer says that X
replaces the lower one instead of joining it: X is opaque. These functions take one component of a
path unless they say otherwise. Light to import: a confined extractor does.
"""

from typing import Final

from wherry import errdefs

PREFIX: Final = b".wh."
OPAQUE: Final = b".wh..wh..opq"
_RESERVED: Final = b".wh..wh."


def is_whiteout(name: bytes) -> bool:
    """Whether `name` is any of the marks, those that mean nothing included."""
    return name.startswith(PREFIX)


def is_opaque(name: bytes) -> bool:
    """Whether `name` makes its directory opaque."""
    return name == OPAQUE


def hidden_name(name: bytes) -> bytes | None:
    """The name that `name` removes from lower layers; None if it removes none.

    Raises InvalidArgument where that would be no name of a file, such as `..` in `.wh...`, by
    which a careless engine removes the directory above.
    """
    if not name.startswith(PREFIX) or name.startswith(_RESERVED):
        return None
    hidden = name[len(PREFIX) :]
    if hidden in (b"", b".", b".."):
        raise errdefs.invalid(f"the whiteout {name.decode()!r} removes nothing that has a name")
    return hidden


def is_below_whiteout(path: bytes) -> bool:
    """Whether a directory on the way to `path` has a mark's name: nothing there is a file.

    AUFS keeps its bookkeeping so (`.wh..wh.plnk/17.4`).
    """
    parents = path.rpartition(b"/")[0]
    return PREFIX in parents and (b"/" + parents).find(b"/" + PREFIX) >= 0


def whiteout_for(path: bytes) -> bytes:
    """The path of the mark that removes `path`."""
    parents, slash, name = path.rpartition(b"/")
    return parents + slash + PREFIX + name


def opaque_for(directory: bytes) -> bytes:
    """The path of the mark that makes `directory` opaque."""
    return directory + b"/" + OPAQUE if directory else OPAQUE


class Marks:
    """What a layer hides of those below: collected while it is read, since a mark never hides what
    its own layer has, wherever in the archive it stands.

    `hidden` are paths, `opaque` directories.
    """

    def __init__(self) -> None:
        self.hidden: set[bytes] = set()
        self.opaque: set[bytes] = set()

    def take(self, whole: bytes, path: bytes, name: bytes) -> bool:
        """Whether the entry `whole`, which is `name` in `path`, is a mark and no file."""
        if is_below_whiteout(whole):
            return True
        if is_opaque(name):
            self.opaque.add(path)
        elif (hidden := hidden_name(name)) is not None:
            self.hidden.add(path + b"/" + hidden if path else hidden)
        return is_whiteout(name)
