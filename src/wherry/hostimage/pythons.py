"""What a Python needs beside its libraries: the modules of its standard library, and those of a
virtual environment if it is one's."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Final, TypedDict

from wherry import errdefs

_PYTHON: Final = re.compile(r"python(\d(\.\d+)?t?)?\Z")
_NOT_COPIED: Final = frozenset(
    ("test", "tests", "idle_test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip",
     "site-packages", "dist-packages")
)  # fmt: skip
_FOR_TESTS: Final = re.compile(r"(_test|_xx|xx|_ctypes_test|_tkinter)[^/]*\.so\Z")
_ASK: Final = """
import json, site, sys, sysconfig
paths = [sysconfig.get_path(key) for key in ("stdlib", "platstdlib")]
print(json.dumps({
    "executable": sys.executable, "prefix": sys.prefix, "base": sys.base_prefix,
    "library": paths, "packages": site.getsitepackages(),
}))
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Needed:
    """A file that a Python needs; one that is not `mandatory` may lack its libraries."""

    path: str
    why: str
    group: str
    mandatory: bool


class _Answer(TypedDict):
    executable: str
    prefix: str
    base: str
    library: list[str]
    packages: list[str]


def is_python(path: str) -> bool:
    return _PYTHON.match(os.path.basename(path)) is not None


def behind_shim(path: str) -> str:
    """The Python that a script of this name would start, as those of pyenv do; else `path`."""
    if not is_python(path) or not _is_script(path):
        return path
    return _asked(path)["executable"] or path


def files_of(python: str, warnings: list[str]) -> Iterator[Needed]:
    """The modules of a Python, and all files of its virtual environment."""
    answer = _asked(python)
    why = f"standard library of {python}"
    for directory in sorted(set(answer["library"])):
        for path in _modules(directory):
            yield Needed(path, why, directory, False)
    if answer["prefix"] == answer["base"]:
        return
    yield Needed(f"{answer['prefix']}/pyvenv.cfg", f"environment of {python}", "", True)
    for directory in answer["packages"]:
        for path in _all_files(directory):
            yield Needed(path, f"packages of {python}", directory, True)
            if path.endswith(".pth"):
                warnings += _outside(path, answer["packages"])


def output_of(*command: str) -> str:
    """What a program of the host says. Raises Unavailable if it does not run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise errdefs.unavailable(f"{command[0]} does not run on this host: {error}") from error


def _asked(python: str) -> _Answer:
    text = output_of(python, "-I", "-c", _ASK)
    try:
        answer: _Answer = json.loads(text)
    except ValueError as error:
        raise errdefs.unavailable(f"{python} does not say where its modules are") from error
    return answer


def _is_script(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


def _modules(directory: str) -> Iterator[str]:
    for where, directories, files in os.walk(directory):
        directories[:] = sorted(
            name
            for name in directories
            if name not in _NOT_COPIED and not name.startswith("config-")
        )
        # Of the compiled ones, those of -O are not what anybody runs by default.
        yield from (
            os.path.join(where, name)
            for name in sorted(files)
            if name.endswith((".py", ".pyc", ".so"))
            and ".opt-" not in name
            and not _FOR_TESTS.match(name)
        )


def _all_files(directory: str) -> Iterator[str]:
    for where, directories, files in os.walk(directory):
        directories.sort()
        for name in sorted(files):
            path = os.path.join(where, name)
            if ".opt-" not in name and os.path.isfile(path):
                yield path


def _outside(path: str, packages: list[str]) -> list[str]:
    """What a .pth file adds to the module path from elsewhere, as editable installs do."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.strip() for line in file]
    except OSError:
        return []
    return [
        f"{path} names {line}, which is not in the image (--add {line})"
        for line in lines
        if line.startswith("/") and line not in packages and os.path.isdir(line)
    ]
