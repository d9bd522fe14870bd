"""What an image of host programs holds, and its programs in a root of their own."""

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from wherry.hostimage import Collected
from wherry.layers.tar import Entry, read_tar

Unpack = Callable[[Collected], Path]


@pytest.fixture
def unpack(tmp_path: Path) -> Unpack:
    if os.geteuid() != 0:
        pytest.skip("needs root, for chroot")

    def unpack(found: Collected) -> Path:
        root = tmp_path / "root"
        with tarfile.open(fileobj=io.BytesIO(b"".join(found.tree.layer()))) as tar:
            tar.extractall(root)
        return root

    return unpack


def files_of(found: Collected) -> dict[str, Entry]:
    layer = b"".join(found.tree.layer())
    assert len(layer) == found.tree.layer_size()
    entries = {"/" + entry.name.decode(): entry for entry, _ in read_tar(io.BytesIO(layer))}
    assert list(entries) == sorted(entries)
    return entries


@pytest.fixture(name="files_of")
def files_of_fixture() -> Callable[[Collected], dict[str, Entry]]:
    return files_of


@pytest.fixture
def run_in() -> Callable[..., str]:
    def run(root: Path, *command: str, **environment: str) -> str:
        done = subprocess.run(
            command, preexec_fn=lambda: os.chroot(root), cwd="/", capture_output=True, text=True,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environment}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
