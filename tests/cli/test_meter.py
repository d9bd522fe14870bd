"""Progress, where a person looks, and colours likewise."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from programs import Program, Terminal

from wherry.cli import meter
from wherry.cli.meter import Meter, metered


class Seen:
    """A terminal that writes down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.data = b""
        monkeypatch.setattr(meter, "_looked_at", lambda: True)
        monkeypatch.setattr(meter, "err_bytes", self.write)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def write(self, data: bytes) -> None:
        self.data += data


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    return Seen(monkeypatch)


def test_what_is_quick_says_nothing(seen: Seen) -> None:
    assert list(metered([b"x" * 10] * 3, Meter("Sent", 30))) == [b"x" * 10] * 3
    assert seen.data == b""


def test_what_takes_longer_is_told(seen: Seen) -> None:
    def slowly() -> Iterator[bytes]:
        for _ in range(4):
            seen.now += 0.5
            yield b"x" * 1_000_000

    assert len(list(metered(slowly(), Meter("Sent", 4_000_000)))) == 4
    lines = seen.data.split(b"\r\x1b[K")
    assert lines == [
        b"",
        b"Sent 2MB of 4MB (50%), 2MB/s",
        b"Sent 3MB of 4MB (75%), 2MB/s",
        b"Sent 4MB of 4MB (100%), 2MB/s",
        b"",
    ]


def test_the_line_goes_when_it_fails(seen: Seen) -> None:
    def broken() -> Iterator[bytes]:
        seen.now += 2
        yield b"x"
        raise OSError

    with pytest.raises(OSError):
        list(metered(broken(), Meter("Saved")))
    assert seen.data == b"\r\x1b[KSaved 1B, 0.5B/s\r\x1b[K"


@contextmanager
def on_a_terminal(wherry, *words: str, **variables: str) -> Iterator[Terminal]:
    class Ours(Program):
        def command(self, *words: str) -> list[str]:
            return [*wherry.command, *words]

    with Ours("wherry", "", "", {**wherry.environment, **variables}).terminal(*words) as terminal:
        yield terminal


def test_colours_are_for_terminals(canned, wherry) -> None:
    assert wherry("stop", "x").stderr == b"Error response from daemon: no\n"
    with on_a_terminal(wherry, "stop", "x") as terminal:
        assert terminal.wait() == 1
        assert terminal.heard == b"\x1b[1;31mError response from daemon:\x1b[0m no\r\n"
    with on_a_terminal(wherry, "stop", "x", NO_COLOR="1") as terminal:
        terminal.wait()
        assert terminal.heard == b"Error response from daemon: no\r\n"
    with on_a_terminal(wherry, "stop", "--help") as terminal:
        terminal.wait()
        assert b"\x1b[1mUsage:  \x1b[0mwherry stop" in terminal.heard
    assert b"\x1b" not in wherry("stop", "--help").stdout


def test_a_slow_load_shows_how_far_it_is(canned, wherry, tmp_path: Path) -> None:
    canned.answers["POST", "/images/load"] = (200, {"stream": "Loaded image: x:1\n"})
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with on_a_terminal(wherry, "load", "-i", str(pipe)) as terminal:
        with open(pipe, "wb", buffering=0) as writer:
            for _ in range(300):
                writer.write(bytes(1000))
                with suppress(AssertionError):
                    terminal.expect(r"Sent \S+kB, \S+B/s", seconds=0.1)
                    break
        terminal.expect("Loaded image: x:1")
