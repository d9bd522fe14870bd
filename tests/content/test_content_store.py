"""The content store: what is visible is whole, verified, and on the disk."""

import errno
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import wherry.content
from wherry.content.store import BlobInfo, ContentStore
from wherry.errdefs import EngineError, Kind
from wherry.spec.digest import Digest

CONTENT = os.urandom(100_000)
DIGEST = Digest.of(CONTENT)


@pytest.fixture
def store(tmp_path) -> ContentStore:
    return ContentStore(tmp_path / "content")


def put(store: ContentStore, content: bytes = CONTENT) -> Digest:
    with store.ingest("test blob") as ingest:
        ingest.write(content)
        return ingest.commit()


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def left_in_ingest(root: Path) -> list[Path]:
    return list((root / "content" / "ingest").iterdir())


def test_a_blob_comes_into_being(store, tmp_path):
    with store.ingest("the blob") as ingest:
        assert ingest.write(CONTENT[:10]) == 10
        ingest.write(memoryview(CONTENT)[10:])
        assert not store.contains(DIGEST)
        assert (ingest.size, ingest.digest) == (len(CONTENT), DIGEST)
        assert ingest.commit(expected=DIGEST, size=len(CONTENT)) == DIGEST
    assert store.contains(DIGEST)
    assert store.info(DIGEST) == BlobInfo(DIGEST, len(CONTENT))
    assert store.digests() == [DIGEST]
    with store.open(DIGEST) as blob:
        assert blob.read() == CONTENT
    assert files(tmp_path) == [f"content/blobs/sha256/{DIGEST.hex}"]
    assert left_in_ingest(tmp_path) == []
    store.verify(DIGEST)


def test_an_empty_blob(store):
    assert put(store, b"") == Digest.of(b"")
    assert store.info(Digest.of(b"")).size == 0


def test_for_root_alone(store, tmp_path):
    put(store)
    ingest = store.ingest("another")
    for path in (tmp_path / "content").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    ingest.abort()


@pytest.mark.parametrize(
    ("promise", "said"),
    [
        ({"expected": Digest.of(b"else")}, "digest"),
        ({"size": 99_999}, "100000 bytes long, but 99999"),
        ({"expected": DIGEST, "size": 1}, "100000 bytes long"),
    ],
)
def test_a_broken_promise_leaves_nothing(store, tmp_path, promise, said):
    ingest = store.ingest("layer of example")
    ingest.write(CONTENT)
    with pytest.raises(EngineError, match=f"layer of example .*{said}") as caught:
        ingest.commit(**promise)
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    assert store.digests() == []
    assert left_in_ingest(tmp_path) == []
    with pytest.raises(EngineError, match="has ended"):
        ingest.write(b"more")
    with pytest.raises(EngineError, match="has ended"):
        ingest.commit()


def test_leaving_without_a_commit_aborts(store, tmp_path):
    with store.ingest("x") as ingest:
        ingest.write(CONTENT)
    ingest.abort()
    assert left_in_ingest(tmp_path) == []
    assert store.digests() == []


def test_a_blob_that_is_there_is_kept(store):
    put(store)
    with store.open(DIGEST) as before:
        put(store)
        with store.open(DIGEST) as after:
            assert os.fstat(before.fileno()).st_ino == os.fstat(after.fileno()).st_ino


def test_a_blob_that_lost_its_end_is_replaced(store, tmp_path):
    put(store)
    os.truncate(tmp_path / "content/blobs/sha256" / DIGEST.hex, 10)
    put(store)
    store.verify(DIGEST)


def test_what_is_not_there(store):
    for ask in (store.open, store.info, store.verify):
        with pytest.raises(EngineError, match=str(DIGEST)) as caught:
            ask(DIGEST)
        assert caught.value.kind is Kind.NOT_FOUND
    assert not store.contains(DIGEST)
    store.delete(DIGEST)


