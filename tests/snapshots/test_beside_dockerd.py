"""Generated layers, mounted by our drivers and by dockerd's overlay2: the same trees."""

import contextlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import archives
import pytest
import trees
from dockerd import PATH, running
from layertars import (
    Member,
    device,
    directory,
    fifo,
    file,
    hardlink,
    layer,
    opaque,
    symlink,
    whiteout,
)
from programs import Program

from wherry.linux.mounts import OverlayRoot
from wherry.spec.digest import Digest

pytestmark = [pytest.mark.root, pytest.mark.peer]

STACKS = 100 if os.environ.get("WHERRY_SOAK") == "1" else 12
NAMES = ["a", "b", "c d", "\u00e9", "..x", "-", "n" * 200]


def entries(rng: random.Random) -> Iterator[tuple[str, str]]:
    """(path, kind) of a layer's entries: a directory before what is in it, whatever its name."""
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        for name in rng.sample(NAMES, rng.randint(0, 3)):
            path = f"{parent}/{name}" if parent else name
            kind = rng.choice("ddffslphowxm")
            yield path, kind
            if kind in "do" and len(path) < 600:
                waiting.append(path)


def members(rng: random.Random) -> Iterator[Member]:
    """A layer: directories, files, links, devices, removals and directories that hide."""
    files: dict[str, int] = {}
    for path, kind in entries(rng):
        number = rng.randint(1, 7)
        match kind:
            case "d" | "o":
                yield directory(path, mode=0o700 + number, uid=number, mtime=number)
                if kind == "o":
                    yield opaque(path)
            case "s":
                yield symlink(path, "../" * number + "to", mtime=number)
            case "p":
                yield fifo(path)
            case "x":
                yield device(path, 1, number)
            case "w":
                yield whiteout(path)
            case "m":
                yield whiteout(path)
                yield file(path, b"again", mtime=number)
            case "l" | "h" if files:
                target = rng.choice(list(files))
                yield linked(path, target, files[target])
            case _:
                files[path] = number
                yield file(path, b"%d" % number, mode=0o600 + number, gid=number, mtime=number)


def linked(path: str, target: str, number: int) -> Member:
    """Another name of a file, with the file's attributes: dockerd would else change those."""
    info, data = hardlink(path, target)
    info.mode, info.gid, info.mtime = 0o600 + number, number, number
    return info, data


def images(stacks: list[list[tuple[Digest, bytes]]]) -> bytes:
    """One archive of an image for each stack."""
    files: dict[str, bytes] = {}
    listed = []
    for number, stack in enumerate(stacks):
        config = archives.config([tar for _, tar in stack])
        files[f"config{number}.json"] = config
        layers = []
        for diff_id, tar in stack:
            files[f"{diff_id.hex}/layer.tar"] = tar
            layers.append(f"{diff_id.hex}/layer.tar")
        tags = [f"stack:{number}"]
        listed.append({"Config": f"config{number}.json", "RepoTags": tags, "Layers": layers})
    return archives.pack({**files, "manifest.json": json.dumps(listed).encode()})


@contextlib.contextmanager
def shown_by_dockerd(docker: Program, image: str, scratch: Path) -> Iterator[int]:
    """The root that a container of dockerd's would see, without what dockerd itself puts there."""
    container = docker.ok("create", image, "x")
    found = docker.ok("inspect", "--format", "{{.GraphDriver.Data.LowerDir}}", container)
    _, *lower = found.split(":")  # the first is dockerd's own
    (scratch / "upper").mkdir(parents=True)
    (scratch / "work").mkdir()
    root = OverlayRoot(tuple(lower), str(scratch / "upper"), str(scratch / "work")).open()
    try:
        yield root
    finally:
        os.close(root)


def comparable(shown: dict[bytes, trees.Picture], listed: set[bytes]) -> dict[bytes, trees.Picture]:
    """Without what no layer says: the root's own attributes, and those of implied directories."""
    return {
        path: one if path in listed else one._replace(mtime_ns=0, mode=0o755)
        for path, one in shown.items()
        if path
    }


def test_generated_layers(make_store: Callable, tmp_path: Path) -> None:
    rng = random.Random(20261123)
    described = [[list(members(rng)) for _ in range(rng.randint(1, 3))] for _ in range(STACKS)]
    stacks = [[layer(*each) for each in stack] for stack in described]
    (tmp_path / "images.tar").write_bytes(images(stacks))
    stores = [make_store(driver) for driver in ("erofs", "overlay", "native")]
    if shutil.which("dockerd", path=PATH) is None or shutil.which("docker") is None:
        pytest.skip("dockerd is not installed")
    with running() as peer:
        docker = peer.docker
        docker.ok("load", "-q", "-i", str(tmp_path / "images.tar"))
        for number, stack in enumerate(stacks):
            listed = {
                os.fsencode(info.name.rstrip("/")) for each in described[number] for info, _ in each
            }
            scratch = tmp_path / str(number)
            with shown_by_dockerd(docker, f"stack:{number}", scratch) as root:
                theirs = comparable(trees.picture(root, ghosts=True), listed)
            for store in stores:
                ours = store.picture(f"k{number}", store.apply(*stack))
                assert comparable(ours, listed) == theirs, described[number]
