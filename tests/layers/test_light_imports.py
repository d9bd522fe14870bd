"""A confined extractor imports these before it shuts itself in: they bring nothing heavy along."""

import subprocess
import sys

HEAVY = {
    "asyncio", "backports.zstd", "bz2", "hashlib", "hypothesis", "isal", "json", "logging", "lzma",
    "msgspec", "pathlib", "shutil", "socket", "ssl", "subprocess", "tarfile", "tempfile",
    "threading", "urllib",
}  # fmt: skip
PROGRAM = """
import sys
import wherry.layers.tar, wherry.layers.whiteouts
print(*sys.modules)
"""


def test_what_the_extractor_imports():
    command = [sys.executable, "-I", "-c", PROGRAM]
    loaded = set(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())
    start = [sys.executable, "-I", "-c", "import sys; print(*sys.modules)"]
    before = set(subprocess.run(start, capture_output=True, check=True, text=True).stdout.split())
    assert not (loaded - before) & HEAVY
