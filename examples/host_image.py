"""An image of this host's own programs, as a docker-archive: for a machine without a registry.

    .venv/bin/python examples/host_image.py tools sh ls gzip > tools.tar
    wherry load -i tools.tar                            # or: docker load -i tools.tar
    wherry run --rm tools ls /bin

What `wherry image from-host` does, by the functions that it calls.
"""

import sys

from wherry.errdefs import EngineError
from wherry.hostimage import Archive, RunConfig, Wanted, collect, image_name


def main(arguments: list[str]) -> int:
    if len(arguments) < 2:
        print("usage: host_image.py NAME PROGRAM... > archive.tar", file=sys.stderr)
        return 2
    name, *programs = arguments
    try:
        found = collect(Wanted(programs))
        run = RunConfig(found.environment, found.programs[:1])
        archive = Archive(found.tree, run, [image_name(name)], "examples/host_image.py")
        sys.stdout.buffer.writelines(archive.pieces())
    except EngineError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
