"""An image goes in and out of a daemon that has a fraction of its size for memory."""

import contextlib
import hashlib
import io
import json
import os
import tarfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator

import archives
import pytest
from confined import MB, confined_daemon, high_water, noise
from confined import PIECE as FILE
from daemons import Daemon, UnixConnection

SOAK = bool(os.environ.get("WHERRY_SOAK"))
IMAGE, LIMIT = (3072 * MB, 300 * MB) if SOAK else (256 * MB, 80 * MB)

pytestmark = [pytest.mark.root, pytest.mark.timeout(1800 if SOAK else 120)]


def layer(size: int) -> Iterator[bytes]:
    """A layer's tar of about `size` bytes, never whole in memory."""
    for number in range(size // FILE):
        info = tarfile.TarInfo(f"data/{number}")
        info.size = FILE
        yield info.tobuf() + noise(number)
    yield bytes(2 * tarfile.BLOCKSIZE)


def as_it_is(pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield from pieces


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """In the form of gzip, not any smaller: quickly made."""
    gzip = zlib.compressobj(0, wbits=31)
    for piece in pieces:
        yield gzip.compress(piece)
    yield gzip.flush()


def archive(name: str, form: Callable[[Iterable[bytes]], Iterator[bytes]]) -> Iterator[bytes]:
    """A docker-archive whose layer passes by."""
    digest, size = hashlib.sha256(), 0
    for piece in layer(IMAGE):
        digest.update(piece)
    for piece in form(layer(IMAGE)):
        size += len(piece)
    info = tarfile.TarInfo("layer.tar")
    info.size = size
    yield info.tobuf()
    yield from form(layer(IMAGE))
    yield bytes(-size % tarfile.BLOCKSIZE)
    config = json.loads(archives.config([]))
    config["rootfs"]["diff_ids"] = [f"sha256:{digest.hexdigest()}"]
    config["history"] = []
    listing = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    documents = {"config.json": config, "manifest.json": listing}
    yield archives.pack({name: json.dumps(text).encode() for name, text in documents.items()})


def load(daemon: Daemon, pieces: Iterator[bytes]) -> str:
    with contextlib.closing(UnixConnection(daemon.socket, timeout=1800)) as connection:
        connection.request(
            "POST",
            "/images/load?quiet=1",
            pieces,
            {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"},
            encode_chunked=True,
        )
        answer = connection.getresponse()
        said = answer.read().decode()
        assert answer.status == 200, said
        return said


def saved_layer(daemon: Daemon, name: str) -> str:
    """The digest of the largest file in the archive that the daemon makes of the image."""
    with contextlib.closing(UnixConnection(daemon.socket, timeout=1800)) as connection:
        connection.request("GET", f"/images/{name}/get")
        answer = connection.getresponse()
        assert answer.status == 200
        with tarfile.open(fileobj=io.BufferedReader(answer), mode="r|") as tar:
            for member in tar:
                if member.size >= IMAGE:
                    data = tar.extractfile(member)
                    assert data is not None
                    digest = hashlib.sha256()
                    while piece := data.read(MB):
                        digest.update(piece)
                    return digest.hexdigest()
    raise AssertionError("the archive has no such layer")


@pytest.mark.parametrize("form", [as_it_is, gzipped])
def test_a_load_in_little_memory(form: Callable[[Iterable[bytes]], Iterator[bytes]]) -> None:
    with confined_daemon(LIMIT) as (daemon, group):
        idle = high_water(daemon.pid)
        began = time.monotonic()
        assert "Loaded image: large:latest" in load(daemon, archive("large:latest", form))
        loaded = time.monotonic() - began
        (image,) = daemon.get("/images/json").json
        assert image["Size"] >= IMAGE
        whole = hashlib.sha256()
        for piece in layer(IMAGE):
            whole.update(piece)
        assert saved_layer(daemon, "large:latest") == whole.hexdigest()
        most = high_water(daemon.pid)
        print(
            f"\n{IMAGE // MB} MB, {form.__name__}, with {LIMIT // MB} MB: loaded in {loaded:.1f} s;"
            f" the daemon had {most // MB} MB at most, {idle // MB} MB before;"
            f" its group {group.peak() // MB} MB with page cache"
        )
        assert most < LIMIT
        assert daemon.delete("/images/large:latest").status == 200
