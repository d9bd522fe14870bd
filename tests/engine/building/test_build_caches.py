"""Cache mounts' folders: who has which, what they begin with, and what a crash leaves."""

import asyncio
import contextlib
import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from steps import layer

from wherry import errdefs
from wherry.build.protocols import CacheRequest
from wherry.engine.building.caches import CacheStore
from wherry.engine.building.workshop import Workshop
from wherry.errdefs import EngineError
from wherry.snapshots.erofs import ErofsSnapshotter
from wherry.snapshots.native import NativeSnapshotter
from wherry.spec.digest import Digest

# Folders are given to their owners.
pytestmark = pytest.mark.root


def open_store(root: Path) -> CacheStore:
    snapshots = ErofsSnapshotter(root / "snapshots", lambda _: io.BytesIO())
    return CacheStore(SimpleNamespace(snapshots=snapshots), root / "caches")


@pytest.fixture
def store(tmp_path: Path) -> CacheStore:
    return open_store(tmp_path)


def wish(sharing: str = "shared", **fields: object) -> CacheRequest:
    return CacheRequest("id", sharing, **fields)


async def held(stack: contextlib.AsyncExitStack, store: CacheStore, request: CacheRequest) -> str:
    folder = await stack.enter_async_context(store.acquire(request))
    return folder.parent.name.rpartition("-")[2]


async def test_shared_ones_are_one(store: CacheStore) -> None:
    async with contextlib.AsyncExitStack() as stack:
        assert [await held(stack, store, wish()) for _ in range(3)] == ["0", "0", "0"]
        assert await held(stack, store, wish("private")) == "1"
        await asyncio.create_task(held(stack, store, wish()))
    (first, second) = await store.entries()
    assert (first.usage_count, second.usage_count, first.in_use) == (4, 1, False)
    assert first.description == 'cached mount with id "id"'
    assert first.type == "exec.cachemount"


async def test_private_ones_are_used_again(store: CacheStore) -> None:
    started: list[str] = []
    all_there = asyncio.Event()

    async def use(sharing: str, number: int) -> None:
        async with contextlib.AsyncExitStack() as stack:
            started.append(await held(stack, store, wish(sharing)))
            if len(started) == number:
                all_there.set()
            await all_there.wait()

    await asyncio.gather(*(use("private", 3) for _ in range(3)))
    assert sorted(started) == ["0", "1", "2"]
    started.clear()
    all_there.clear()
    # Nobody else writes into a private one.
    await asyncio.gather(use("private", 3), use("shared", 3), use("shared", 3))
    assert started == ["0", "1", "1"]


