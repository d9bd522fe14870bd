"""All that programs need to run, as far as their files tell.

An ELF program needs its loader and libraries, a script its interpreter, a Python its standard
library, and what glibc opens at run time by itself. What a program starts or opens by a path of
its own nobody can tell from outside: that is named beside it, or added.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import shutil
from collections.abc import Sequence
from typing import Final

from wherry import errdefs
from wherry.hostimage import extras, ldcache, pythons
from wherry.hostimage.libraries import Libraries
from wherry.hostimage.tree import HostTree

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHELL: Final = "/bin/sh"

_PASSWD: Final = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP: Final = b"root:x:0:\nnogroup:x:65534:\n"
_ALWAYS: Final = "every image"
_NAMED: Final = "named"
_ADDED: Final = "added"
_LOADERS: Final = ("ld-", "ld.so", "ld64.so")
_LINE_MAX: Final = 256
_SCRIPTS_MAX: Final = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What an image is to hold: `programs` by name or path, `additions` as pairs of a path of the
    host and one in the image, `extras` by their names in `EXTRAS`."""

    programs: Sequence[str]
    additions: Sequence[tuple[str, str]] = ()
    extras: Sequence[str] = ()
    shell: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Collected:
    """What was found: the files, where the programs are, the environment that they need to find
    each other, and what their user should know."""

    tree: HostTree
    programs: list[str]
    environment: dict[str, str]
    warnings: list[str]


def collect(wanted: Wanted) -> Collected:
    """Find all that is wanted, and what that needs. Programs of the host are not run, but for
    Pythons, which are asked where their modules are, and busybox for its applets.

    Raises NotFound for a program, a library or a file that is not there, InvalidArgument for what
    cannot be in an image.
    """
    if not (wanted.programs or wanted.shell or wanted.additions):
        raise errdefs.invalid("an image of host programs needs at least one program")
    collector = _Collector(wanted)
    return collector.collect()


