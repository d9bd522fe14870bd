"""The driver `native`: an active snapshot is a plain copy of its stack, for where overlayfs cannot
be had. Slow to prepare and dear in space; it needs nothing of the kernel but files."""

import contextlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Final

from wherry import errdefs
from wherry.layers.attributes import is_content
from wherry.layers.files import FileTree
from wherry.linux.mounts import BindRoot, RootMount
from wherry.linux.sync import syncfs
from wherry.snapshots.browsing.layer import Descriptor, LayerFile
from wherry.snapshots.browsing.merged import MergedTree
from wherry.snapshots.browsing.unpacked import ListedSigns, open_root
from wherry.snapshots.changes import layer_of_changes, open_changes, read_xattrs
from wherry.snapshots.copying import copy_members
from wherry.snapshots.directory import Changes, topmost_once
from wherry.snapshots.extractor.feed import WhiteoutForm
from wherry.snapshots.extractor.report import Report, path_of
from wherry.snapshots.protocol import Usage
from wherry.snapshots.stack import Layer, Member, members
from wherry.snapshots.trash import put_aside
from wherry.snapshots.tree import Item, walk
from wherry.snapshots.unpacking import UnpackingSnapshotter
from wherry.spec.digest import Digest

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CHUNK: Final = 1 << 18
_COMPARE_ALL: Final = "compare-all"


@dataclass(frozen=True)
class _Changes:
    """`changed` names new and changed files and all directories above a change."""

    changed: frozenset[bytes]
    removed: frozenset[bytes]
    usage: Usage


class NativeSnapshotter(UnpackingSnapshotter):
    """Layers in plain files; what a layer hides stands beside its tree.

    layers/<hex>/fs
    layers/<hex>/hides.json      {"whiteouts": [paths], "opaque": [directories]}
    active/<key>/fs              the container's root
    active/<key>/compare-all     is there if what was copied can't be told from changes by its time
    """

    name: ClassVar[str] = "native"
    whiteout_form: ClassVar[WhiteoutForm] = "report"

    def _finish_layer(self, ingest: Path, report: Report) -> None:
        hides = {"whiteouts": report["whiteouts"], "opaque": report["opaque"]}
        (ingest / "hides.json").write_text(json.dumps(hides))

    def prepare(self, key: str, stack: Sequence[Digest]) -> RootMount:
        """At once on the disk: a copy is more than anybody would make anew."""
        root = super().prepare(key, stack)
        self.secure(key)
        return root

    def _is_filled(self, key: str) -> bool:
        return self._top(key).is_dir()

    def _may_hold_data(self, key: str) -> bool:
        return self._top(key).exists()

    def _fill(self, ingest: Path, layers: Sequence[Digest]) -> None:
        tree = ingest / "fs"
        tree.mkdir()
        target = os.open(tree, _DIRECTORY)
        try:
            with self._opened(layers) as stack:
                copy_members(members(stack), target)
            syncfs(target)
        finally:
            os.close(target)

    def _fill_with(self, ingest: Path, layers: Sequence[Digest], changes: Changes) -> None:
        tree, scratch = ingest / "fs", ingest / "changes"
        tree.mkdir()
        scratch.mkdir()
        report = self._extract(changes, scratch, "report")
        with contextlib.ExitStack() as open_trees:
            target = os.open(tree, _DIRECTORY)
            open_trees.callback(os.close, target)
            top = os.open(scratch, _DIRECTORY)
            open_trees.callback(os.close, top)
            stack = open_trees.enter_context(self._opened(layers))
            hides = _paths(report["whiteouts"]), _paths(report["opaque"])
            copy_members(members([Layer(top, *hides), *stack]), target)
        # Xattrs of the root were copied, and `give` sets them all.
        for name in filter(is_content, os.listxattr(tree)):
            os.removexattr(tree, name)
        changes.root.give(tree)
        put_aside(self._trash, scratch, "what was unpacked")
        self._distrust_times(ingest)

    def _distrust_times(self, home: Path) -> None:
        (home / _COMPARE_ALL).touch()

    def _top(self, key: str) -> Path:
        return self._active / key / "fs"

    def _mount_of(self, key: str, layers: Sequence[Digest]) -> BindRoot:
        return BindRoot(str(self._active / key / "fs"))

    def _root_of(self, diff_id: Digest, number: int) -> LayerFile:
        home = self._layer(diff_id)
        tree = Descriptor(os.open(home / "fs", _DIRECTORY))
        return open_root(tree, ListedSigns(*_hidden_by(home)), number)

    def browse_active(self, key: str) -> FileTree:
        self._stack(key)
        try:
            tree = Descriptor(os.open(self._top(key), _DIRECTORY))
        except OSError as error:
            raise errdefs.from_os_error(f"reading the snapshot {key}", error) from error
        return MergedTree([open_root(tree, ListedSigns(), 0)])

    def diff(self, key: str) -> BinaryIO:
        root, changes = self._changes(key)
        return open_changes(root, layer_of_changes(root, changes.changed, changes.removed))

    def key_usage(self, key: str) -> Usage:
        root, changes = self._changes(key)
        os.close(root)
        return changes.usage

    def _changes(self, key: str) -> tuple[int, _Changes]:
        """The open root of the snapshot, and how it differs from its stack."""
        layers = topmost_once(self._stack(key))
        home = self._active / key
        try:
            # Written when the copy was whole: what has changed since then has a later ctime, which
            # no container can set.
            by_time = not (home / _COMPARE_ALL).exists()
            copied_ns = (home / "stack").stat().st_ctime_ns if by_time else 0
            root = os.open(home / "fs", _DIRECTORY)
            try:
                with self._opened(layers) as stack:
                    base = {member.path: member for member in members(stack)}
                    return root, _compare(root, base, copied_ns)
            except BaseException:
                os.close(root)
                raise
        except OSError as error:
            raise errdefs.from_os_error(f"comparing the snapshot {key}", error) from error

    @contextlib.contextmanager
    def _opened(self, layers: Sequence[Digest]) -> Iterator[list[Layer]]:
        """The layers' trees, top first."""
        with contextlib.ExitStack() as open_trees:
            stack = []
            for diff_id in reversed(layers):
                home = self._layer(diff_id)
                tree = os.open(home / "fs", _DIRECTORY)
                open_trees.callback(os.close, tree)
                stack.append(Layer(tree, *_hidden_by(home)))
            yield stack


