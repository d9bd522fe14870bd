"""Archives in and out of a whole daemon: imported, saved, loaded, and left in the middle."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import archives
import layertars
import pytest
from daemons import Answer, Daemon, poll
from programs import Program

pytestmark = pytest.mark.root

MB = 1 << 20


def imported(daemon: Daemon, tar: bytes, **query: str) -> Answer:
    path = f"/images/create?{urlencode({'fromSrc': '-', **query})}"
    return daemon.request("POST", path, tar, {"Content-Type": "application/x-tar"})


def blobs(daemon: Daemon) -> set[str]:
    return set(os.listdir(daemon.data / "content" / "blobs" / "sha256"))


def layers(daemon: Daemon) -> set[str]:
    return {path.name for path in (daemon.data / "snapshots").glob("*/layers/*")}


@contextlib.contextmanager
def reading_a_save_of(daemon: Daemon, name: str) -> Iterator[socket.socket]:
    """A client that has read a part of an archive, and reads no more."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(daemon.socket))
        client.sendall(f"GET /images/{name}/get HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = client.recv(4096)
        assert head.startswith(b"HTTP/1.1 200 "), head
        yield client


def test_a_file_system_goes_in_runs_and_comes_out_again(
    daemon: Daemon, program: Program, tmp_path: Path
) -> None:
    root, saved = tmp_path / "root.tar", tmp_path / "saved.tar"
    root.write_bytes(archives.busybox_layer())
    changes = ["-c", 'ENTRYPOINT ["echo"]', "-c", "ENV PATH=/bin", "-c", "CMD it works"]
    try:
        made = program.ok("import", *changes, "-m", "by hand", str(root), "made:1")
        assert program.ok("run", "--rm", "--network", "none", "made:1", "it", "runs") == "it runs"
        history = json.loads(daemon.get("/images/made:1/history").body)
        assert [(step["Id"], step["Comment"]) for step in history] == [(made, "by hand")]

        program.ok("save", "-o", str(saved), "made:1")
        program.ok("rmi", "made:1")
        assert program.ok("load", "-i", str(saved)) == "Loaded image: made:1"
        assert daemon.get("/images/made:1/json").json["Id"] == made
        assert program.ok("run", "--rm", "--network", "none", "made:1", "again") == "again"
    finally:
        daemon.delete("/images/made:1?force=1")


def test_a_saved_image_is_the_same_bytes_each_time(daemon: Daemon) -> None:
    first, second = (daemon.get("/images/get?names=box&names=box:latest") for _ in range(2))
    assert first.status == 200
    assert first.body == second.body
    assert daemon.get("/images/get?names=box&names=nothing").status == 404


@pytest.mark.parametrize(
    ("tar", "query", "words"),
    [
        (b"", {}, "empty"),
        (b"this is no tar" * 99, {}, "not a tar"),
        (layertars.archive(layertars.file("a", b"b" * 5000))[:2000], {}, "ends inside"),
        (b"", {"changes": "ADD a b"}, "add is not a valid change command"),
        (b"", {"changes": "ENV A"}, "ENV must have two arguments"),
        (b"", {"repo": "UPPER"}, "lowercase"),
        (b"", {"repo": "a@sha256:" + "0" * 64}, "cannot import digest reference"),
        (b"", {"platform": "windows"}, "operating system is not supported"),
    ],
)
def test_a_bad_import_is_refused_and_leaves_nothing(
    daemon: Daemon, tar: bytes, query: dict[str, str], words: str
) -> None:
    answer = imported(daemon, tar, **query)
    assert answer.status == 400
    assert words in answer.message


def test_an_upload_that_breaks_off_leaves_nothing(daemon: Daemon) -> None:
    tar = layertars.archive(layertars.file("a", os.urandom(MB)))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(daemon.socket))
        head = f"POST /images/create?fromSrc=- HTTP/1.1\r\nHost: x\r\nContent-Length: {len(tar)}"
        client.sendall(head.encode() + b"\r\n\r\n" + tar[: MB // 2])
        poll(
            lambda: [
                *daemon.data.glob("content/ingest/*"),
                *daemon.data.glob("snapshots/*/ingest/*"),
            ],
            "it has begun",
        )
    # The daemon fixture looks at what is left.


def test_a_client_that_leaves_a_save_lets_go_of_the_image(daemon: Daemon) -> None:
    before = blobs(daemon), layers(daemon)
    tar = layertars.archive(layertars.file("large", os.urandom(8 * MB)))
    assert imported(daemon, tar, repo="large").status == 200
    with reading_a_save_of(daemon, "large"):
        assert daemon.delete("/images/large?force=1").status == 200
        assert daemon.get("/images/large/json").status == 404
        assert (blobs(daemon), layers(daemon)) != before
    poll(lambda: (blobs(daemon), layers(daemon)) == before, "nothing holds the image any more")


def test_an_archive_is_not_held_for_a_client_that_does_not_read(daemon: Daemon) -> None:
    def resident() -> int:
        return int(Path(f"/proc/{daemon.pid}/statm").read_text().split()[1]) * 4096

    tar = layertars.archive(layertars.file("large", bytes(64 * MB)))
    assert imported(daemon, tar, repo="large").status == 200
    try:
        with reading_a_save_of(daemon, "large") as client:
            client.recv(MB)
            begun = resident()
            with reading_a_save_of(daemon, "large"), reading_a_save_of(daemon, "large"):
                assert daemon.get("/_ping").status == 200
                assert resident() - begun < 16 * MB
    finally:
        daemon.delete("/images/large")
