"""The shared libraries that a program needs, found as the dynamic loader would find them.

The order is ld.so(8)'s: DT_RPATH of the file and of those that needed it (only if the file has no
DT_RUNPATH), DT_RUNPATH of the file, the directories of /etc/ld.so.conf, the loader's own. The
environment is left out: an image is not to depend on it.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Final

from wherry import errdefs
from wherry.images.elf import Elf, read_elf

_CONF: Final = "/etc/ld.so.conf"
_DEFAULT: Final = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
_MULTIARCH: Final = ("/lib/*-linux-*", "/usr/lib/*-linux-*")
_CONF_DEPTH: Final = 4


class Libraries:
    """The host's libraries; one answers for many programs."""

    def __init__(self) -> None:
        multiarch = [path for pattern in _MULTIARCH for path in sorted(glob.glob(pattern))]
        self._system = [*_conf(_CONF), *multiarch, *_DEFAULT]
        self._seen: dict[str, Elf | None] = {}

    def needed_by(self, program: Path) -> set[str]:
        """Paths of the interpreter and of all libraries that `program` needs, near and far.

        Raises NotFound, naming who needs it, for one that is nowhere. Nothing for what isn't ELF.
        """
        found: set[str] = set()
        self._follow(str(program), (), found)
        return found

    def _follow(self, path: str, inherited: tuple[str, ...], found: set[str]) -> None:
        elf = self._elf(path)
        if elf is None:
            return
        if elf.interpreter:
            found.add(elf.interpreter)
        own = _expanded(elf.rpath, path)
        rpath = () if elf.runpath else (*own, *inherited)
        runpath = _expanded(elf.runpath, path)
        for name in elf.needed:
            library = self._find(name, elf, (*rpath, *runpath))
            if library is None:
                raise errdefs.not_found(f"{path} needs the library {name}, which is not found")
            if library not in found:
                found.add(library)
                self._follow(library, (*own, *inherited), found)

    def _find(self, name: str, wanted: Elf, first: tuple[str, ...]) -> str | None:
        directories = (*first, *self._system)
        candidates = [name] if "/" in name else [f"{each}/{name}" for each in directories]
        for path in candidates:
            if os.path.isfile(path):
                elf = self._elf(path)
                if elf is not None and elf.kind == wanted.kind:
                    return path
        return None

    def _elf(self, path: str) -> Elf | None:
        if path not in self._seen:
            self._seen[path] = read_elf(Path(path))
        return self._seen[path]


def _expanded(paths: tuple[str, ...], file: str) -> tuple[str, ...]:
    """`$ORIGIN` is the directory of the file itself, links followed."""
    origin = os.path.dirname(os.path.realpath(file))
    return tuple(
        os.path.normpath(path.replace("${ORIGIN}", origin).replace("$ORIGIN", origin))
        for path in paths
    )


def _conf(path: str, depth: int = 0) -> list[str]:
    """The directories that a file in the form of ld.so.conf lists."""
    try:
        lines = Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    directories: list[str] = []
    for line in lines:
        words = line.partition("#")[0].split()
        if words[:1] == ["include"] and depth < _CONF_DEPTH:
            for word in words[1:]:
                pattern = os.path.join(os.path.dirname(path), word)
                for included in sorted(glob.glob(pattern)):
                    directories += _conf(included, depth + 1)
        elif words[:1] and words[0].startswith("/"):
            directories.append(words[0])
    return directories
