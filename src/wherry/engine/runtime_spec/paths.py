"""Paths as requests write them: what no file system can have is refused before anything is made."""

import os

from wherry import errdefs

MAX_PATH = 4095
"""Bytes of a path: the kernel's PATH_MAX, less the zero byte that ends it."""

MAX_NAME = 255
"""Bytes of each of its names (NAME_MAX)."""


def check_length(what: str, path: str) -> None:
    """Raises InvalidArgument, beginning with `what` it is, for a path that no file can have."""
    raw = os.fsencode(path)
    if len(raw) > MAX_PATH or max(map(len, raw.split(b"/"))) > MAX_NAME:
        shown = path if len(path) <= 100 else f"{path[:100]}..."
        raise errdefs.invalid(
            f"{what} '{shown}': file name too long: a path has {MAX_PATH} bytes at most, and each "
            f"of its names {MAX_NAME}"
        )
