"""What a tar archive says about one file."""

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["file", "dir", "symlink", "hardlink", "char", "block", "fifo"]

FILE: Final = "file"
DIRECTORY: Final = "dir"
SYMLINK: Final = "symlink"
HARDLINK: Final = "hardlink"
CHAR_DEVICE: Final = "char"
BLOCK_DEVICE: Final = "block"
FIFO: Final = "fifo"

Segment: TypeAlias = tuple[int, int]
"""(offset, length) of a run of data in a sparse file; what lies between is a hole."""


@dataclass(slots=True)
class Entry:
    """One member of an archive, in a form that no longer depends on the archive's format.

    `name` is relative to the archive's root and normal: no leading `./` or `/`, no trailing `/`, no
    empty, `.` or `..` component, no NUL; at most 4095 bytes, a component at most 255. The empty
    name is the root directory itself (`./` in the archive).

    `link` is, for a hardlink, the name of its target, normal in the same way; for a symlink it is
    its text as written, which may be absolute or hold `..`: who follows it must stay in the root.

    `mode` holds the twelve permission bits. `size` is the length of a file's content, holes
    included, and 0 for every other kind. `sparse` is None for a plain file, else its data in
    ascending order, never overlapping, never empty segments. `offset` is where the file's data
    begins in the archive; a sparse file's segments lie there one after another. `major` and
    `minor` are those of a device. `xattrs` are by full name, such as `security.capability`.
    """

    name: bytes
    kind: Kind = FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    sparse: list[Segment] | None = None
    offset: int = 0
