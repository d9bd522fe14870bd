"""Starts the daemon when none listens on the default socket, once however many ask."""

from __future__ import annotations

import fcntl
import os
import sys
import time

from wherry.cli.errors import CLI_FAILED, CliError
from wherry.cli.output import complain
from wherry.client.connection import listens

LOG_DIRECTORY = "/var/log/wherry"
DEADLINE = 15.0
# A log that is longer when a daemon starts is put aside as wherryd.log.1, in place of the last one.
LONG_LOG = 10 * 1024 * 1024


def start_default_daemon(
    path: str, program: str | None = None, log_directory: str = LOG_DIRECTORY
) -> None:
    """Start `wherryd` and return when it listens at `path`, the default socket.

    A lock beside the socket makes racing callers take turns: the second finds the first one's
    daemon. Raises CliError if this user can't start one, or if it ends before it listens.
    """
    directory = os.path.dirname(path)
    program = program or os.path.join(os.path.dirname(sys.executable), "wherryd")
    if os.geteuid() != 0:
        raise CliError(
            f"no daemon listens at {path}, and only root can start one "
            "(start wherryd as root, or name another daemon with -H)",
            CLI_FAILED,
        )
    if not os.access(program, os.X_OK):
        raise CliError(f"no daemon listens at {path}, and {program} is no program", CLI_FAILED)
    try:
        os.makedirs(directory, mode=0o755, exist_ok=True)
        lock = os.open(
            os.path.join(directory, "start.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise CliError(f"can't start the daemon: {error}", CLI_FAILED) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not listens(path):
            _start(path, program, log_directory)
    finally:
        os.close(lock)


def _start(path: str, program: str, log_directory: str) -> None:
    log = _begin_log(path, log_directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        program,
        [program],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o640),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    deadline = time.monotonic() + DEADLINE
    while not listens(path):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            raise CliError(f"the daemon ended with code {code}: {_last_line(log)}", CLI_FAILED)
        if time.monotonic() > deadline:
            raise CliError(
                f"started the daemon (pid {pid}), but it does not listen at {path} after "
                f"{DEADLINE:.0f} seconds (its log is {log})",
                CLI_FAILED,
            )
        time.sleep(0.005)
    complain(f"started the daemon, as none was running (pid {pid}, log {log})")


def default_log(path: str, log_directory: str = LOG_DIRECTORY) -> str:
    """Where a daemon that is started for the socket `path` logs to."""
    if not os.path.isdir(log_directory):
        log_directory = os.path.dirname(path)
    return os.path.join(log_directory, "wherryd.log")


def _begin_log(path: str, log_directory: str) -> str:
    try:
        os.makedirs(log_directory, mode=0o755, exist_ok=True)
    except OSError:
        log_directory = os.path.dirname(path)
    log = default_log(path, log_directory)
    try:
        if os.path.getsize(log) > LONG_LOG:
            os.replace(log, f"{log}.1")
    except OSError:
        return log  # the first one
    return log


def _last_line(log: str) -> str:
    try:
        with open(log, encoding="utf-8", errors="replace") as lines:
            lines.seek(max(0, os.path.getsize(log) - 4096))
            text = lines.read().strip()
    except OSError:
        return f"see {log}"
    return (text.splitlines() or ["it said nothing"])[-1]
