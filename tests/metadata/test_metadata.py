"""The database: whole transactions, one writer, many readers, and what survives."""

import asyncio
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.errdefs import EngineError, Kind, invalid
from wherry.metadata import (
    ContainerRecord,
    Database,
    ImageRecord,
    LayerRecord,
    LeaseRecord,
    NameRecord,
    Resource,
    Transaction,
)
from wherry.spec.digest import Digest

SOAK = bool(os.environ.get("WHERRY_SOAK"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(tmp_path / "wherry.db") as database:
        yield database


def test_nobody_but_its_owner_reads_it(tmp_path: Path) -> None:
    """Containers' variables are in it; the data root lets every user pass through."""
    with Database.open(tmp_path / "wherry.db") as database:
        database.write(lambda tx: tx.put_container(container("a", b"PASSWORD=secret")))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("wherry.db", "wherry.db-wal", "wherry.db-shm"), 0o600)


def digest(word: str) -> Digest:
    return Digest.of(word.encode())


def image(word: str, layers: tuple[str, ...] = (), blobs: tuple[str, ...] = ()) -> ImageRecord:
    return ImageRecord(
        digest(word), b"{}", digest(f"{word}-manifest"), 1,
        tuple(map(digest, layers)), frozenset(map(digest, blobs)),
    )  # fmt: skip


def container(name: str, document: bytes = b"{}") -> ContainerRecord:
    return ContainerRecord(f"id-{name}", name, document)


# --- containers ----------------------------------------------------------------------------------


def test_a_container_is_kept_found_replaced_and_forgotten(database: Database) -> None:
    database.write(lambda tx: tx.put_container(container("a")))
    database.write(lambda tx: tx.put_container(container("a", b"new")), durable=False)
    assert database.read(lambda tx: tx.containers()) == [container("a", b"new")]
    assert database.read(lambda tx: tx.container("id-a")) == container("a", b"new")
    assert database.read(lambda tx: tx.container_by_name("a")) == container("a", b"new")
    database.write(lambda tx: tx.delete_container("id-a"))
    database.write(lambda tx: tx.delete_container("id-a"))
    assert database.read(lambda tx: tx.container("id-a")) is None


def test_a_name_in_use_is_a_conflict_in_dockers_words(database: Database) -> None:
    database.write(lambda tx: tx.put_container(container("web")))
    with pytest.raises(EngineError) as caught:
        database.write(lambda tx: tx.put_container(ContainerRecord("other", "web", b"")))
    assert caught.value.kind is Kind.CONFLICT
    assert caught.value.message == (
        'Conflict. The container name "/web" is already in use by container "id-web". You have '
        "to remove (or rename) that container to be able to reuse that name."
    )
    assert len(database.read(lambda tx: tx.containers())) == 1


# --- images and marks ----------------------------------------------------------------------------


def test_an_image_holds_its_layers_and_blobs(database: Database) -> None:
    record = image("i", ("l2", "l1", "l2"), ("b1", "b2"))
    database.write(lambda tx: tx.put_image(record))
    assert database.read(lambda tx: tx.images()) == [record]
    assert database.read(lambda tx: tx.held_layers()) == {digest("l1"), digest("l2")}
    assert database.read(lambda tx: tx.held_blobs()) == {digest("b1"), digest("b2")}
    database.write(lambda tx: tx.delete_image(record.id))
    assert database.read(lambda tx: tx.image(record.id)) is None
    assert database.read(lambda tx: tx.held_layers() | tx.held_blobs()) == set()


def test_an_image_that_comes_twice_holds_the_blobs_of_both(database: Database) -> None:
    database.write(lambda tx: tx.put_image(image("i", ("l",), ("b1",))))
    database.write(lambda tx: tx.put_image(image("i", ("l",), ("b2",))))
    assert database.read(lambda tx: tx.images()) == [image("i", ("l",), ("b1", "b2"))]


def test_a_held_layer_holds_its_blob(database: Database) -> None:
    record = LayerRecord(digest("l"), digest("blob"), "tar", 3, 4)
    database.write(lambda tx: tx.put_layer(record))
    assert database.read(lambda tx: (tx.layer(digest("l")), tx.layers())) == (record, [record])
    assert database.read(lambda tx: tx.held_blobs()) == set()
    database.write(lambda tx: tx.put_image(image("i", ("l",))))
    assert database.read(lambda tx: tx.held_blobs()) == {digest("blob")}
    database.write(lambda tx: tx.delete_layers([digest("l")]))
    assert database.read(lambda tx: tx.layer(digest("l"))) is None


def test_a_name_moves_from_image_to_image(database: Database) -> None:
    def put(word: str) -> Digest | None:
        return database.write(lambda tx: tx.put_name(NameRecord("n", digest(word), b"{}")))

    database.write(lambda tx: (tx.put_image(image("a")), tx.put_image(image("b"))))
    assert put("a") is None
    assert put("a") is None
    assert put("b") == digest("a")
    assert database.read(lambda tx: tx.names(digest("a"))) == []
    assert database.read(lambda tx: tx.names()) == [NameRecord("n", digest("b"), b"{}")]
    with pytest.raises(EngineError) as caught:
        put("nothing")
    assert caught.value.kind is Kind.NOT_FOUND
    database.write(lambda tx: tx.delete_name("n"))
    assert database.read(lambda tx: tx.name("n")) is None


def test_an_images_names_go_with_it(database: Database) -> None:
    database.write(lambda tx: (tx.put_image(image("a")),
                               tx.put_name(NameRecord("n", digest("a"), b""))))  # fmt: skip
    database.write(lambda tx: tx.delete_image(digest("a")))
    assert database.read(lambda tx: tx.names()) == []


def test_ids_are_found_by_their_beginning(database: Database) -> None:
    words = [str(number) for number in range(40)]
    database.write(lambda tx: [tx.put_image(image(word)) for word in words])
    ids = sorted(map(digest, words))
    assert database.read(lambda tx: tx.image_ids()) == ids
    for length in (1, 2, 5, 64):
        prefix = ids[7].hex[:length]
        expected = [one for one in ids if one.hex.startswith(prefix)]
        assert database.read(lambda tx, prefix=prefix: tx.image_ids(prefix)) == expected
    assert database.read(lambda tx: tx.image_ids("", 2)) == ids[:2]


def test_leases_hold_and_end(database: Database) -> None:
    blob, layer = Resource("blob", digest("b")), Resource("layer", digest("l"))
    database.write(lambda tx: tx.put_lease(LeaseRecord("x", "load", None, frozenset({blob}))))
    database.write(lambda tx: tx.hold("x", [layer]))
    database.write(lambda tx: tx.put_lease(LeaseRecord("y", "build", 50)))
    assert database.read(lambda tx: tx.leases()) == [
        LeaseRecord("x", "load", None, frozenset({blob, layer})),
        LeaseRecord("y", "build", 50),
    ]
    assert database.read(lambda tx: (tx.held_blobs(), tx.held_layers())) == (
        {digest("b")}, {digest("l")},
    )  # fmt: skip
    database.write(lambda tx: tx.delete_lease("x"))
    assert [lease.id for lease in database.read(lambda tx: tx.leases())] == ["y"]
    database.write(lambda tx: tx.end_leases())
    assert database.read(lambda tx: (tx.leases(), tx.held_blobs())) == ([], set())


# --- transactions --------------------------------------------------------------------------------


def test_what_a_function_raises_undoes_all_of_it(database: Database) -> None:
    def half(tx: Transaction) -> None:
        tx.put_container(container("a"))
        tx.put_image(image("i", ("l",)))
        raise invalid("no")

    with pytest.raises(EngineError, match="no"):
        database.write(half)
    assert database.read(lambda tx: (tx.containers(), tx.images())) == ([], [])
    database.write(lambda tx: tx.put_container(container("b")))


def test_a_reader_sees_one_moment_and_cannot_write(database: Database) -> None:
    def look(tx: Transaction) -> tuple[int, int]:
        before = len(tx.containers())
        database.write(lambda tx: tx.put_container(container("late")))
        return before, len(tx.containers())

    assert database.read(look) == (0, 0)
    assert len(database.read(lambda tx: tx.containers())) == 1
    with pytest.raises(EngineError):
        database.read(lambda tx: tx.delete_container("id-late"))
    assert len(database.read(lambda tx: tx.containers())) == 1


def test_a_write_inside_a_write_is_refused_instead_of_hanging(database: Database) -> None:
    with pytest.raises(RuntimeError, match="inside a write"):
        database.write(lambda tx: database.write(lambda inner: None))


def test_many_threads_read_and_write(database: Database) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                name = f"{number}-{turn}"
                database.write(
                    lambda tx, name=name: tx.put_container(container(name)), durable=False
                )
                assert database.read(lambda tx, name=name: tx.container(f"id-{name}"))
        except BaseException as error:  # noqa: BLE001 - judged below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(database.read(lambda tx: tx.containers())) == 120


async def test_the_loop_goes_on_while_a_write_waits(database: Database) -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> str:
        entered.set()
        assert release.wait(30)
        return "written"

    writing = asyncio.create_task(database.write_async(slow))
    await asyncio.to_thread(entered.wait, 30)
    assert await database.read_async(lambda tx: tx.containers()) == []
    assert not writing.done()
    release.set()
    assert await writing == "written"


async def test_a_failed_write_raises_where_it_is_awaited(database: Database) -> None:
    await database.write_async(lambda tx: tx.put_container(container("a")))
    with pytest.raises(EngineError, match="already in use"):
        await database.write_async(lambda tx: tx.put_container(ContainerRecord("b", "a", b"")))


def test_a_closed_database_says_so(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "wherry.db")
    database.write(lambda tx: tx.put_container(container("a")))
    database.close()
    database.close()
    for use in (database.read, database.write):
        with pytest.raises(EngineError, match="closed") as caught:
            use(lambda tx: None)
        assert caught.value.kind is Kind.UNAVAILABLE
    with Database.open(tmp_path / "wherry.db", create=False) as again:
        assert again.read(lambda tx: tx.containers()) == [container("a")]


def test_a_container_is_written_within_a_millisecond(database: Database) -> None:
    times = []
    for turn in range(50):
        record = container("a", b"x" * 4000 + str(turn).encode())
        started = time.perf_counter()
        database.write(lambda tx, record=record: tx.put_container(record), durable=False)
        times.append(time.perf_counter() - started)
    assert sorted(times)[len(times) // 4] < 0.001


# --- opening -------------------------------------------------------------------------------------


def test_the_data_root_keeps_its_id(tmp_path: Path) -> None:
    ids = set()
    for _ in range(2):
        with Database.open(tmp_path / "wherry.db") as database:
            ids.add(database.read(lambda tx: tx.data_root_id))
            database.write(lambda tx: tx.set_meta("driver", "overlay"))
            assert database.read(lambda tx: (tx.meta("driver"), tx.meta("x"))) == ("overlay", None)
    assert len(ids) == 1
    with Database.open(tmp_path / "other.db") as other:
        assert other.read(lambda tx: tx.data_root_id) not in ids


def refused(path: Path, kind: Kind) -> str:
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(EngineError) as caught:
        Database.open(path, create=False)
    assert caught.value.kind is kind
    assert "wherry system check --repair" in caught.value.message
    assert (path.read_bytes() if path.exists() else None) == before
    return caught.value.message


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wherry.db"
    Database.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1000")
    connection.close()
    assert "version 1000" in refused(path, Kind.CONFLICT)


def test_a_missing_foreign_or_damaged_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wherry.db"
    assert "missing" in refused(path, Kind.DATA_LOSS)
    path.write_bytes(b"not a database" * 1000)
    assert "damaged" in refused(path, Kind.DATA_LOSS)
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    assert "not a database of Wherry's" in refused(path, Kind.DATA_LOSS)


def test_a_database_with_a_torn_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wherry.db"
    with Database.open(path) as database:
        database.write(lambda tx: [tx.put_image(image(str(n), ("l",))) for n in range(300)])
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // 4096):
        data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(data)
    assert "damaged" in refused(path, Kind.DATA_LOSS)


# --- crashes -------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from wherry.metadata import ContainerRecord, Database

database = Database.open(Path(sys.argv[1]))
for turn in range(int(sys.argv[2]), 1_000_000):
    def both(tx):
        for side in ("left", "right"):
            tx.put_container(ContainerRecord(side, side, str(turn).encode()))
    database.write(both, durable=turn % 2 == 0)
    print(turn, flush=True)
"""


def run_child(path: Path, start: int, fault: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(start)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "WHERRY_FAULT": fault},
    )


def sides(path: Path) -> set[int]:
    with Database.open(path) as database:
        return {int(one.document) for one in database.read(lambda tx: tx.containers())}


def test_a_killed_writer_leaves_whole_transactions(tmp_path: Path) -> None:
    path = tmp_path / "wherry.db"
    start = 0
    for _ in range(20 if SOAK else 3):
        with run_child(path, start) as child:
            assert child.stdout is not None
            said = [int(line) for line in itertools.islice(child.stdout, 25)]
            child.send_signal(signal.SIGKILL)
            said += [int(line) for line in child.stdout if line.strip()]
        (found,) = sides(path)
        assert found in (said[-1], said[-1] + 1)
        start = found + 1


@pytest.mark.parametrize(
    ("point", "committed"),
    [("metadata.write.before-commit", False), ("metadata.write.after-commit", True)],
)
def test_a_commit_is_all_or_nothing_at_each_fault_point(
    tmp_path: Path, point: str, committed: bool
) -> None:
    path = tmp_path / "wherry.db"
    with run_child(path, 0, point) as child:
        assert child.communicate()[0] == ""
        assert child.returncode == -signal.SIGKILL
    assert sides(path) == ({0} if committed else set())
