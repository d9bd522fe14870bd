"""An image of this host's own programs, as a docker-archive: for a machine without a registry.

    sudo .venv/bin/python examples/host_image.py tools sh ls gzip > tools.tar
    wherry load -i tools.tar                            # or: docker load -i tools.tar
    wherry run --rm tools ls /bin

Programs come with their libraries, scripts with their interpreters, a Python with its standard
library, a busybox with its applets. Needs root, because layers keep their files' owners.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from wherry.content.store import ContentStore
from wherry.errdefs import EngineError
from wherry.images import from_host
from wherry.images.image import Image
from wherry.images.store import ImageStore
from wherry.images.unpacking import opener
from wherry.layers.tar import FILE, Entry, TarWriter
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
            image = from_host.build(store, programs, name)
            _write(image, content, out)


def _write(image: Image, content: ContentStore, out: BinaryIO) -> None:
    """The docker-archive of one image: its config, its layers, and the list of both."""
    archive = TarWriter(out)

    def add(member: str, data: BinaryIO, size: int) -> None:
        archive.add(Entry(member.encode(), FILE, mode=0o644, size=size), data)

    members = {image.id: f"{image.id.hex}.json"}
    members |= {diff_id: f"{diff_id.hex}/layer.tar" for diff_id in image.diff_ids}
    for digest, member in members.items():
        with content.open(digest) as blob:
            add(member, blob, content.info(digest).size)
    listing = {
        "Config": members[image.id],
        "RepoTags": [str(name) for name in image.names],
        "Layers": [members[diff_id] for diff_id in image.diff_ids],
    }
    text = json.dumps([listing]).encode()
    archive.add(Entry(b"manifest.json", FILE, mode=0o644, size=len(text)), text)
    archive.finish()


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
