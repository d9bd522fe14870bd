"""A snapshotter of each driver in a directory of its own, and hands to look at what it mounts."""

import contextlib
import gc
import io
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import browsed
import leaks
import pytest
import trees

from wherry.linux.mounts import RootMount
from wherry.snapshots.directory import DirectorySnapshotter
from wherry.snapshots.erofs import ErofsSnapshotter
from wherry.snapshots.native import NativeSnapshotter
from wherry.snapshots.overlay import OverlaySnapshotter
from wherry.spec.digest import Digest

DRIVERS: dict[str, Callable[..., DirectorySnapshotter]] = {
    "erofs": ErofsSnapshotter,
    "erofs-loop": partial(ErofsSnapshotter, by_loop=True),
    "native": NativeSnapshotter,
    "overlay": OverlaySnapshotter,
}


class Store:
    """A snapshotter under test, with the archives that were given to it."""

    def __init__(self, driver: str, root: Path) -> None:
        self.tars: dict[Digest, bytes] = {}
        self.root = root
        self.snapshotter: DirectorySnapshotter = DRIVERS[driver](root, self._open_blob)
        self.snapshotter.recover()

    def _open_blob(self, diff_id: Digest) -> io.BytesIO:
        return io.BytesIO(self.tars[diff_id])

    def apply(self, *layers: tuple[Digest, bytes]) -> list[Digest]:
        for diff_id, tar in layers:
            self.tars[diff_id] = tar
            self.snapshotter.apply(diff_id, io.BytesIO(tar))
        return [diff_id for diff_id, _ in layers]

    @contextlib.contextmanager
    def mounted(self, mount: RootMount) -> Iterator[int]:
        """The root directory of a detached mount: nothing of it is in any mount table."""
        detached = mount.open()
        root = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=detached)
        os.close(detached)
        try:
            yield root
        finally:
            os.close(root)

    def picture(self, key: str, stack: Sequence[Digest]) -> dict[bytes, trees.Picture]:
        """What a new snapshot of the stack shows; it is removed again.

        Whoever asks for one also asks whether the same is seen without a mount.
        """
        with self.mounted(self.snapshotter.prepare(key, stack)) as root:
            shown = trees.picture(root)
        with self.snapshotter.browse_active(key) as active:
            assert _sorted_names(browsed.picture(active)) == _sorted_names(shown)
        self.snapshotter.remove(key)
        if stack:  # else the time of the root is that of the driver's directory
            with self.snapshotter.browse(stack) as tree:
                assert _sorted_names(browsed.picture(tree)) == _sorted_names(shown)
            if view := self.snapshotter.view(stack):
                with self.mounted(view) as root:
                    assert _sorted_names(trees.picture(root)) == _sorted_names(shown)
        return shown

    def leftovers(self) -> list[str]:
        """What is being made or deleted, once the deleting thread has ended."""
        assert self.snapshotter.wait_until_clean(timeout=30)
        return [*os.listdir(self.root / "ingest"), *os.listdir(self.root / "trash")]


def _sorted_names(shown: dict[bytes, trees.Picture]) -> dict[bytes, trees.Picture]:
    return {path: seen._replace(names=tuple(sorted(seen.names))) for path, seen in shown.items()}


@pytest.fixture(params=sorted(DRIVERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    gc.collect(1)  # a test's own exceptions hold what their functions had open
    descriptors = leaks.descriptors()
    store = Store(request.param, tmp_path / "driver")
    yield store
    assert store.leftovers() == []
    gc.collect(1)
    assert leaks.descriptors() == descriptors
    assert not leaks.mounts(str(tmp_path))


@pytest.fixture(scope="module", params=sorted(DRIVERS))
def shared_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """One for many tests, where only mounted trees matter and applying a layer would dominate."""
    store = Store(request.param, tmp_path_factory.mktemp("shared") / "driver")
    yield store
    assert store.leftovers() == []


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[[str], Store]:
    """A store by driver; each call makes another."""
    count = iter(range(1000))
    return lambda driver: Store(driver, tmp_path / f"{driver}-{next(count)}")
