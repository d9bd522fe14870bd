"""`wherry daemon` becomes `wherryd`; its subcommands look after one that runs."""

from __future__ import annotations

import os
import sys

from wherry.cli.command import ANY_NUMBER, Command, Context
from wherry.cli.daemons import NOT_RUNNING, UNKNOWN, find_daemon, log_of, socket_path
from wherry.cli.errors import CLI_FAILED, FAILED, CliError, engine_error
from wherry.cli.flags import Flag, Parsed, integer
from wherry.cli.output import complain, out, out_line

_PATIENCE = 30
_PIECE = 64 * 1024


def _run(context: Context, parsed: Parsed) -> int:
    program = os.path.join(os.path.dirname(sys.executable), "wherryd")
    host = ["-H", context.host] if context.host else []
    try:
        os.execv(program, [program, *host, *parsed.arguments])
    except OSError as error:
        raise CliError(f"can't execute {program}: {error.strerror}", CLI_FAILED) from error


def _status(context: Context, parsed: Parsed) -> int:
    path = socket_path(context)
    pid = find_daemon(path)
    facts: dict[str, object] = {"Running": bool(pid), "Address": f"unix://{path}"}
    code = 0 if pid else NOT_RUNNING
    if pid:
        facts |= {"PID": pid, "Log": _log_or_nothing(pid, path)}
        try:
            info = context.client.info()
        except engine_error() as error:
            facts["Problem"] = error.message
            code = UNKNOWN
        else:
            facts |= {
                "Version": info.get("ServerVersion"),
                "DataRoot": info.get("DockerRootDir"),
                "Containers": info.get("Containers"),
                "ContainersRunning": info.get("ContainersRunning"),
            }
    _show(facts, parsed.text("format"))
    return code


def _log_or_nothing(pid: int, path: str) -> str:
    try:
        return log_of(pid, path)
    except CliError:
        return ""  # another user's process


def _show(facts: dict[str, object], form: str) -> None:
    if form == "json":
        from wherry.client.jsontext import dumps

        out_line(dumps(facts))
    elif form:
        from wherry.cli.rendering import Documents

        out(Documents(form).render(facts) + "\n")
    elif not facts["Running"]:
        out_line(f"No daemon runs at {facts['Address']}")
    else:
        out_line(f"The daemon runs as process {facts['PID']}, at {facts['Address']}")
        if "Problem" in facts:
            out_line(f" Problem:     {facts['Problem']}")
        else:
            out_line(f" Version:     {facts['Version']}")
            out_line(f" Data root:   {facts['DataRoot']}")
            out_line(f" Containers:  {facts['Containers']}, {facts['ContainersRunning']} running")
        out_line(f" Log:         {facts['Log'] or 'not in a file'}")


def _stop(context: Context, parsed: Parsed) -> int:
    import select
    import signal

    path = socket_path(context)
    pid = find_daemon(path)
    if not pid:
        out_line(f"No daemon runs at unix://{path}")
        return 0
    seconds = parsed.number("timeout") or _PATIENCE
    try:
        process = os.pidfd_open(pid)
        signal.pidfd_send_signal(process, signal.SIGTERM)
    except ProcessLookupError:
        pass
    except OSError as error:
        raise CliError(f"can't stop the daemon, process {pid}: {error.strerror}") from error
    else:
        ending = select.poll()
        ending.register(process, select.POLLIN)
        if not ending.poll(seconds * 1000):
            raise CliError(f"the daemon, process {pid}, is still ending after {seconds} seconds")
    out_line(f"Stopped the daemon, process {pid}")
    return 0


def _logs(context: Context, parsed: Parsed) -> int:
    path = socket_path(context)
    pid = find_daemon(path)
    log = log_of(pid, path)
    if not log:
        complain(f"the daemon, process {pid}, logs to no file; under systemd: journalctl -u wherry")
        return FAILED
    try:
        with open(log, "rb", buffering=0) as file:
            _write(_last_lines(file.read(), parsed))
            if parsed.switch("follow"):
                _follow(file.fileno(), log)
    except OSError as error:
        raise CliError(f"can't read {log}: {error.strerror}") from error
    return 0


def _last_lines(text: bytes, parsed: Parsed) -> bytes:
    wanted = parsed.text("tail")
    if wanted == "all":
        return text
    count = int(wanted)
    return b"".join(text.splitlines(keepends=True)[-count:]) if count else b""


def _follow(fd: int, path: str) -> None:
    """Until Ctrl-C, or until the file is another's: a daemon that starts may begin a new one."""
    import time

    while True:
        while data := os.read(fd, _PIECE):
            _write(data)
        if not os.path.exists(path) or not os.path.samestat(os.stat(path), os.fstat(fd)):
            return
        time.sleep(0.2)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def _count(text: str) -> str:
    if text != "all" and not text.isdecimal():
        raise ValueError("must be a number, or all")
    return text


DAEMON = Command(
    "wherry daemon [OPTIONS OF WHERRYD]",
    "Run the daemon, as wherryd does",
    _run,
    maximum=ANY_NUMBER,
    interspersed=False,
    passed_on=True,
    examples=(
        ("wherry daemon", "in the foreground, with its defaults"),
        ("wherry daemon --data-root /srv/wherry", "with its data elsewhere"),
    ),
)
STATUS = Command(
    "wherry daemon status [OPTIONS]",
    "Say whether the daemon runs, and which",
    _status,
    flags=(Flag("format", "f", "'json', or a template in Go's syntax", "string"),),
    examples=(
        ("wherry daemon status", "the exit code is 3 if none runs, and 4 if nobody can tell"),
        ("wherry daemon status --format '{{.PID}}'", "its process ID"),
    ),
)
STOP = Command(
    "wherry daemon stop [OPTIONS]",
    "Stop the daemon; containers go on",
    _stop,
    flags=(
        Flag(
            "timeout", "t", "Seconds to wait for its end", "int", convert=integer, default=_PATIENCE
        ),
    ),
    examples=(
        ("wherry daemon stop", "the next command starts it again"),
        ("wherry -H unix:///srv/w.sock daemon stop -t 5", "another one, in 5 seconds"),
    ),
)
LOGS = Command(
    "wherry daemon logs [OPTIONS]",
    "Show what the daemon has logged",
    _logs,
    flags=(
        Flag("follow", "f", "Follow what is being logged"),
        Flag("tail", "n", "Lines from the end", "string", convert=_count, default="all"),
    ),
    examples=(
        ("wherry daemon logs -n 20", "the last lines, also of a daemon that has ended"),
        ("wherry daemon logs -f", "and what comes, until Ctrl-C"),
    ),
)
