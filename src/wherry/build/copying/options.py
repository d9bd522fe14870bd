"""What COPY and ADD are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from wherry.layers.files import FileTree


class InlineFile(Protocol):
    """A heredoc. A file of mode 0644 is made of it."""

    @property
    def name(self) -> str: ...
    @property
    def content(self) -> str: ...


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """The flags of one COPY or ADD, in numbers where the user wrote names.

    `uid` and `gid` are `--chown`, both or neither. Without it a file of a context is root's, and
    one of a stage or an image keeps its owner (`keep_owner`), as does what an archive holds.
    `chmod` is `--chmod` as written, "" or None without it. `excludes` are patterns as in
    .dockerignore, relative to each source. `files` are the heredocs, which come after all other
    sources. `unpack` says that archives among the sources are to be unpacked, which ADD does unless
    it is told `--unpack=false`. `keyword` is for messages.
    """

    uid: int | None = None
    gid: int | None = None
    keep_owner: bool = False
    chmod: str | None = None
    parents: bool = False
    excludes: tuple[str, ...] = ()
    files: tuple[InlineFile, ...] = ()
    unpack: bool = False
    keyword: str = "COPY"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where sources come from, for messages: `where` completes "not found in ...".

    `is_ignored` says whether .dockerignore leaves a normal path out.
    """

    where: str
    is_ignored: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A source that is no path: a heredoc's text, or what was fetched from a URL.

    `name` is what the file is called in a directory. `digest` is the SHA-256 (32 bytes) of its
    content, and `open` gives the content, `size` bytes of it, each time that it is called.
    `unpack` is as in CopyOptions, for this file.
    """

    name: str
    size: int
    digest: bytes
    open: Callable[[], BinaryIO]
    mode: int = 0o644
    mtime_ns: int = 0
    unpack: bool = False


@dataclass(frozen=True, slots=True)
class GivenTree:
    """A source that is a whole tree, such as a repository that ADD has cloned: its contents are
    copied. It stays the caller's."""

    tree: FileTree
