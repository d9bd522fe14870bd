"""`/.dockerenv`: by this file, programs have come to know that they are in a container.

It lies in a directory of ours that is mounted upon the image's layers, so that it is no change of
the container's. Build steps have none, as with BuildKit; nor have containers on a storage driver
that copies.
"""

from pathlib import Path
from typing import Final

from wherry import errdefs
from wherry.linux.mounts import RootMount, shown_upon

_FOLDER: Final = "init"
_FILE: Final = ".dockerenv"


def make(data_root: Path) -> None:
    """Make the directory, or what a power cut has taken of it. Raises EngineError."""
    file = data_root / _FOLDER / _FILE
    try:
        if not file.exists():
            file.parent.mkdir(mode=0o755, exist_ok=True)
            file.touch()
            file.chmod(0o755)  # whatever the umask
    except OSError as error:
        raise errdefs.from_os_error(f"making {file}", error) from error


def marked(data_root: Path, root: RootMount) -> RootMount:
    """A container's root with the file in it."""
    return shown_upon(str(data_root / _FOLDER), root)
