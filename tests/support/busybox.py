"""A root file system out of Debian's static busybox, for tests that run real containers."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PASSWD = "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000:Bob:/home/bob:/bin/sh\n"
GROUP = "root:x:0:\nbob:x:1000:\nwheel:x:10:bob\naudio:x:29:\n"


def find() -> Path:
    """The program, or a skip with its reason."""
    path = shutil.which("busybox", path="/bin:/usr/bin:/usr/local/bin")
    if path is None:
        pytest.skip("needs busybox (Debian's busybox-static)")
    return Path(path)


def make_root(root: Path) -> Path:
    """Fill `root` with busybox, its links, and the usual directories."""
    program = find()
    binaries = root / "bin"
    binaries.mkdir(parents=True)
    shutil.copy2(program, binaries / "busybox")
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    for applet in listed.stdout.split():
        if applet != "busybox":
            os.symlink("busybox", binaries / applet)
    for name in ("etc", "tmp", "proc", "sys", "dev", "root", "home/bob"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    return root
