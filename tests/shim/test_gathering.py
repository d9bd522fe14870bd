"""Functions that are copied do what they did, for all who know them by name."""

import sys
from types import ModuleType

import pytest

from wherry.shim import gathering


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("made_for_gathering")
    source = """
def twice(n, *, by=2):
    return n * by
class Boat:
    def row(self, times=3):
        return [twice(each) for each in range(times)]
    def idle(self):
        return 0
"""
    exec(compile(source, "made", "exec"), made.__dict__)
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def test_what_was_called_is_copied(module: ModuleType) -> None:
    before = module.twice, module.Boat.row, module.Boat.idle
    codes = gathering.called_in(lambda: module.Boat().row())
    assert {before[0].__code__, before[1].__code__} <= set(codes)
    assert before[2].__code__ not in codes
    gathering.gather([code for code in codes if code.co_filename == "made"])
    assert module.twice is not before[0]
    assert module.Boat.row is not before[1]
    assert module.Boat.idle is before[2]
    assert module.Boat().row() == [0, 2, 4]
    assert module.twice(3, by=5) == 15


def test_a_name_in_another_module_is_the_copy_too(module: ModuleType) -> None:
    other = ModuleType("made_for_gathering_too")
    other.borrowed = module.twice
    sys.modules[other.__name__] = other
    try:
        gathering.gather([module.twice.__code__])
        assert other.borrowed is module.twice
        assert other.borrowed(1) == 2
    finally:
        del sys.modules[other.__name__]
