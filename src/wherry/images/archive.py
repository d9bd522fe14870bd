"""An image archive read as a stream: blobs go to the content store as they pass.

The index of an archive may be its last member (docker writes it so), so what a member is for is
not known when it passes. Every file is stored under its digest; what the index then doesn't name
is freed with the load's lease.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.errdefs import EngineError, Kind
from wherry.images.collector import Collector, Lease
from wherry.images.reporting import Progress, Reported, shown_as
from wherry.layers.compression import open_layer
from wherry.layers.tar import FILE, HARDLINK, SYMLINK, Entry, TarReader, read_tar
from wherry.spec.digest import Digest
from wherry.spec.image import MANIFEST_MAX

_BLOB: Final = re.compile(r"blobs/sha256/([0-9a-f]{64})\Z")
_DOCUMENTS: Final = frozenset({"manifest.json", "index.json", "oci-layout"})
_LEGACY: Final = re.compile(r"(?:.*/)?(?:VERSION|json|repositories)\Z")
"""What only Docker before 1.10 read, and every docker-archive still holds."""

_MEMBERS_MAX: Final = 1 << 16
_NAMES_MAX: Final = 1 << 24
"""Bytes of all members' names and links together: what of an archive is held in memory."""

_LINKS_MAX: Final = 8
_BLOCK: Final = 512
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive that is now a blob of the content store, or a layer.

    `is_layer`: a snapshotter that keeps tars has it, under the same digest, and the content store
    has it not.
    """

    name: str
    digest: Digest
    size: int
    is_layer: bool = False


@dataclass(slots=True)
class Archive:
    """What an archive held: its documents as bytes, its other files as blobs."""

    documents: dict[str, bytes] = field(default_factory=dict)
    _members: dict[str, Member] = field(default_factory=dict)
    _links: dict[str, str] = field(default_factory=dict)

    def member(self, name: str, needed_by: str) -> Member:
        """The file of that name, links followed. Raises InvalidArgument if there is none."""
        at = posixpath.normpath(name)
        for _ in range(_LINKS_MAX):
            if at in self._members:
                return self._members[at]
            if at not in self._links:
                break
            at = self._links[at]
        through = f" (by links to {at!r})" if at != name else ""
        raise errdefs.invalid(
            f"the archive has no member {name!r}{through}, which {needed_by} names"
        )

    def blob(self, digest: Digest, needed_by: str) -> Member:
        """The blob of an OCI layout. Raises InvalidArgument if it is not in the archive."""
        return self.member(blob_path(digest), needed_by)

    def layers(self) -> list[Member]:
        """The members that are layers already."""
        return [member for member in self._members.values() if member.is_layer]

    def has_blob(self, digest: Digest) -> bool:
        return blob_path(digest) in self._members

    def __len__(self) -> int:
        return len(self._members) + len(self._links) + len(self.documents)

    def keep(self, name: str, found: Member | bytes | str) -> None:
        """Remember a member; a later one of the same name takes its place, as in any tar.

        A string is the name of the member that this one is a link to.
        """
        for kind in (self.documents, self._members, self._links):
            kind.pop(name, None)
        if isinstance(found, bytes):
            self.documents[name] = found
        elif isinstance(found, str):
            self._links[name] = found
        else:
            self._members[name] = found


def blob_path(digest: Digest) -> str:
    """Where an OCI layout keeps a blob (OCI image-spec, image-layout.md)."""
    return f"blobs/sha256/{digest.hex}"


def read_archive(stream: BinaryIO, collector: Collector, lease: Lease, seen: Progress) -> Archive:
    """Read the whole archive, compressed by any means or not, and store its files as blobs; what
    is a tar becomes a layer at once, if the snapshotter keeps tars.

    The lease holds them. `seen` is told of each such layer, as it passes. Raises InvalidArgument
    for an archive that is truncated, corrupt, not a tar, too large in its parts, or that holds a
    blob under a digest that is not its own.
    """
    archive = Archive()
    names = 0
    for name, entry, data in _members(open_layer(stream)):
        names += len(name) + len(entry.link)
        if len(archive) >= _MEMBERS_MAX or names > _NAMES_MAX:
            raise errdefs.invalid(
                f"the archive has more than {_MEMBERS_MAX} members, or more than {_NAMES_MAX} "
                "bytes of their names"
            )
        if entry.sparse is not None:
            # Layers hold sparse files, archives of layers do not; and a hole of exabytes would be
            # stored as zeros.
            raise errdefs.invalid(f"the archive's {name} is a sparse file, which no archive has")
        if entry.kind in (SYMLINK, HARDLINK):
            archive.keep(name, _link_target(name, entry))
        elif name in _DOCUMENTS:
            archive.keep(name, _document(name, entry, data))
        elif entry.kind == FILE and not _LEGACY.match(name):
            archive.keep(name, _store(name, entry, data, collector, lease, seen))
    if not len(archive):
        raise errdefs.invalid("the archive is empty")
    return archive


def _members(stream: BinaryIO) -> Iterator[tuple[str, Entry, TarReader]]:
    for entry, data in read_tar(stream):
        yield entry.name.decode("utf-8", "backslashreplace"), entry, data


def _document(name: str, entry: Entry, data: TarReader) -> bytes:
    if entry.kind != FILE:
        raise errdefs.invalid(f"the archive's {name} is not a regular file")
    if entry.size > MANIFEST_MAX:
        raise errdefs.invalid(
            f"the archive's {name} has {entry.size} bytes, more than the limit of {MANIFEST_MAX}"
        )
    return data.read(entry.size)


def _link_target(name: str, entry: Entry) -> str:
    """The member that a link means, by its name from the archive's root."""
    link = entry.link.decode("utf-8", "backslashreplace")
    if entry.kind == HARDLINK:
        return link
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
    if target.startswith(("/", "../")) or target == "..":
        raise errdefs.invalid(f"the archive's {name} is a symlink to {link!r}, outside of it")
    return target


