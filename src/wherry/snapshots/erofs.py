"""The driver `erofs`: a layer is one file, its tar with the metadata around it that lets the kernel
mount it (docs/erofs.md). Nothing is unpacked."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Final

from wherry import errdefs
from wherry.content.disk import sync_directory
from wherry.faults import fault
from wherry.layers.attributes import is_content
from wherry.layers.erofs import (
    TAR_OFFSET,
    Image,
    LayerInfo,
    LayerWriter,
    read_info,
    tar_digest,
    tar_extent,
    verify,
)
from wherry.layers.pipeline import Digesting, ReadAhead
from wherry.layers.tar import Readable
from wherry.linux.mounts import ImagesRoot, OverlayRoot
from wherry.snapshots.browsing.images import ImageLayer
from wherry.snapshots.browsing.layer import Descriptor, LayerFile
from wherry.snapshots.directory import OpenBlob
from wherry.snapshots.overlaid import OverlaidSnapshotter
from wherry.snapshots.protocol import Received, Seen, Usage
from wherry.snapshots.roots import RootAttributes
from wherry.spec.digest import Digest

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_FILE: Final = "layer.erofs"
_CHUNK: Final = 1 << 20
_READ_AFTER_REFUSAL: Final = 1 << 28


class ErofsSnapshotter(OverlaidSnapshotter):
    """Layers as images of EROFS.

        layers/<hex>/layer.erofs

    `by_loop`: they are mounted by loop devices. `released` is called with a layer's file before
    that is deleted: whoever holds a mount of it lets go.
    """

    name: ClassVar[str] = "erofs"
    keeps_tar: ClassVar[bool] = True

    def __init__(
        self,
        root: Path,
        open_blob: OpenBlob,
        reason: str = "",
        max_entries: int | None = None,
        *,
        by_loop: bool = False,
        released: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(root, open_blob, reason, max_entries)
        self._by_loop = by_loop
        self._released = released

    def status(self) -> list[tuple[str, str]]:
        how = "loop devices" if self._by_loop else "files"
        return [*super().status(), ("Layers Mounted From", how)]

    # --- layers -----------------------------------------------------------------------------------

    def _keep(self, ingest: Path, diff_id: Digest, tar: BinaryIO) -> Usage:
        info = self._write(ingest, diff_id, tar)
        return Usage(info.bytes, info.inodes)

    @contextlib.contextmanager
    def receive(self, tar: Readable) -> Iterator[Received]:
        with self._making("a layer") as ingest:
            info = self._write(ingest, None, tar)
            yield _Received(info.diff_id, Usage(info.bytes, info.inodes), self, ingest)

    def keep(self, diff_id: Digest, ingest: Path) -> None:
        """Show what was received in `ingest` as the layer `diff_id`."""
        with self._one_at_a_time(diff_id):
            if not self._has(diff_id):
                try:
                    self._show(ingest, diff_id)
                except OSError as error:
                    raise errdefs.from_os_error(f"keeping layer {diff_id}", error) from error

    def _write(self, ingest: Path, expected: Digest | None, tar: Readable) -> LayerInfo:
        fd = os.open(ingest / _FILE, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            writer = LayerWriter(fd, self._max_entries)
            info = writer.finish(_copy_verified(writer, tar, expected))
            fault("snapshots.apply.before-sync")
            os.fsync(fd)
            sync_directory(ingest)  # the name `layer.erofs`, which no other sync promises to keep
        finally:
            os.close(fd)
        return info

    def usage(self, diff_id: Digest) -> Usage:
        info = self._info(diff_id)
        return Usage(info.bytes, info.inodes)

    def open_tar(self, diff_id: Digest) -> BinaryIO:
        with self._opened(diff_id) as fd:
            offset, size = tar_extent(fd)
            return io.BufferedReader(_Extent(os.dup(fd), offset, size), _CHUNK)

    def verify(self, diff_id: Digest, seen: Seen) -> None:
        with self._opened(diff_id) as fd:
            verify(fd, diff_id, seen)

    def intact_tar(self, diff_id: Digest, sizes: Sequence[int]) -> BinaryIO | None:
        try:
            fd = os.open(self._file(diff_id), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            for size in dict.fromkeys((*_recorded_sizes(fd), *sizes)):
                if tar_digest(fd, size) == diff_id:
                    return io.BufferedReader(_Extent(os.dup(fd), TAR_OFFSET, size), _CHUNK)
        except OSError:
            return None  # the disk does not give it
        finally:
            os.close(fd)
        return None

    def _exchange(self, ingest: Path, diff_id: Digest) -> None:
        # The tar may be nowhere else: there must be no moment at which the layer is not there.
        home = self._layers / diff_id.hex
        home.mkdir(mode=0o700, exist_ok=True)
        (ingest / _FILE).rename(home / _FILE)
        sync_directory(home)

    def remove_layer(self, diff_id: Digest) -> None:
        super().remove_layer(diff_id)
        if self._released:
            self._released(str(self._file(diff_id)))

    # --- active snapshots -------------------------------------------------------------------------

    def _mount_of(self, key: str, layers: Sequence[Digest]) -> OverlayRoot | ImagesRoot:
        home = self._active / key
        upper, work = str(home / "upper"), str(home / "work")
        if not layers:
            return OverlayRoot((str(self._empty),), upper, work)
        images = tuple(f"{diff_id.hex}/{_FILE}" for diff_id in self._shown(layers))
        return ImagesRoot(str(self._layers), images, upper, work, self._by_loop)

    def _is_opaque(self, diff_id: Digest) -> bool:
        return self._info(diff_id).opaque_root

    def _root_attributes(self, diff_id: Digest) -> RootAttributes:
        with self._opened(diff_id) as fd:
            root = Image(fd).root
        # Overlayfs's own stay with the layer: upon `upper`, they would be the container's doing.
        xattrs = {os.fsdecode(name): value for name, value in root.xattrs.items()}
        content = {name: value for name, value in xattrs.items() if is_content(name)}
        return RootAttributes(root.uid, root.gid, root.mode & 0o7777, root.mtime_ns, content)

    def _root_of(self, diff_id: Digest, number: int) -> LayerFile:
        opened = Descriptor(os.open(self._file(diff_id), os.O_RDONLY | os.O_CLOEXEC))
        return ImageLayer(opened, diff_id, number).root

    # --- files ------------------------------------------------------------------------------------

    def _file(self, diff_id: Digest) -> Path:
        return self._layers / diff_id.hex / _FILE

    def _info(self, diff_id: Digest) -> LayerInfo:
        with self._opened(diff_id) as fd:
            return read_info(fd)

    @contextlib.contextmanager
    def _opened(self, diff_id: Digest) -> Iterator[int]:
        self._layer(diff_id)
        try:
            fd = os.open(self._file(diff_id), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise errdefs.from_os_error(f"reading layer {diff_id}", error) from error
        try:
            yield fd
        except errdefs.EngineError as error:
            raise errdefs.EngineError(error.kind, f"layer {diff_id}: {error.message}") from error
        finally:
            os.close(fd)


def _copy_verified(writer: LayerWriter, tar: Readable, expected: Digest | None) -> Digest:
    """The bytes' digest. Raises DataLoss if it is not the expected one, and what is wrong with the
    bytes if it is."""
    refused: errdefs.EngineError | None = None
    with ReadAhead(tar) as ahead, Digesting(ahead) as stream:
        try:
            writer.copy(stream)
        except errdefs.EngineError as error:
            if error.kind is not errdefs.Kind.INVALID_ARGUMENT:
                raise
            if expected is None:
                raise
            refused = error
        # A layer that lies about its digest is mostly refused for nonsense in it before its end.
        # The lie is the better answer, so the rest is read, but not for ever: it may be a bomb.
        limit = stream.count + _READ_AFTER_REFUSAL
        while refused and stream.count < limit and stream.read(_CHUNK):
            pass
        actual, complete = stream.digest, stream.at_end
    if complete and expected not in (None, actual):
        raise errdefs.data_loss(
            f"layer {expected}: its bytes have the digest {actual}; fetch or load the image again"
        )
    if refused:
        raise errdefs.EngineError(refused.kind, f"layer {expected}: {refused.message}")
    return actual


def _recorded_sizes(fd: int) -> list[int]:
    """The tar's size as the record has it, if that is to be believed."""
    try:
        return [tar_extent(fd)[1]]
    except errdefs.EngineError:
        return []


@dataclass(frozen=True)
class _Received:
    diff_id: Digest
    usage: Usage
    driver: ErofsSnapshotter
    ingest: Path

    def keep(self) -> None:
        self.driver.keep(self.diff_id, self.ingest)


class _Extent(io.RawIOBase):
    """A part of a file, read only; the descriptor is closed with it."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd = fd
        self._start, self._size = offset, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        room = memoryview(buffer).cast("B")[: max(0, self._size - self._at)]
        count = os.preadv(self._fd, [room], self._start + self._at)
        self._at += count
        return count

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()