def test_deleting(store):
    put(store)
    with store.open(DIGEST) as blob:
        store.delete(DIGEST)
        assert blob.read() == CONTENT
    assert store.digests() == []


def test_damage_is_found(store, tmp_path):
    put(store)
    path = tmp_path / "content/blobs/sha256" / DIGEST.hex
    path.write_bytes(b"X" + CONTENT[1:])
    with pytest.raises(EngineError, match=r"damaged.*load or pull") as caught:
        store.verify(DIGEST)
    assert caught.value.kind is Kind.DATA_LOSS


def test_foreign_files_are_no_blobs(store, tmp_path):
    (tmp_path / "content/blobs/sha256/notes.txt").write_text("mine")
    (tmp_path / "content/blobs/sha256" / ("A" * 64)).write_text("mine")
    assert store.digests() == []


def test_recovery_removes_what_a_crash_left(store, tmp_path):
    put(store)
    store.ingest("begun").write(b"and never ended")
    (tmp_path / "content/ingest/stray").write_bytes(b"")
    again = ContentStore(tmp_path / "content")
    again.recover()
    assert left_in_ingest(tmp_path) == []
    assert again.digests() == [DIGEST]


def test_a_full_disk_is_named(store, monkeypatch, tmp_path):
    ingest = store.ingest("a large layer")

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(EngineError, match=r"a large layer.*no space left") as caught:
            ingest.write(b"x")
    assert caught.value.kind is Kind.RESOURCE_EXHAUSTED
    ingest.abort()
    assert left_in_ingest(tmp_path) == []


def test_the_order_of_a_commit(store, monkeypatch):
    """The bytes reach the disk before the name does, and the name before the commit returns."""
    calls = []
    with store.ingest("x") as ingest:
        ingest.write(CONTENT)
        sync, rename = os.fsync, Path.rename

        def spy_sync(fd: int) -> None:
            calls.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
            sync(fd)

        def spy_rename(self: Path, target: Path) -> Path:
            calls.append("rename")
            return rename(self, target)

        monkeypatch.setattr(os, "fsync", spy_sync)
        monkeypatch.setattr(Path, "rename", spy_rename)
        ingest.commit()
    assert calls == ["file", "rename", "directory"]


def test_many_ingests_of_one_digest(store, tmp_path):
    start = threading.Barrier(8)
    digests = []

    def work() -> None:
        with store.ingest("same") as ingest:
            for at in range(0, len(CONTENT), 10_000):
                ingest.write(CONTENT[at : at + 10_000])
            start.wait()
            digests.append(ingest.commit(expected=DIGEST))
            store.verify(DIGEST)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == [DIGEST] * 8
    assert left_in_ingest(tmp_path) == []


POINTS = sorted(
    point
    for path in Path(wherry.content.__path__[0]).glob("*.py")
    for point in re.findall(r'fault\("([^"]+)"\)', path.read_text())
)

LIFE = """
import sys
from pathlib import Path
from wherry.content.store import ContentStore

store = ContentStore(Path(sys.argv[1]))
store.recover()
with store.ingest("x") as ingest:
    ingest.write(sys.stdin.buffer.read())
    digest = ingest.commit()
store.delete(digest)
"""


def test_the_points_are_found():
    assert len(POINTS) >= 8


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(point, tmp_path):
    died = subprocess.run(
        [sys.executable, "-c", LIFE, tmp_path / "content"],
        input=CONTENT,
        env={**os.environ, "WHERRY_FAULT": point},
    )
    assert died.returncode == -signal.SIGKILL
    store = ContentStore(tmp_path / "content")
    for digest in store.digests():
        store.verify(digest)
    visible = point in (
        "content.commit.after-rename",
        "content.commit.after-sync",
        "content.delete.before-unlink",
    )
    assert store.digests() == ([DIGEST] if visible else [])
    store.recover()
    assert left_in_ingest(tmp_path) == []
    assert put(store) == DIGEST