def _store(
    name: str, entry: Entry, data: TarReader, collector: Collector, lease: Lease, seen: Progress
) -> Member:
    named = _BLOB.match(name)
    expected = Digest.from_hex(named[1]) if named else None
    known = _known(expected, entry.size, collector, lease) if expected else None
    if known is not None:
        return Member(name, *known)
    head = _Head(data, entry.size)
    if collector.snapshots.keeps_tar and head.is_tar:
        return _receive(name, head, expected, lease, seen)
    with collector.content.ingest(f"the archive's {name}") as ingest:
        while chunk := head.read(_CHUNK):
            ingest.write(chunk)
        digest = lease.commit(ingest, expected)
    return Member(name, digest, entry.size)


def _known(
    expected: Digest, size: int, collector: Collector, lease: Lease
) -> tuple[Digest, int, bool] | None:
    """What is stored under this digest, and was verified when it was."""
    if lease.has_blob(expected):
        return expected, collector.content.info(expected).size, False
    if collector.snapshots.keeps_tar and lease.has_layer(expected):
        return expected, size, True
    return None


def _receive(
    name: str, tar: _Head, expected: Digest | None, lease: Lease, seen: Progress
) -> Member:
    reported = Reported(tar, shown_as(name), tar.size, seen)
    try:
        digest = lease.receive(reported)
    except EngineError as error:
        if error.kind is not Kind.INVALID_ARGUMENT:
            raise
        raise errdefs.invalid(f"the archive's {name}: {error.message}") from error
    if expected not in (None, digest):
        raise errdefs.invalid(
            f"the archive's {name} has the digest {digest}, but {expected} was promised: it is"
            " damaged, or was changed"
        )
    seen(reported.name, tar.size, tar.size)
    return Member(name, digest, tar.size, is_layer=True)


class _Head:
    """A member's data, with a look at how it begins."""

    def __init__(self, data: TarReader, size: int) -> None:
        self.size = size
        self._data = data
        self._head = b""
        while len(self._head) < _BLOCK and (more := data.read(_BLOCK - len(self._head))):
            self._head += more

    @property
    def is_tar(self) -> bool:
        """POSIX's magic, which is GNU's too. A tar without one is applied later on."""
        return self._head[257:262] == b"ustar"

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return self._data.read1(size)
        given, self._head = self._head[:size], self._head[size:]
        return given
