"""Libraries, found as the loader finds them."""

import os
import subprocess
import sys
from pathlib import Path

import elves
import pytest
from elves import make_elf

from wherry.errdefs import EngineError
from wherry.hostimage.ldcache import PATH, LoaderCache
from wherry.hostimage.libraries import Libraries

PYTHON = os.path.realpath(sys.executable)


@pytest.fixture
def libraries() -> Libraries:
    """Without a cache or a configuration of the host's."""
    return Libraries(LoaderCache(b""), "/nonexistent")


def put(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def test_libraries_are_those_of_the_loader() -> None:
    found = Libraries().needed_by(PYTHON)
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()
              if ".so" in line.split()[-1]}  # fmt: skip
    libc = [os.path.realpath(path) for path in found if os.path.basename(path).startswith("libc.")]
    assert set(libc) <= mapped
    assert all(os.path.isfile(path) for path in found)


def test_runpath_is_the_files_own_and_rpath_is_inherited(
    tmp_path: Path, libraries: Libraries
) -> None:
    program = put(tmp_path / "bin/p", make_elf("", ["liba.so"], rpath="$ORIGIN/../lib"))
    first = put(tmp_path / "lib/liba.so", make_elf("", ["libb.so"]))
    second = put(tmp_path / "lib/libb.so", make_elf())
    assert libraries.needed_by(program) == {first: program, second: first}
    other = put(tmp_path / "bin/q", make_elf("", ["liba.so"], runpath="${ORIGIN}/../lib"))
    with pytest.raises(EngineError, match=r"liba\.so needs the library libb\.so, which is not"):
        libraries.needed_by(other)


def test_a_file_with_runpath_does_not_look_along_rpath(
    tmp_path: Path, libraries: Libraries
) -> None:
    put(tmp_path / "r/liba.so", make_elf())
    own = put(tmp_path / "o/liba.so", make_elf())
    program = put(tmp_path / "p", make_elf("", ["liba.so"], rpath="$ORIGIN/r", runpath="$ORIGIN/o"))
    assert list(libraries.needed_by(program)) == [own]


def test_what_is_for_another_machine_is_passed_over(tmp_path: Path, libraries: Libraries) -> None:
    put(tmp_path / "a/libx.so", make_elf(machine=elves.RISCV))
    put(tmp_path / "b/libx.so", b"/* GNU ld script */")
    right = put(tmp_path / "c/libx.so", make_elf())
    path = ":".join(f"$ORIGIN/{name}" for name in "abc")
    program = put(tmp_path / "p", make_elf("", ["libx.so"], runpath=path))
    assert list(libraries.needed_by(program)) == [right]


def test_the_nearest_is_named_as_the_needer(tmp_path: Path, libraries: Libraries) -> None:
    program = put(tmp_path / "p", make_elf("", ["liba.so", "libc9.so"], rpath="$ORIGIN"))
    first = put(tmp_path / "liba.so", make_elf("", ["libc9.so"]))
    second = put(tmp_path / "libc9.so", make_elf())
    assert libraries.needed_by(program) == {first: program, second: program}


def test_musl_has_its_parts_in_its_loader(tmp_path: Path, libraries: Libraries) -> None:
    loader = put(tmp_path / "ld-musl-test.so.1", make_elf())
    program = put(tmp_path / "p", make_elf(loader, ["libpthread.so.0", "libc.so.1"]))
    assert libraries.needed_by(program) == {loader: program}


def test_the_directories_of_the_configuration(tmp_path: Path) -> None:
    library = put(tmp_path / "far/libfar.so", make_elf())
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/one.conf").write_text(f"# ours\n{tmp_path}/far  # here\n")
    (tmp_path / "ld.so.conf").write_text("include conf.d/*.conf\ninclude ld.so.conf\nrelative\n")
    program = put(tmp_path / "p", make_elf("", ["libfar.so"]))
    found = Libraries(LoaderCache(b""), f"{tmp_path}/ld.so.conf").needed_by(program)
    assert list(found) == [library]


def test_a_script_needs_no_libraries(tmp_path: Path, libraries: Libraries) -> None:
    assert libraries.needed_by(put(tmp_path / "x", b"#!/bin/sh\n")) == {}


def test_the_cache_of_the_host_and_a_part_of_it() -> None:
    if not os.path.exists(PATH):
        pytest.skip("this host has no /etc/ld.so.cache")
    cache = LoaderCache.of_host()
    (libc, *_) = cache.find("libc.so.6")
    assert os.path.isfile(libc)
    part = LoaderCache(cache.only(lambda path: "libc.so" in path or "libm.so" in path))
    assert part.find("libc.so.6") == cache.find("libc.so.6")
    assert part.find("libm.so.6") == cache.find("libm.so.6")
    assert part.find("libdl.so.2") == []
    assert cache.only(lambda path: False) == b""


def test_ldconfig_reads_what_we_write(tmp_path: Path) -> None:
    if not os.path.exists(PATH) or not os.path.exists("/sbin/ldconfig"):
        pytest.skip("needs ldconfig and its cache")
    cache = LoaderCache.of_host()
    names = ("libc.so", "libm.so", "libdl", "libz")
    path = tmp_path / "cache"
    path.write_bytes(cache.only(lambda path: any(name in path for name in names)))
    done = subprocess.run(
        ["/sbin/ldconfig", "-p", "-C", str(path)], capture_output=True, text=True, check=True
    )
    listed = [line.split() for line in done.stdout.splitlines()[1:] if "=>" in line]
    assert {(words[0], words[-1]) for words in listed} >= {
        ("libc.so.6", path) for path in cache.find("libc.so.6")
    }


@pytest.mark.parametrize("cut", [20, 47, 60, 200, 999])
def test_a_damaged_cache_says_nothing_or_something_true(cut: int) -> None:
    if not os.path.exists(PATH):
        pytest.skip("this host has no /etc/ld.so.cache")
    with open(PATH, "rb") as file:
        data = file.read()
    assert LoaderCache(data[:cut]).find("libc.so.6") == []
