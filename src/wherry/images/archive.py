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
from wherry.content.store import ContentStore
from wherry.images.collector import Lease
from wherry.layers.compression import open_layer
from wherry.layers.tar import FILE, HARDLINK, SYMLINK, Entry, Readable, read_tar
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
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive that is now a blob of the content store."""

    name: str
    digest: Digest
    size: int


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


def read_archive(stream: BinaryIO, content: ContentStore, lease: Lease) -> Archive:
    """Read the whole archive, compressed by any means or not, and store its files as blobs.

    The lease holds the blobs. Raises InvalidArgument for an archive that is truncated, corrupt,
    not a tar, too large in its parts, or that holds a blob under a digest that is not its own.
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
            archive.keep(name, _ingest(name, entry, data, content, lease))
    if not len(archive):
        raise errdefs.invalid("the archive is empty")
    return archive


def _members(stream: BinaryIO) -> Iterator[tuple[str, Entry, Readable]]:
    for entry, data in read_tar(stream):
        yield entry.name.decode("utf-8", "backslashreplace"), entry, data


def _document(name: str, entry: Entry, data: Readable) -> bytes:
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


def _ingest(name: str, entry: Entry, data: Readable, content: ContentStore, lease: Lease) -> Member:
    named = _BLOB.match(name)
    expected = Digest.from_hex(named[1]) if named else None
    if expected and lease.has_blob(expected):
        # It is stored, and was verified when it was.
        return Member(name, expected, content.info(expected).size)
    with content.ingest(f"the archive's {name}") as ingest:
        while chunk := data.read(_CHUNK):
            ingest.write(chunk)
        digest = lease.commit(ingest, expected)
    return Member(name, digest, entry.size)
