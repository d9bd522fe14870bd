"""The shared libraries that a program needs, found as the dynamic loader would find them.

The order is ld.so(8)'s: DT_RPATH of the file and of those that needed it (only if the file has no
DT_RUNPATH), DT_RUNPATH of the file, ld.so.cache, the loader's own directories; without a cache,
those of /etc/ld.so.conf. musl's has no cache, and a file with its directories. The environment is
left out: an image is not to depend on it.
"""

from __future__ import annotations

import glob
import os
from collections import deque
from collections.abc import Iterator
from typing import Final

from wherry import errdefs
from wherry.hostimage.ldcache import LoaderCache
from wherry.linux.elf import Elf, read_elf

_CONF: Final = "/etc/ld.so.conf"
_MUSL_CONF: Final = "/etc/ld-musl-*.path"
_DEFAULT: Final = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
_MUSL_DEFAULT: Final = ("/lib", "/usr/local/lib", "/usr/lib")
_MULTIARCH: Final = ("/lib/*-linux-*", "/usr/lib/*-linux-*")
_CONF_DEPTH: Final = 4
_MUSL: Final = "ld-musl-"
# musl's loader is its C library, and has all of these in it.
_IN_MUSL: Final = ("libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libcrypt.")


class Libraries:
    """The host's libraries; one answers for many programs."""

    def __init__(self, cache: LoaderCache | None = None, conf: str = _CONF) -> None:
        self.cache = LoaderCache.of_host() if cache is None else cache
        multiarch = [path for pattern in _MULTIARCH for path in sorted(glob.glob(pattern))]
        of_musl = [path for path in multiarch if path.endswith("-musl")]
        told = [line for path in sorted(glob.glob(_MUSL_CONF)) for line in _musl_conf(path)]
        self._musl = [*(told or _MUSL_DEFAULT), *of_musl]
        self._system = list(dict.fromkeys([*_conf(conf), *multiarch, *_DEFAULT]))
        self._lib_names = ["lib64", "lib", *(os.path.relpath(path, "/") for path in multiarch)]
        self._seen: dict[str, Elf | None] = {}

    def needed_by(self, program: str) -> dict[str, str]:
        """Paths of the loader and of all libraries that `program` needs, near and far, each with
        the file that needs it first.

        Raises NotFound, naming who needs it, for one that is nowhere. Nothing for what isn't ELF.
        """
        found: dict[str, str] = {}
        # In the loader's order, so that who needs a library first is who is nearest.
        waiting: deque[tuple[str, tuple[str, ...]]] = deque([(program, ())])
        while waiting:
            path, inherited = waiting.popleft()
            elf = self._elf(path)
            if elf is None:
                continue
            own = (*self._expanded(elf.rpath, path), *inherited)
            for library in self._direct(path, elf, own, found):
                found[library] = path
                waiting.append((library, own))
        return found

    def named(self, name: str, like: str) -> str | None:
        """The library that a file such as `like` gets when it opens one by `name` at run time."""
        elf = self._elf(like)
        return self._find(name, elf, (), False) if elf else None

    def _direct(
        self, path: str, elf: Elf, rpath: tuple[str, ...], found: dict[str, str]
    ) -> Iterator[str]:
        """What `path` itself needs and nobody before it has found."""
        if elf.interpreter and elf.interpreter not in found:
            yield elf.interpreter
        first = self._expanded(elf.runpath, path) if elf.runpath else rpath
        musl = any(_MUSL in each for each in (elf.interpreter, *found))
        for name in elf.needed:
            if musl and name.startswith(_IN_MUSL):
                continue
            library = self._find(name, elf, first, musl)
            if library is None:
                raise errdefs.not_found(f"{path} needs the library {name}, which is not found")
            if library not in found:
                yield library

    def _find(self, name: str, wanted: Elf, first: tuple[str, ...], musl: bool) -> str | None:
        candidates = self._candidates(name, first, musl)
        return next((path for path in candidates if self._fits(path, wanted)), None)

    def _candidates(self, name: str, first: tuple[str, ...], musl: bool) -> Iterator[str]:
        if "/" in name:
            yield name
            return
        yield from (f"{each}/{name}" for each in first)
        if not musl:
            yield from self.cache.find(name)
        yield from (f"{each}/{name}" for each in (self._musl if musl else self._system))

    def _fits(self, path: str, wanted: Elf) -> bool:
        """Whether the loader would take it: it skips what is of another architecture."""
        if not os.path.isfile(path):
            return False
        elf = self._elf(path)
        return elf is not None and elf.kind == wanted.kind

    def _elf(self, path: str) -> Elf | None:
        if path not in self._seen:
            self._seen[path] = read_elf(path)
        return self._seen[path]

    def _expanded(self, paths: tuple[str, ...], file: str) -> tuple[str, ...]:
        """`$ORIGIN` is the directory of the file itself, links followed; `$LIB` is the loader's
        own, so that any may be meant."""
        origin = os.path.dirname(os.path.realpath(file))
        expanded = []
        for path in paths:
            path = _replaced(_replaced(path, "ORIGIN", origin), "PLATFORM", os.uname().machine)
            names = self._lib_names if "$LIB" in path or "${LIB}" in path else [""]
            expanded += [os.path.normpath(_replaced(path, "LIB", name)) for name in names]
        return tuple(expanded)


def _replaced(path: str, token: str, text: str) -> str:
    return path.replace(f"${{{token}}}", text).replace(f"${token}", text)


def _conf(path: str, depth: int = 0) -> list[str]:
    """The directories that a file in the form of ld.so.conf lists."""
    directories: list[str] = []
    for line in _lines(path):
        words = line.partition("#")[0].split()
        if words[:1] == ["include"] and depth < _CONF_DEPTH:
            for word in words[1:]:
                pattern = os.path.join(os.path.dirname(path), word)
                for included in sorted(glob.glob(pattern)):
                    directories += _conf(included, depth + 1)
        elif words[:1] and words[0].startswith("/"):
            directories.append(words[0])
    return directories


def _musl_conf(path: str) -> list[str]:
    return [each for line in _lines(path) for each in line.split(":") if each.startswith("/")]


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
