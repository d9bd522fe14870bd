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
from wherry.faults import fault
from wherry.linux.sync import syncfs
from wherry.snapshots.directory import DirectorySnapshotter, write_new
from wherry.snapshots.extractor.feed import WhiteoutForm, extract
from wherry.snapshots.extractor.report import Report
from wherry.snapshots.protocol import Usage
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
        write_new(ingest / "usage.json", json.dumps([usage.bytes, usage.inodes]))
        self._finish_layer(ingest, report)
        fault("snapshots.apply.before-sync")
        _sync_filesystem(ingest)
        return usage

    @abstractmethod
    def _finish_layer(self, ingest: Path, report: Report) -> None:
        """Write down what the report says, as the driver needs it. May raise OSError."""

    def usage(self, diff_id: Digest) -> Usage:
        try:
            size, inodes = json.loads((self._layer(diff_id) / "usage.json").read_bytes())
        except OSError as error:
            raise errdefs.from_os_error(f"reading layer {diff_id}", error) from error
        return Usage(size, inodes)

    def open_tar(self, diff_id: Digest) -> BinaryIO:
        self._layer(diff_id)
        return self._open_blob(diff_id)


def _sync_filesystem(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(fd)
    finally:
        os.close(fd)