class _Collector:
    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._tree = HostTree()
        self._libraries = Libraries()
        self._warnings: list[str] = []
        self._done: set[str] = set()
        self._busybox = ""

    def collect(self) -> Collected:
        tree = self._tree
        programs = [pythons.behind_shim(_found(name)) for name in self._wanted.programs]
        if self._wanted.shell:
            programs.append(SHELL)
        self._add_base(programs)
        for path in programs:
            self._add_program(path, _NAMED)
        for source, destination in self._wanted.additions:
            self._add_addition(source, destination)
        if self._busybox:
            self._add_applets(self._busybox)
        environment = self._add_run_time()
        cache = self._libraries.cache.only(lambda path: os.path.realpath(path) in tree)
        if cache:
            tree.add_file(ldcache.PATH, cache, "the loader: where the libraries are")
        known = PATH.split(":")
        others = [where for where in map(os.path.dirname, programs) if where not in known]
        path = ":".join([*dict.fromkeys(others), *known])
        return Collected(tree, programs, {"PATH": path, **environment}, self._warnings)

    def _add_base(self, programs: Sequence[str]) -> None:
        tree = self._tree
        tree.add_directory("/tmp", _ALWAYS, 0o1777)  # the image's, not ours
        # root's alone, unless others are to find programs in there.
        shared = any(os.path.realpath(path).startswith("/root/") for path in programs)
        tree.add_directory("/root", _ALWAYS, 0o755 if shared else 0o700)
        for directory in ("/bin", "/sbin", "/lib", "/lib64"):
            # On a host whose /bin is /usr/bin, scripts still say /bin/sh.
            if os.path.islink(directory):
                tree.add_directory(tree.add_links_to(directory, _ALWAYS))
        added = {destination for _, destination in self._wanted.additions}
        for path, content in (("/etc/passwd", _PASSWD), ("/etc/group", _GROUP)):
            if path not in added:
                tree.add_file(path, content, _ALWAYS)

    def _add_program(self, path: str, why: str, depth: int = 0) -> None:
        real = self._tree.add_from_host(path, why)
        self._needs(real)
        interpreters = _interpreters(real)
        if interpreters and depth < _SCRIPTS_MAX:
            for interpreter in interpreters:
                self._add_program(interpreter, f"interpreter of {path}", depth + 1)
        elif pythons.is_python(real):
            self._add_python(path)
        elif os.path.basename(real) == "busybox":
            self._busybox = real

    def _needs(self, path: str, group: str = "") -> None:
        """Add the libraries of a file, if it is ELF."""
        if path in self._done:
            return
        self._done.add(path)
        for library, needer in self._libraries.needed_by(path).items():
            what = "loader" if os.path.basename(library).startswith(_LOADERS) else "library"
            self._tree.add_from_host(library, f"{what} of {needer}", group)

    def _add_python(self, path: str) -> None:
        """`path` is how it was called: a virtual environment's Python knows by that what it is."""
        for needed in pythons.files_of(path, self._warnings):
            if needed.path.endswith(".so") or ".so." in needed.path:
                try:
                    self._needs(needed.path)
                except errdefs.EngineError as error:
                    if error.kind is not errdefs.Kind.NOT_FOUND:
                        raise
                    if needed.mandatory:
                        self._warnings.append(f"left out: {error.message}")
                    continue  # a module that the host cannot import either
            self._tree.add_from_host(needed.path, needed.why, needed.group)

    def _add_applets(self, busybox: str) -> None:
        """The names that it has, where no other program has them."""
        tree = self._tree
        for applet in pythons.output_of(busybox, "--list").split():
            link = f"/bin/{applet}"
            if not tree.has(link):
                tree.add_link(link, busybox, "applet of busybox", "/bin")

    def _add_addition(self, source: str, destination: str) -> None:
        if not os.path.lexists(source):
            raise errdefs.not_found(f"{source} is not on this host")
        if not os.path.isdir(source):
            self._add_added_file(source, destination, "")
            for interpreter in _interpreters(source) if os.access(source, os.X_OK) else []:
                self._add_program(interpreter, f"interpreter of {source}")
            return
        self._tree.add_directory(destination, _ADDED)
        for where, directories, files in os.walk(source):
            directories.sort()
            below = os.path.normpath(os.path.join(destination, os.path.relpath(where, source)))
            self._tree.add_directory(below, _ADDED, group=destination)
            links = [name for name in directories if os.path.islink(os.path.join(where, name))]
            for name in sorted([*files, *links]):
                self._add_added_file(f"{where}/{name}", f"{below}/{name}", destination)

    def _add_added_file(self, source: str, path: str, group: str) -> None:
        if group and os.path.islink(source):
            self._tree.add_link(path, os.readlink(source), _ADDED, group)
        elif os.path.isfile(source):
            self._tree.add_copy(source, path, _ADDED, group)
            self._needs(os.path.realpath(source))
        elif not group:
            raise errdefs.invalid(f"{source} is neither a file nor a directory")

    def _add_run_time(self) -> dict[str, str]:
        """What libraries that are there open by themselves, and what was asked for by name."""
        environment: dict[str, str] = {}
        finder = extras.Finder(self._tree, self._libraries)
        for name in ("libc", "terminals", *dict.fromkeys(self._wanted.extras)):
            found = finder.find(name)
            environment.update(found.environment)
            self._warnings += found.warnings
            for path, content in found.made.items():
                if not self._tree.has(path):
                    self._tree.add_file(path, content, found.why)
            for path in found.files:
                self._needs(path)
                self._tree.add_from_host(path, found.why, found.group)
        return environment


def _found(program: str) -> str:
    if "/" in program:
        path: str | None = os.path.abspath(program)
    else:
        path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{PATH}")
    if path is None or not os.access(path, os.X_OK) or os.path.isdir(path):
        raise errdefs.not_found(f"this host has no program {program!r}{_instead_of(program, path)}")
    return path


def _instead_of(program: str, path: str | None) -> str:
    """What is wrong with it, or what was probably meant."""
    if path is not None and os.path.isdir(path):
        return ": it is a directory"
    if path is not None and os.path.exists(path):
        return ": it is not executable"
    folders = [os.path.dirname(path)] if path else os.environ.get("PATH", PATH).split(":")
    names: set[str] = set()
    for folder in folders:
        try:
            names.update(os.listdir(folder))
        except OSError:
            continue
    close = difflib.get_close_matches(os.path.basename(program), sorted(names), n=1, cutoff=0.7)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _interpreters(path: str) -> list[str]:
    """The programs that run a script: that of its first line and, for `env`, the one it is to
    find. None for what is no script."""
    try:
        with open(path, "rb") as file:
            line = file.readline(_LINE_MAX)
    except OSError as error:
        raise errdefs.from_os_error(f"reading {path}", error) from error
    words = os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []
    if not words:
        return []
    found = [_found(words[0])]
    if os.path.basename(words[0]) == "env":
        rest = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        found += [pythons.behind_shim(_found(word)) for word in rest[:1]]
    return found
