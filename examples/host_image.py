"""An image of this host's own programs, as a docker-archive: for a machine without a registry.

    sudo .venv/bin/python examples/host_image.py tools sh ls gzip > tools.tar
    wherry load -i tools.tar                            # or: docker load -i tools.tar
    wherry run --rm tools ls /bin

Programs come with their libraries, scripts with their interpreters, a Python with its standard
library, a busybox with its applets. Needs root, because layers keep their files' owners.
"""

import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from wherry.content.store import ContentStore
from wherry.errdefs import EngineError
from wherry.images import from_host
from wherry.images.store import ImageStore
from wherry.images.unpacking import opener
from wherry.metadata import Database
from wherry.snapshots import drivers


def write_archive(name: str, programs: list[str], out: BinaryIO) -> None:
    """Make the image in stores of its own, which last as long as this takes, and write it out."""
    with tempfile.TemporaryDirectory(prefix="host-image-") as folder:
        root = Path(folder)
        content = ContentStore(root / "content")
        with Database.open(root / "wherry.db") as database:
            snapshots = drivers.choose(root, None, opener(content, database))
            store = ImageStore(content, snapshots, database)
            from_host.build(store, programs, name)
            out.writelines(store.save([name]))


def main(arguments: list[str]) -> int:
    if len(arguments) < 2:
        print("usage: host_image.py NAME PROGRAM... > archive.tar", file=sys.stderr)
        return 2
    try:
        write_archive(arguments[0], arguments[1:], sys.stdout.buffer)
    except EngineError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
