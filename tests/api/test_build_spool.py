"""What waits for a client that is slow."""

import os
import random
from pathlib import Path

import leaks
import pytest

from wherry.api.building import spool
from wherry.api.building.spool import Allowance, Spool


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("MEMORY", 1000), ("PIECE", 300), ("FILE", 5000)):
        monkeypatch.setattr(spool, name, size)


def on_disk() -> int:
    """Bytes in open files without names."""
    links = [Path(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    return sum(link.stat().st_size for link in links if str(_target(link)).endswith("(deleted)"))


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", range(20))
def test_first_in_is_first_out(seed: int) -> None:
    dice, waiting = random.Random(seed), Spool(Allowance())
    before = leaks.descriptors()
    put = taken = b""
    for _ in range(300):
        if dice.random() < 0.5:
            data = dice.randbytes(dice.randrange(1, 2000))
            waiting.put(data)
            put += data
        else:
            for _ in range(dice.randrange(8)):
                taken += waiting.take()
    while piece := waiting.take():
        assert len(piece) <= 2000
        taken += piece
    assert taken == put
    assert leaks.descriptors() == before


@pytest.mark.usefixtures("small")
def test_what_was_read_leaves_the_disk() -> None:
    waiting, before = Spool(Allowance()), on_disk()
    for _ in range(20):
        waiting.put(bytes(1000))
    for _ in range(100):
        waiting.put(bytes(600))
        assert waiting.take()
        assert waiting.take()
        assert on_disk() - before <= 20 * 1000 + 2 * 5000
    waiting.close()
    assert on_disk() == before
    assert waiting.take() == b""
