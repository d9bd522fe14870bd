"""Layers as unpacked trees, whatever an active snapshot on them is.

layers/<hex>/
  fs/                        the layer's tree
  usage.json
  ...                        what else the driver wants to remember
"""

import json
import os
from abc import abstractmethod
from pathlib import Path
from typing import BinaryIO, ClassVar

from wherry import errdefs
from wherry.content.disk import sync_filesystem
from wherry.faults import fault
from wherry.snapshots.comparing import Comparison, rewritten
from wherry.snapshots.directory import DirectorySnapshotter, write_new
from wherry.snapshots.extractor.feed import WhiteoutForm, extract
from wherry.snapshots.extractor.report import Report
from wherry.snapshots.protocol import Seen, Usage
from wherry.spec.digest import Digest


class UnpackingSnapshotter(DirectorySnapshotter):
    """The layers' half of a driver that unpacks."""

    keeps_tar: ClassVar[bool] = False
    whiteout_form: ClassVar[WhiteoutForm]

    def _keep(self, ingest: Path, diff_id: Digest, tar: BinaryIO) -> Usage:
        tree = ingest / "fs"
        tree.mkdir()
        report = extract(
            tar, diff_id, tree, whiteouts=self.whiteout_form, max_entries=self._max_entries
        )
        usage = Usage(report["bytes"], report["inodes"])
        write_new(ingest / "usage.json", _usage_text(usage.bytes, usage.inodes))
        self._finish_layer(ingest, report)
        fault("snapshots.apply.before-sync")
        sync_filesystem(ingest)
        return usage

    @abstractmethod
    def _finish_layer(self, ingest: Path, report: Report) -> None:
        """Write down what the report says, as the driver needs it. May raise OSError."""

    def usage(self, diff_id: Digest) -> Usage:
        try:
            usage = _usage_in(self._layer(diff_id))
        except OSError as error:
            raise errdefs.from_os_error(f"reading layer {diff_id}", error) from error
        if usage is None:
            raise errdefs.data_loss(
                f"layer {diff_id}: its file usage.json is damaged (`wherry system check --repair` "
                "makes it anew)"
            )
        return usage

    def verify(self, diff_id: Digest, seen: Seen) -> None:
        home = self._layer(diff_id)
        try:
            with (
                self.open_tar(diff_id) as tar,
                rewritten(tar, diff_id, self._ingest) as (archive, info),
            ):
                root = os.open(home / "fs", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    form, hides = self.whiteout_form, home / "hides.json"
                    Comparison(archive, root, form, hides, seen).check()
                finally:
                    os.close(root)
            if (home / "usage.json").read_bytes() != _usage_text(info.bytes, info.inodes).encode():
                raise errdefs.data_loss("its file usage.json is damaged")
        except OSError as error:
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                raise errdefs.data_loss(f"layer {diff_id}: it has lost {error.filename}") from error
            raise errdefs.from_os_error(f"reading layer {diff_id}", error) from error
        except errdefs.EngineError as error:
            raise errdefs.EngineError(error.kind, f"layer {diff_id}: {error.message}") from error

    def open_tar(self, diff_id: Digest) -> BinaryIO:
        self._layer(diff_id)
        return self._open_blob(diff_id)


def _usage_text(size: int, inodes: int) -> str:
    return json.dumps([size, inodes])


def _usage_in(home: Path) -> Usage | None:
    try:
        size, inodes = json.loads((home / "usage.json").read_bytes())
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return Usage(size, inodes)
