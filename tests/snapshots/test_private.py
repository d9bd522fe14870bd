"""What layers hold is a container's business, and no user's of the host."""

import stat

import pytest

pytestmark = pytest.mark.root


def test_the_directory_of_layers_is_roots_alone(store) -> None:
    """CVE-2021-41103: set-ID programs of an image must not be executed on the host."""
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700
