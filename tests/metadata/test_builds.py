"""Build records and step images."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.metadata import BuildRecord, Database, ImageRecord, LayerRecord, schema
from wherry.spec import media
from wherry.spec.digest import Digest

KEY, LAYER, IMAGE = (Digest.of(text) for text in (b"key", b"layer", b"image"))
RECORD = BuildRecord(KEY, LAYER, b'{"instruction":"RUN true"}', "RUN true", 1, 2)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path / "wherry.db")
    yield database
    database.close()


def test_a_record_is_found_by_its_key_and_counts_its_uses(database: Database) -> None:
    database.write(lambda tx: tx.put_build_record(RECORD))
    database.write(lambda tx: tx.use_build_records([KEY], 7))

    found = database.read(lambda tx: tx.build_record(KEY))

    assert found == BuildRecord(KEY, LAYER, RECORD.parts, "RUN true", 1, 7, 1)
    assert database.read(lambda tx: tx.build_records()) == [found]
    assert database.read(lambda tx: tx.build_record(LAYER)) is None


def test_a_record_holds_its_layer_and_the_layers_blob(database: Database) -> None:
    blob = Digest.of(b"blob")
    database.write(lambda tx: tx.put_layer(LayerRecord(LAYER, blob, media.OCI_LAYER, 1, 1)))
    assert database.read(lambda tx: (tx.held_layers(), tx.held_blobs())) == (set(), set())

    database.write(lambda tx: tx.put_build_record(RECORD))
    assert database.read(lambda tx: (tx.held_layers(), tx.held_blobs())) == ({LAYER}, {blob})

    database.write(lambda tx: tx.delete_build_records([KEY]))
    assert database.read(lambda tx: (tx.held_layers(), tx.held_blobs())) == (set(), set())


def test_a_step_image_goes_with_its_image(database: Database) -> None:
    image = ImageRecord(IMAGE, b"{}", Digest.of(b"manifest"), 1, (), frozenset())
    database.write(lambda tx: tx.put_image(image))
    database.write(lambda tx: tx.put_step_image(IMAGE))
    assert database.read(lambda tx: tx.step_images()) == {IMAGE}

    database.write(lambda tx: tx.delete_image(IMAGE))

    assert database.read(lambda tx: tx.step_images()) == set()


def test_a_database_of_before_builds_is_brought_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wherry.db"
    with monkeypatch.context() as before:
        before.setattr(schema, "_STEPS", schema._STEPS[:1])
        Database.open(path).close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)

    database = Database.open(path)
    try:
        database.write(lambda tx: tx.put_build_record(RECORD))
        assert database.read(lambda tx: tx.build_record(KEY)) == RECORD
    finally:
        database.close()
