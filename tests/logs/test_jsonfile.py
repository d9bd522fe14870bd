"""The log's writing end: what dockerd would have written, bounded, and whole lines always."""

import errno
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry import errdefs
from wherry.logs import jsonfile
from wherry.logs.jsonfile import PARTIAL_SIZE, Writer

SOAK = bool(os.environ.get("WHERRY_SOAK"))
LARGE = 1 << 30


def entries(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def logged(path: Path, stream: str) -> str:
    return "".join(entry["log"] for entry in entries(path) if entry["stream"] == stream)


def test_a_line_is_one_object_with_dockers_fields(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log", LARGE, 1)
    writer.write("stdout", b"hello\n")
    writer.close()
    text = (tmp_path / "log").read_text()
    assert re.fullmatch(
        r'\{"log":"hello\\n","stream":"stdout",'
        r'"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"\}\n',
        text,
    )


def test_streams_keep_their_unfinished_lines_apart(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log", LARGE, 1)
    writer.write("stdout", b"a")
    writer.write("stderr", b"x\ny")
    writer.write("stdout", b"b\nc")
    assert [entry["log"] for entry in entries(tmp_path / "log")] == ["x\n", "ab\n"]
    writer.close()
    assert [entry["log"] for entry in entries(tmp_path / "log")] == ["x\n", "ab\n", "c", "y"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (PARTIAL_SIZE - 1, [PARTIAL_SIZE]),
        (PARTIAL_SIZE, [PARTIAL_SIZE, 1]),
        (2 * PARTIAL_SIZE + 5, [PARTIAL_SIZE, PARTIAL_SIZE, 6]),
    ],
)
def test_a_long_line_comes_in_pieces(tmp_path: Path, size: int, expected: list[int]) -> None:
    writer = Writer(tmp_path / "log", LARGE, 1)
    writer.write("stdout", b"before\n" + b"x" * size + b"\nafter\n")
    writer.close()
    found = [entry["log"] for entry in entries(tmp_path / "log")]
    assert found[0] == "before\n"
    assert found[-1] == "after\n"
    assert [len(piece) for piece in found[1:-1]] == expected
    assert all("\n" not in piece for piece in found[1:-2])


def test_a_piece_does_not_end_inside_a_character(tmp_path: Path) -> None:
    text = "x" + "€" * PARTIAL_SIZE + "\n"
    writer = Writer(tmp_path / "log", LARGE, 1)
    writer.write("stdout", text.encode())
    writer.close()
    assert logged(tmp_path / "log", "stdout") == text


@settings(max_examples=2000 if SOAK else 60, deadline=None)
@given(
    chunks=st.lists(
        st.tuples(
            st.sampled_from(["stdout", "stderr"]),
            st.text(alphabet='ab\n\\"\x00\uf8fe\u2028é', max_size=30),
        )
    ),
    max_size=st.integers(1, 2000),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[tuple[str, str]], max_size: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    writer = Writer(path, max_size, 1000)
    for stream, text in chunks:
        writer.write(stream, text.encode())
    writer.close()
    files = sorted(path.parent.iterdir(), key=lambda file: -int(file.suffix[1:] or 0))
    for stream in ("stdout", "stderr"):
        expected = "".join(text for name, text in chunks if name == stream)
        assert "".join(logged(file, stream) for file in files) == expected
    for file in files[:-1]:
        assert file.stat().st_size >= max_size
        assert file.read_bytes().rstrip(b"\n").rfind(b"\n") + 1 < max_size


def test_bytes_that_are_not_text_are_replaced_as_dockers_are(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log", LARGE, 1)
    writer.write("stdout", b"\xff\xfe ok\n")
    writer.close()
    assert entries(tmp_path / "log")[0]["log"] == "\ufffd\ufffd ok\n"


@pytest.mark.parametrize("max_files", [1, 2, 3])
def test_no_more_files_than_told(tmp_path: Path, max_files: int) -> None:
    writer = Writer(tmp_path / "log", 200, max_files)
    for number in range(50):
        writer.write("stdout", b"line %d\n" % number)
    writer.close()
    names = ["log", "log.1", "log.2"][:max_files]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    assert all((tmp_path / name).stat().st_size < 300 for name in names)
    assert entries(tmp_path / "log")[-1]["log"] == "line 49\n"


def test_a_torn_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    (tmp_path / "log").write_text('{"log":"half')
    writer = Writer(tmp_path / "log", LARGE, 1)
    writer.write("stdout", b"whole\n")
    writer.close()
    assert json.loads((tmp_path / "log").read_bytes().splitlines()[-1])["log"] == "whole\n"


def test_a_full_disk_drops_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(tmp_path / "log", LARGE, 1)
    writer.write("stdout", b"one\n")
    write = os.write
    full = True

    def half_then_full(fd: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if not full:
            return write(fd, data)
        if calls == 1:
            return write(fd, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    calls = 0
    monkeypatch.setattr(jsonfile.os, "write", half_then_full)
    writer.write("stdout", b"two\n")
    full = False
    writer.write("stdout", b"three\n")
    writer.close()
    assert [entry["log"] for entry in entries(tmp_path / "log")] == ["one\n", "three\n"]
    assert writer.dropped_bytes > 0


def test_a_log_that_cannot_be_opened_says_where(tmp_path: Path) -> None:
    with pytest.raises(errdefs.EngineError, match=r"missing/log"):
        Writer(tmp_path / "missing" / "log", 10, 1)