def _hidden_by(home: Path) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """What a layer removes of those below, and its directories that are opaque."""
    hides = json.loads((home / "hides.json").read_bytes())
    return _paths(hides["whiteouts"]), _paths(hides["opaque"])


def _paths(names: list[str]) -> frozenset[bytes]:
    return frozenset(map(path_of, names))


def _compare(root: int, base: dict[bytes, Member], copied_ns: int) -> _Changes:
    changed: set[bytes] = set()
    kept_directories: set[bytes] = set()
    seen: set[bytes] = set()
    links: dict[int, list[Item]] = {}
    sizes: dict[int, int] = {}  # of what is new or changed, by inode
    for item in walk(root):
        seen.add(item.path)
        if item.is_directory:
            kept_directories.add(item.path)
        elif item.status.st_nlink > 1:
            links.setdefault(item.status.st_ino, []).append(item)
        member = base.get(item.path)
        if member is None or (
            item.status.st_ctime_ns >= copied_ns and _differs(root, item, member)
        ):
            changed.add(item.path)
            is_file = stat.S_ISREG(item.status.st_mode)
            sizes[item.status.st_ino] = item.status.st_size if is_file else 0
    removed = {
        path for path in base if path not in seen and path.rpartition(b"/")[0] in kept_directories
    }
    usage = Usage(sum(sizes.values()), len(sizes))
    for group in links.values():
        # All names of a changed file, or the layer would have copies of it instead.
        if any(item.path in changed for item in group):
            changed.update(item.path for item in group)
    changed.discard(b"")
    return _Changes(frozenset(changed | _above(changed | removed)), frozenset(removed), usage)


def _above(paths: set[bytes]) -> set[bytes]:
    """The directories on the way to each path, so that the layer has their attributes."""
    above: set[bytes] = set()
    for path in paths:
        while path:
            path = path.rpartition(b"/")[0]
            if path in above:
                break
            above.add(path)
    return above


def _differs(root: int, item: Item, member: Member) -> bool:
    now, before = item.status, member.status
    if (now.st_mode, now.st_uid, now.st_gid, now.st_rdev, now.st_mtime_ns) != (
        before.st_mode,
        before.st_uid,
        before.st_gid,
        before.st_rdev,
        before.st_mtime_ns,
    ):
        return True
    if read_xattrs(item.parent, item.name) != read_xattrs(member.layer.tree, member.path or b"."):
        return True
    if stat.S_ISLNK(now.st_mode):
        target = os.readlink(item.name, dir_fd=item.parent)
        return target != os.readlink(member.path, dir_fd=member.layer.tree)
    if stat.S_ISREG(now.st_mode):
        return now.st_size != before.st_size or not _same_content(item, member)
    return False


def _same_content(item: Item, member: Member) -> bool:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    one = os.open(item.name, flags, dir_fd=item.parent)
    with open(one, "rb", buffering=0) as now:
        other = os.open(member.path, flags, dir_fd=member.layer.tree)
        with open(other, "rb", buffering=0) as before:
            while True:
                piece = now.read(_CHUNK)
                if piece != before.read(_CHUNK):
                    return False
                if not piece:
                    return True
