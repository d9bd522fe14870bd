"""The parts of the library that need no engine."""

import asyncio
import datetime
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wherry
from wherry.engine.model import LogStream
from wherry.library.building import prepare
from wherry.library.containers import nanoseconds
from wherry.library.finishing import ended, whole
from wherry.library.loglines import LogLine, lines
from wherry.library.options import read_request, read_size
from wherry.library.places import DEFAULT_ROOT, choose

# --- Names ----------------------------------------------------------------------------------------


def test_importing_wherry_imports_nothing() -> None:
    text = (
        "import sys; before = set(sys.modules); import wherry; "
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "['wherry']\n"


def test_the_library_logs_nothing_by_itself() -> None:
    text = (
        "import logging, wherry; wherry.Engine; "
        "logging.getLogger('wherry.engine').warning('no'); print(logging.getLogger().handlers)"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_every_name_is_there() -> None:
    for name in wherry.__all__:
        assert getattr(wherry, name).__name__ == name
    assert set(wherry.__all__) == set(wherry._PLACES)
    assert set(wherry.__all__) < set(dir(wherry))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = wherry.nothing


# --- Lines ----------------------------------------------------------------------------------------


def frames(entries: list[tuple[int, bytes]]) -> bytes:
    return b"".join(
        bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data for stream, data in entries
    )


async def read(data: bytes, cuts: list[int], *, tty: bool, timestamps: bool) -> list[LogLine]:
    async def chunks() -> AsyncIterator[bytes]:
        at = 0
        for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
            yield data[at:cut]
            at = cut

    found = lines(LogStream(tty, chunks()), timestamps=timestamps)
    return [line async for line in found]


entries = st.lists(
    st.tuples(st.sampled_from([1, 2]), st.binary(max_size=20).map(lambda one: one + b"\n")),
    max_size=8,
)
cuts = st.lists(st.integers(0, 400), max_size=5)


@given(entries, cuts)
def test_frames_are_lines_however_they_are_cut(
    entries: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    found = asyncio.run(read(frames(entries), cuts, tty=False, timestamps=False))
    for stream, name in ((1, "stdout"), (2, "stderr")):
        written = b"".join(data for number, data in entries if number == stream)
        assert b"".join(line.data + b"\n" for line in found if line.stream == name) == written


@given(st.binary(max_size=100), cuts)
def test_a_terminal_is_lines_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    found = asyncio.run(read(data, cuts, tty=True, timestamps=False))
    assert b"\n".join(line.data for line in found) == data.removesuffix(b"\n")


async def test_times_are_of_the_line() -> None:
    long = [(1, b"T1 begun "), (1, b"T2 and "), (2, b"T3 other\n"), (1, b"T4 done\n"), (1, b"T5 x")]
    found = await read(frames(long), [], tty=False, timestamps=True)
    assert found == [
        LogLine("stderr", b"other", "T3"),
        LogLine("stdout", b"begun and done", "T1"),
        LogLine("stdout", b"x", "T5"),
    ]
    found = await read(b"T1 a\r\nT2 b", [3], tty=True, timestamps=True)
    assert found == [LogLine("stdout", b"a\r", "T1"), LogLine("stdout", b"b", "T2")]


# --- Options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [(7, 7), ("7", 7), ("1k", 1024), ("64m", 64 << 20), ("1.5g", 3 << 29), ("2GiB", 2 << 30),
     ("3b", 3), ("1TB", 1 << 40)],
)  # fmt: skip
def test_sizes(text: int | str, size: int) -> None:
    assert read_size("memory", text) == size


@pytest.mark.parametrize("text", ["", "m", "1x", "inf", "nan", "1 g g"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(wherry.EngineError, match="is no size"):
        read_size("memory", text)


def test_a_string_is_one_word() -> None:
    request = read_request("image", "a b", {"entrypoint": "c d"})
    assert (request.cmd, request.entrypoint) == (["a b"], ["c d"])
    assert read_request("image", (), {"entrypoint": ""}).entrypoint == [""]
    assert read_request("image", (), {}).cmd is None


def test_where_binds_lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    binds = {"/a": "here", "/b": "/there:ro", "/c": Path("with:colon")}
    assert read_request("image", (), {"binds": binds}).host_config.binds == [
        f"{tmp_path}/here:/a",
        "/there:/b:ro",
        f"{tmp_path}/with:colon:/c",
    ]


def test_devices() -> None:
    given = {"devices": ["/dev/a", "/dev/a:/dev/b", "/dev/a:r", "/dev/a:/dev/b:rw"]}
    devices = read_request("image", (), given).host_config.devices or []
    assert [(one.path_in_container, one.cgroup_permissions) for one in devices] == [
        ("/dev/a", "rwm"), ("/dev/b", "rwm"), ("/dev/a", "r"), ("/dev/b", "rw"),
    ]  # fmt: skip


def test_moments() -> None:
    at = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    assert nanoseconds(at) == 1767312000_000000000
    assert nanoseconds(1.5) == 1_500_000_000
    assert nanoseconds(0) == 0


# --- Places ---------------------------------------------------------------------------------------


def test_places_of_a_root(tmp_path: Path) -> None:
    ours = choose(DEFAULT_ROOT, None, None, {})
    assert ours == (Path("/run/wherry"), "/wherry")
    one = choose(tmp_path / "one", None, None, {})
    assert one == choose(tmp_path / "one", None, None, {})
    two = choose(tmp_path / "two", None, None, {})
    assert not {*one} & ({*two} | {*ours})
    before = two.notes()
    assert choose(tmp_path / "one", None, None, before) == two
    assert choose(tmp_path / "one", "/x", "/y", before) == (Path("/x"), "/y")


# --- Contexts -------------------------------------------------------------------------------------


async def test_what_a_context_may_be(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    further = tmp_path / "further"
    further.mkdir()
    given = {"contexts": {"more": further, "image": "docker-image://box"}}
    prepared = await prepare(tmp_path, given)
    assert prepared.request.contexts.keys() == {"more", "image"}
    assert prepared.request.contexts["more"].startswith("upload:")
    assert prepared.request.inline is None
    remote = await prepare("https://example.com/repository.git", {"text": "FROM scratch"})
    assert remote.upload is None
    assert remote.request.remote == "https://example.com/repository.git"
    assert remote.request.inline == b"FROM scratch"
    assert not remote.request.contexts
    with pytest.raises(TypeError, match="has no option"):
        await prepare(tmp_path, {"tag": "x"})  # type: ignore[typeddict-unknown-key]


# --- Cancelling -----------------------------------------------------------------------------------


async def test_a_change_is_undone_when_it_was_not_wanted_any_more() -> None:
    began, go_on, undone = asyncio.Event(), asyncio.Event(), []

    async def work() -> str:
        began.set()
        await go_on.wait()
        return "made"

    async def undo(made: str) -> None:
        undone.append(made)

    task = asyncio.create_task(whole(work(), undo))
    await began.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    go_on.set()
    assert await ended(task) is False
    assert task.cancelled()
    assert undone == ["made"]


async def test_a_change_that_fails_fails() -> None:
    async def work() -> str:
        raise ValueError("no")

    async def undo(made: str) -> None:
        raise AssertionError

    with pytest.raises(ValueError, match="no"):
        await whole(work(), undo)
