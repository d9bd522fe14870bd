"""A yard: a runtime of its own, in a cgroup of its own, that leaves nothing behind."""

import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import busybox
import leaks
import pytest
from bundles import Yard

from wherry.linux import cgroups
from wherry.shim.runtime import Runtime


@pytest.fixture(scope="session")
def busybox_layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox.make_root(tmp_path_factory.mktemp("layer") / "root")


@pytest.fixture
async def yard(tmp_path: Path, busybox_layer: Path) -> AsyncIterator[Yard]:
    if os.geteuid() != 0:
        pytest.skip("needs root and the real kernel")
    parent = f"/wherry-test-{secrets.token_hex(4)}"
    runtime = Runtime(tmp_path / "exec", parent)
    yard = Yard(tmp_path, busybox_layer, runtime, parent)
    try:
        await runtime.open()
        yield yard
    finally:
        for running in yard.running:
            running.task.close()
            running.client.close()
        await yard.runtime.close()
        cgroups.detect().remove_tree(parent)
    assert not leaks.mounts(str(tmp_path))
    assert not leaks.cgroups(parent)
