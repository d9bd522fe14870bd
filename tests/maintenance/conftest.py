"""Filled data roots."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from dataroots import fill

from wherry.content import disk


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A filled data root of each driver, to be copied."""
    made: dict[str, Path] = {}

    def of(driver: str) -> Path:
        if driver not in made:
            path = tmp_path_factory.mktemp("pristine") / driver
            fill(path, driver)
            made[driver] = path
        return made[driver]

    return of


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut does is another room's business; waiting for it takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr(disk, "syncfs", lambda fd: None)
