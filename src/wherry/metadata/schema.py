"""The tables, and the steps from each version of them to the next.

`user_version` counts the steps that a database has taken. A step, once released, never changes;
a new one is appended. An older Wherry refuses a newer database rather than misread it.

    images ──< image_layers >── layers ──> a blob          names ──> images
       └─────< image_blobs (all that content/ must keep for the image)

       └─────  step_images                build_records ──> a layer

    leases ──< lease_resources            containers            meta
"""

from __future__ import annotations

import sqlite3
import uuid
from typing import Final

from wherry import errdefs

APPLICATION_ID: Final = 0x57485259
"""`WHRY`, in the database's header, so that a stranger's file is not taken for ours."""

REBUILD: Final = "`wherry system check --repair` rebuilds it from what is stored"

_STEPS: Final = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

    -- id: the config's digest. target: the descriptor (JSON) of the index or manifest that
    -- brought it. manifest: the digest of its own manifest. added_at: ns since 1970.
    CREATE TABLE images (
        id TEXT PRIMARY KEY,
        target BLOB NOT NULL,
        manifest TEXT NOT NULL,
        added_at INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE image_layers (
        image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        diff_id TEXT NOT NULL,
        PRIMARY KEY (image_id, position)
    ) WITHOUT ROWID;
    CREATE INDEX image_layers_by_layer ON image_layers (diff_id);
    CREATE TABLE image_blobs (
        image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        digest TEXT NOT NULL,
        PRIMARY KEY (image_id, digest)
    ) WITHOUT ROWID;
    CREATE INDEX image_blobs_by_digest ON image_blobs (digest);

    -- name: canonical, with a tag or a digest.
    CREATE TABLE names (
        name TEXT PRIMARY KEY,
        image_id TEXT NOT NULL REFERENCES images(id),
        target BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX names_by_image ON names (image_id);

    -- blob: the digest in content/ of the layer's tar, perhaps compressed; NULL if the
    -- snapshotter keeps the tar itself. size: the blob's bytes. usage: the unpacked files' bytes.
    CREATE TABLE layers (
        diff_id TEXT PRIMARY KEY,
        blob TEXT,
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL,
        usage INTEGER NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE containers (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        document BLOB NOT NULL
    ) WITHOUT ROWID;

    -- expires_at: ns since 1970, NULL for never.
    CREATE TABLE leases (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        expires_at INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE lease_resources (
        lease_id TEXT NOT NULL REFERENCES leases(id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        PRIMARY KEY (lease_id, kind, key)
    ) WITHOUT ROWID;
    """,
    """
    -- key: the digest of parts, which is a JSON object. Times: ns since 1970.
    CREATE TABLE build_records (
        key TEXT PRIMARY KEY,
        diff_id TEXT NOT NULL,
        parts BLOB NOT NULL,
        description TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        used_at INTEGER NOT NULL,
        uses INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX build_records_by_layer ON build_records (diff_id);

    -- Images that a build's steps have made on the way to another.
    CREATE TABLE step_images (
        image_id TEXT PRIMARY KEY REFERENCES images(id) ON DELETE CASCADE
    ) WITHOUT ROWID;

    CREATE VIEW held_layers AS
        SELECT diff_id FROM image_layers UNION SELECT diff_id FROM build_records
        UNION SELECT key FROM lease_resources WHERE kind = 'layer';
    CREATE VIEW held_blobs AS
        SELECT digest FROM image_blobs
        UNION SELECT key FROM lease_resources WHERE kind = 'blob'
        UNION SELECT blob FROM layers WHERE blob IS NOT NULL
            AND diff_id IN (SELECT diff_id FROM held_layers);
    """,
)


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """Bring the database to the newest version, or make it; all or nothing.

    Raises DataLoss for a file that is not ours or is damaged, Conflict for one that a newer Wherry
    wrote. Each message names the way out.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version > len(_STEPS):
        raise errdefs.conflict(
            f"the database {path} has version {version}, and this Wherry knows up to "
            f"{len(_STEPS)}: run the newer Wherry, or {REBUILD}"
        )
    if tables and application != APPLICATION_ID:
        raise errdefs.data_loss(f"{path} is not a database of Wherry's; {REBUILD}")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise damaged(path, verdict)
    # Not before: what is refused stays as it was, to the byte.
    connection.execute("PRAGMA journal_mode = WAL")
    if version < len(_STEPS):
        _migrate(connection, version)


def damaged(path: str, reason: object) -> errdefs.EngineError:
    return errdefs.data_loss(f"the database {path} is damaged ({reason}); {REBUILD}")


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    root_id = uuid.uuid4().hex  # only digits and letters, in a script that takes no parameters
    first = f"INSERT INTO meta VALUES ('data_root_id', '{root_id}');"  # noqa: S608
    script = "\n".join(
        (
            "BEGIN IMMEDIATE;",
            *_STEPS[version:],
            first if version == 0 else "",
            f"PRAGMA application_id = {APPLICATION_ID};",
            f"PRAGMA user_version = {len(_STEPS)};",
            "COMMIT;",
        )
    )
    try:
        connection.executescript(script)
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
