"""Signals as bytes on a pipe, so that one `poll` waits for them and for everything else."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType

    Handler = Callable[[int, FrameType | None], object] | int | None
else:
    import _signal as signal  # the same functions without enumerations, 4 ms sooner

WINDOW_CHANGED = signal.SIGWINCH
TERMINATING = (signal.SIGINT, signal.SIGTERM)

# Not a message from anybody: what the kernel says about this process itself, and what job control
# of a terminal's background needs.
_OWN = frozenset(
    int(number)
    for number in (
        signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG,
        signal.SIGWINCH, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
        signal.SIGTTIN, signal.SIGTTOU, signal.SIGPROF, signal.SIGVTALRM,
    )
)  # fmt: skip


class Signals:
    """While entered, the caught signals do nothing but arrive on `fileno`; then all is as before.

    With `forwarded` every signal that somebody may send is caught, otherwise only those whose
    default would end this process without restoring the terminal.
    """

    def __init__(self, *, forwarded: bool) -> None:
        wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
        self._numbers = [signal.SIGWINCH]
        self._numbers += (
            [number for number in signal.valid_signals() if number not in _OWN]
            if forwarded
            else wanted
        )
        self._before: dict[int, Handler] = {}
        self._previous_fd = -1
        self._read_fd = -1
        self._write_fd = -1

    def __enter__(self) -> Signals:
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._previous_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in self._numbers:
            self._before[number] = signal.signal(number, _arrive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._previous_fd)
        os.close(self._read_fd)
        os.close(self._write_fd)

    def fileno(self) -> int:
        return self._read_fd

    def read(self) -> bytes:
        """The numbers of the signals that came since; never waits."""
        try:
            return os.read(self._read_fd, 256)
        except BlockingIOError:
            return b""


def _arrive(number: int, frame: FrameType | None) -> None:
    """The number is on the pipe already."""