@pytest.mark.parametrize("sharing", ["private", "locked"])
async def test_one_cache_in_two_places_of_a_step(store: CacheStore, sharing: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        assert [await held(stack, store, wish(sharing)) for _ in range(2)] == ["0", "0"]
    (entry,) = await store.entries()
    assert not entry.in_use


async def test_locked_ones_are_waited_for(store: CacheStore) -> None:
    order: list[int] = []

    async def use(number: int) -> None:
        async with store.acquire(wish("locked")) as folder:
            (folder / "busy").touch(exist_ok=False)
            await asyncio.sleep(0.005)
            order.append(number)
            (folder / "busy").unlink()

    await asyncio.gather(*(use(number) for number in range(5)))
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert len(await store.entries()) == 1


async def test_one_who_waits_can_leave(store: CacheStore) -> None:
    async with store.acquire(wish("locked")):
        waiting = asyncio.ensure_future(store.acquire(wish("locked")).__aenter__())
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with store.acquire(wish("locked")) as folder:
        assert folder.is_dir()


async def test_what_makes_them_different(store: CacheStore) -> None:
    requests = [
        wish(),
        CacheRequest("other"),
        wish(uid=7),
        wish(mode=0o700),
        CacheRequest("../../etc"),
        CacheRequest("x" * 5000),
    ]
    async with contextlib.AsyncExitStack() as stack:
        folders = [await stack.enter_async_context(store.acquire(one)) for one in requests]
        status = [folder.stat() for folder in folders]
    assert len({folder.parent for folder in folders}) == len(requests)
    assert len({folder.parent.parent for folder in folders}) == 1
    assert (status[2].st_uid, status[3].st_mode & 0o7777, status[0].st_mode & 0o7777) == (
        7, 0o700, 0o755,
    )  # fmt: skip


async def test_what_they_begin_with(tmp_path: Path) -> None:
    snapshots = NativeSnapshotter(tmp_path / "snapshots", lambda _: io.BytesIO())
    tar = layer(
        ("seed", None, 0o2750),
        ("seed/file", b"content", 0o640),
        ("seed/link", "/etc/passwd", 0o777),
        ("seed/dir", None, 0o700),
        ("seed/dir/deep", b"deep", 0o444),
        ("other", b"", 0o644),
    )
    snapshots.apply(Digest.of(tar), io.BytesIO(tar))
    store = CacheStore(SimpleNamespace(snapshots=snapshots), tmp_path / "caches")
    request = wish(stack=(Digest.of(tar),), source="seed")
    async with store.acquire(request) as folder:
        assert folder.stat().st_mode & 0o7777 == 0o2750
        assert (folder / "file").read_bytes() == b"content"
        assert (folder / "file").stat().st_mode & 0o7777 == 0o640
        assert (folder / "file").stat().st_mtime == 1_000_000
        assert (folder / "link").readlink() == Path("/etc/passwd")
        assert (folder / "dir/deep").read_bytes() == b"deep"
        (folder / "file").write_bytes(b"changed")
    async with store.acquire(request) as again:
        assert (again / "file").read_bytes() == b"changed"
    with pytest.raises(EngineError, match="/other is none"):
        async with store.acquire(wish(stack=request.stack, source="other")):
            pass
    (entry,) = await store.entries()
    assert entry.size == len(b"changed") + len(b"deep")
    assert not list((tmp_path / "caches").glob("new-*"))


async def test_removal_spares_what_is_in_use(store: CacheStore, tmp_path: Path) -> None:
    async with store.acquire(wish()), store.acquire(CacheRequest("other")) as other:
        (other / "file").write_text("x")
        ids = [entry.id for entry in await store.entries()]
        assert await store.remove(ids) == []
        assert (other / "file").exists()
    assert sorted(await store.remove([*ids, "nonsense"])) == sorted(ids)
    assert await store.entries() == []
    assert os.listdir(tmp_path / "caches") == []
    async with store.acquire(CacheRequest("other")) as fresh:
        assert os.listdir(fresh) == []


async def test_many_who_let_go_at_once(store: CacheStore, caplog: pytest.LogCaptureFixture) -> None:
    """Each notes its use; none finds the folder removed, or another at its record."""

    async def use() -> None:
        async with store.acquire(wish()):
            await asyncio.sleep(0)
        await store.remove([entry.id for entry in await store.entries() if not entry.in_use])

    await asyncio.gather(*(use() for _ in range(20)))
    assert not caplog.records
    assert await store.entries() == []


async def test_a_later_daemon_finds_them(store: CacheStore, tmp_path: Path) -> None:
    async with store.acquire(wish("private")) as folder:
        (folder / "file").write_text("kept")
    before = await store.entries()
    for name in ("new-0123", "gone-0123", "nonsense", "deadbeef-x"):
        (tmp_path / "caches" / name).mkdir()
    later = open_store(tmp_path)
    assert await later.entries() == before
    assert len(os.listdir(tmp_path / "caches")) == 1
    async with later.acquire(wish("private")) as folder:
        assert (folder / "file").read_text() == "kept"


async def test_a_folder_that_cannot_be_made(store: CacheStore, monkeypatch: object) -> None:
    def refuse(*_: object) -> None:
        raise errdefs.exhausted("no room")

    monkeypatch.setattr("wherry.engine.building.caches._write_about", refuse)
    with pytest.raises(EngineError, match="no room"):
        async with store.acquire(wish()):
            pass
    monkeypatch.undo()
    async with store.acquire(wish()) as folder:
        assert folder.is_dir()


async def test_what_a_killed_daemon_was_fetching_goes(tmp_path: Path) -> None:
    left = tmp_path / "build" / "git-0a1b2c" / "0"
    left.mkdir(parents=True)
    stores = SimpleNamespace(
        settings=SimpleNamespace(data_root=tmp_path, exec_root=tmp_path),
        images=SimpleNamespace(
            collector=SimpleNamespace(database=SimpleNamespace(read=lambda work: []))
        ),
        snapshots=None,
    )
    assert await Workshop(stores, list).cache() == []  # type: ignore[arg-type]
    assert not left.parent.exists()
