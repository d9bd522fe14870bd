"""A bench, and nothing left behind on it."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import leaks
import pytest
from steps import Bench, opened

from wherry.engine.settings import Settings


@pytest.fixture
def where(tmp_path: Path) -> Settings:
    if os.geteuid() != 0:
        pytest.skip("needs root and the real kernel")
    parent = leaks.cgroup_name("test")
    return Settings(tmp_path / "data", tmp_path / "exec", cgroup_parent=parent)


@pytest.fixture
async def bench(where: Settings) -> AsyncIterator[Bench]:
    try:
        async with opened(where) as bench:
            yield bench
            assert bench.left() == []
    finally:
        leaks.clear_cgroups(where.cgroup_parent)
