"""A container whose user has bound a /dev of the host's own over the one that we would make."""

import os
from pathlib import Path

import pytest
from bundles import Yard

from wherry.errdefs import EngineError

pytestmark = pytest.mark.root


def with_dev(yard: Yard, source: str, *args: str) -> dict:
    spec = yard.spec(*args, terminal=True)
    spec["mounts"] = [
        one for one in spec["mounts"] if not one["destination"].startswith("/dev")
    ] + [
        {
            "destination": "/dev",
            "type": "bind",
            "source": source,
            "options": ["rbind", "rprivate"],
        }
    ]
    return spec


async def test_a_terminal_in_the_hosts_dev(yard: Yard) -> None:
    """As runc does it: the terminal is one of the host's own."""
    console = os.lstat("/dev/console") if os.path.lexists("/dev/console") else None
    ran = await yard.run(spec=with_dev(yard, "/dev", "sh", "-c", "tty; test -t 2 && echo yes"))
    assert ran.exit.code == 0
    name, said = ran.output.split()
    assert name.startswith("/dev/pts/")
    assert said == "yes"
    if console:
        assert os.lstat("/dev/console").st_ino == console.st_ino


@pytest.mark.parametrize("forged", ["nothing", "directory", "symlink", "device"])
async def test_no_terminal_of_what_is_no_devpts(yard: Yard, tmp_path: Path, forged: str) -> None:
    dev = tmp_path / "dev"
    dev.mkdir()
    pts = dev / "pts"
    if forged == "symlink":
        pts.symlink_to("/proc/1/root/dev/pts")
    elif forged != "nothing":
        pts.mkdir()
    if forged == "device":
        os.mknod(pts / "ptmx", 0o20666, os.makedev(5, 2))
    with pytest.raises(EngineError, match="a terminal needs a devpts file system at /dev/pts"):
        await yard.run(spec=with_dev(yard, str(dev), "true"))
