"""A yard: a runtime of its own, in a cgroup of its own, that leaves nothing behind."""

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import busybox
import leaks
import pytest
from bundles import Yard

from wherry.shim.runtime import Runtime


@pytest.fixture(scope="session")
def busybox_layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox.make_root(tmp_path_factory.mktemp("layer") / "root")


@contextlib.asynccontextmanager
async def opened(base: Path, layer: Path) -> AsyncIterator[Yard]:
    if os.geteuid() != 0:
        pytest.skip("needs root and the real kernel")
    parent = leaks.cgroup_name("test")
    yard = Yard(base, layer, Runtime(base / "exec", parent), parent)
    try:
        await yard.runtime.open()
        yield yard
    finally:
        for running in yard.running:
            running.task.close()
            running.client.close()
        await yard.runtime.close()
        leaks.clear_cgroups(parent)
    assert not leaks.mounts(str(base))


@pytest.fixture
async def yard(tmp_path: Path, busybox_layer: Path) -> AsyncIterator[Yard]:
    async with opened(tmp_path, busybox_layer) as yard:
        yield yard


@pytest.fixture
async def passable_yard() -> AsyncIterator[Yard]:
    """One that any user may pass through: pytest's own folders are for their owner alone."""
    with tempfile.TemporaryDirectory(prefix="wherry-test-") as folder:
        base = Path(folder)
        base.chmod(0o711)
        async with opened(base, busybox.make_root(base / "layer")) as yard:
            yield yard
