"""That one engine, and no second, owns a folder: a daemon's, or a program's own."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from wherry import errdefs
from wherry.errdefs import EngineError, Kind

LOCK_FILE: Final = "wherryd.lock"
_MOST: Final = 4096


class InUseError(EngineError):
    """Another has the folder: process `pid`, 0 if that is unknown, which has noted `notes`."""

    def __init__(self, message: str, folder: Path, pid: int, notes: Mapping[str, str]) -> None:
        super().__init__(Kind.CONFLICT, message)
        self.folder = folder
        self.pid = pid
        self.notes = notes


def _in_use(folder: Path, file: int) -> InUseError:
    pid, _, notes = _read(file)
    who = "a program with an engine of its own" if "program" in notes else "another wherryd"
    return InUseError(
        f"{folder} is in use by {who}, process {pid or 'unknown'} "
        "(stop it, or choose another folder)",
        folder,
        pid,
        notes,
    )


class Lock:
    """A lock on a folder that lasts as long as its holder, however that ends.

    The kernel drops it with the process. The file says who that is: the process, the tick it
    started at and the boot, which together are never reused, and then what the holder notes, as
    `name=value`. It stays when the holder has gone: `before` is what the last one of this boot has
    noted.
    """

    def __init__(self, folder: Path, notes: Mapping[str, str] | None = None) -> None:
        """Take it, and note `notes`, or what was noted before.

        Raises InUseError if it is taken, EngineError if the folder can't be used.
        """
        self._path = folder / LOCK_FILE
        try:
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._file = self._take(folder)
        except OSError as error:
            raise errdefs.from_os_error(f"opening {self._path}", error) from error
        boot, before = _read(self._file)[1:]
        self.before: Mapping[str, str] = before if boot == _boot() else {}
        self.note(self.before if notes is None else notes)

    def _take(self, folder: Path) -> int:
        """The locked file. One that its holder has just removed is nobody's lock any more."""
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                error = _in_use(folder, file)
                os.close(file)
                raise error from None
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self._path), os.fstat(file)):
                    return file
            os.close(file)

    def note(self, notes: Mapping[str, str]) -> None:
        """Say this of the holder, in the place of what was said before."""
        start = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
        lines = [str(os.getpid()), start, _boot(), *(f"{name}={notes[name]}" for name in notes)]
        text = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
        # In this order: who looks meanwhile finds the process in any case.
        os.pwrite(self._file, text, 0)
        os.ftruncate(self._file, len(text))

    def release(self, *, remove: bool = False) -> None:
        """Let go of it; `remove` the file too, of a folder that is given up."""
        if remove:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        # A process that this one has forked may have the file open as well.
        fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)


def _read(file: int) -> tuple[int, str, dict[str, str]]:
    """(pid, boot, notes); 0 and nothing if it says none."""
    lines = os.pread(file, _MOST, 0).decode("utf-8", "surrogateescape").split("\n")
    pid = int(lines[0]) if lines[0].isdecimal() else 0
    boot = lines[2] if len(lines) > 2 else ""
    pairs = (line.partition("=") for line in lines[3:])
    return pid, boot, {name: value for name, equals, value in pairs if equals}


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
