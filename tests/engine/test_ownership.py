"""One engine per folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wherry.engine.ownership import InUseError, Lock
from wherry.errdefs import EngineError, Kind


def test_a_second_lock_names_the_holder(tmp_path: Path) -> None:
    held = Lock(tmp_path / "root", {"host": "unix:///s"})
    with pytest.raises(InUseError, match=f"another wherryd, process {os.getpid()}") as caught:
        Lock(tmp_path / "root")
    assert caught.value.kind is Kind.CONFLICT
    assert caught.value.pid == os.getpid()
    assert caught.value.notes == {"host": "unix:///s"}
    held.release()
    Lock(tmp_path / "root").release()


def test_a_program_that_holds_it_is_called_one(tmp_path: Path) -> None:
    held = Lock(tmp_path, {"program": "python"})
    with pytest.raises(InUseError, match="a program with an engine of its own"):
        Lock(tmp_path)
    held.release()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="opening"):
        Lock(tmp_path / "file")


def test_the_next_holder_reads_what_was_noted(tmp_path: Path) -> None:
    first = Lock(tmp_path)
    assert first.before == {}
    first.note({"exec-root": "/somewhere=else"})
    first.release()
    second = Lock(tmp_path)  # notes nothing itself
    second.release()
    third = Lock(tmp_path, {})
    assert third.before == {"exec-root": "/somewhere=else"}
    third.release()
    assert Lock(tmp_path).before == {}


def test_what_an_earlier_boot_noted_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "wherryd.lock").write_text("1\n1\nanother-boot\nexec-root=/x\n")
    assert Lock(tmp_path).before == {}


@pytest.mark.parametrize("text", ["", "x", "1\n", "\n\n\n\n=\n", "\udcff\n" * 9])
def test_a_damaged_file_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "wherryd.lock").write_text(text, errors="surrogateescape")
    assert Lock(tmp_path).before == {}


def test_a_file_that_was_removed_is_no_lock_any_more(tmp_path: Path) -> None:
    held = Lock(tmp_path)
    held.release(remove=True)
    assert not list(tmp_path.iterdir())
    held = Lock(tmp_path)
    with pytest.raises(InUseError):
        Lock(tmp_path)
    held.release()


def test_a_fork_of_the_holder_does_not_hold_it(tmp_path: Path) -> None:
    """A program may fork: its child has all descriptors, and may live for long."""
    program = f"""
import os, sys
from pathlib import Path
from wherry.engine.ownership import Lock
lock = Lock(Path({str(tmp_path)!r}))
ready, wait = os.pipe(), os.pipe()
if os.fork() == 0:
    os.close(wait[1])
    os.read(wait[0], 1)
    os._exit(0)
lock.release()
Lock(Path({str(tmp_path)!r})).release()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
