"""ELF files, whole and damaged."""

import os
import random
import shutil
import sys
from pathlib import Path

import elves
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.errdefs import EngineError, Kind
from wherry.linux.elf import read_elf

EXAMPLES = 2000 if os.environ.get("WHERRY_SOAK") else 50
PYTHON = os.path.realpath(sys.executable)


def test_what_a_file_says(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(
        elves.make_elf("/lib/ld.so", ["libb.so", "liba.so"], rpath="/a:$ORIGIN/b", runpath="/c")
    )
    elf = read_elf(str(path))
    assert elf is not None
    assert (elf.interpreter, elf.needed) == ("/lib/ld.so", ("libb.so", "liba.so"))
    assert (elf.rpath, elf.runpath) == (("/a", "$ORIGIN/b"), ("/c",))
    assert (elf.kind, elf.runs) == ((2, 1, elves.HOST), True)


@pytest.mark.parametrize(
    ("machine", "name"),
    [(elves.AMD64, "amd64"), (elves.ARM64, "arm64"), (elves.I386, "386"), (999, "machine 999")],
)
def test_the_architecture_is_named_as_images_name_it(
    tmp_path: Path, machine: int, name: str
) -> None:
    (tmp_path / "x").write_bytes(elves.make_elf(machine=machine, type_=1))
    elf = read_elf(str(tmp_path / "x"))
    assert elf is not None
    assert (elf.architecture, elf.runs) == (name, False)


def test_a_file_that_is_not_elf_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("#!/bin/sh\n")
    assert read_elf(str(tmp_path / "x")) is None
    with pytest.raises(EngineError, match="no such file"):
        read_elf(str(tmp_path / "y"))


@given(st.integers(0, 1 << 32))
@settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)  # fmt: skip
def test_a_damaged_elf_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with open(shutil.which("ls") or PYTHON, "rb") as file:
        data = bytearray(file.read(chance.choice([64, 1000, 200_000])))
    for _ in range(chance.randint(0, 8)):
        data[chance.randrange(4, min(len(data), 900))] = chance.randrange(256)
    path = tmp_path / "elf"
    path.write_bytes(data)
    try:
        read_elf(str(path))
    except EngineError as error:
        if error.kind is not Kind.INVALID_ARGUMENT:
            raise
