"""What every test may rely on: the marks' meaning, and that nothing is left behind."""

import os
from collections.abc import Iterator

import leaks
import pytest
from hypothesis import HealthCheck, settings

# How fast an example comes says how busy the machine is, not whether the code is right.
settings.register_profile("wherry", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("wherry")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    skip = pytest.mark.skip(reason="needs root and the real kernel")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def no_cgroup_is_left() -> Iterator[None]:
    """What this process has named; each worker of a parallel run looks after its own."""
    yield
    assert not leaks.own_cgroups()
