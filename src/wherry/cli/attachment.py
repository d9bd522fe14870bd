"""What `run`, `start --attach` and `attach` share: from the attach call to the exit code."""

from __future__ import annotations

from wherry.cli.detach import DetachKeys, parse_keys
from wherry.cli.errors import CLI_FAILED, FAILED, CliError, engine_error
from wherry.cli.output import err_line
from wherry.cli.session import STDIN_FD, DetachedError, Session
from wherry.cli.signals import Signals
from wherry.cli.terminal import RawMode, is_terminal
from wherry.client import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.client.engine import EngineClient, Waiting
    from wherry.failure import EngineError


class Attachment:
    """How to be attached: which streams, with what keys and signals."""

    def __init__(
        self,
        *,
        tty: bool,
        stdin: bool,
        stdout: bool = True,
        stderr: bool = True,
        proxied: bool = True,
        keys: str = "",
    ) -> None:
        self.tty = tty
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.proxied = proxied
        self.keys = keys
        try:
            self.key_bytes = parse_keys(keys)
        except ValueError as error:
            raise CliError(f"invalid detach keys: {error}", CLI_FAILED) from error

    def check_terminal(self) -> None:
        """Raise CliError if the container wants a terminal's keys and there is no terminal."""
        if self.tty and self.stdin and not is_terminal(STDIN_FD):
            raise CliError("the input device is not a TTY")


def follow(
    client: EngineClient,
    ref: str,
    how: Attachment,
    waiting: Waiting,
    start: Callable[[], None] | None,
) -> int:
    """Attach to `ref`, `start` it if it isn't running yet, and stay until it has ended.

    Returns the container's exit code, or 0 if the user detached. The terminal is as before
    afterwards, whatever happened.
    """
    call = calls.attach_container(
        ref,
        stdin=how.stdin,
        stdout=how.stdout,
        stderr=how.stderr,
        detach_keys=how.keys,
    )
    with Signals(forwarded=how.proxied) as signals:
        stream, early = client.attach(call)
        raw = how.tty and how.stdin and is_terminal(STDIN_FD)
        session = Session(
            client,
            ref,
            stream,
            early,
            tty=how.tty,
            stdin=how.stdin,
            proxied=how.proxied,
            keys=DetachKeys(how.key_bytes) if raw else None,
        )
        try:
            if raw:
                with RawMode(STDIN_FD):
                    _stay(session, signals, how, waiting, start)
            else:
                _stay(session, signals, how, waiting, start)
        except DetachedError:
            err_line("read escape sequence")
            return 0
        finally:
            stream.close()
    return exit_code(waiting, ref, FAILED if start is None else CLI_FAILED)


def _stay(
    session: Session,
    signals: Signals,
    how: Attachment,
    waiting: Waiting,
    start: Callable[[], None] | None,
) -> None:
    if start is not None:
        start()
    if how.tty:
        session.resize_soon(by_way_of_another=start is None)
    session.run(signals, waiting)


def exit_code(waiting: Waiting, ref: str, lost: int = CLI_FAILED) -> int:
    """The exit code that a wait for `ref` answered.

    Raises CliError for an error instead of an exit, and, with the code `lost`, if the daemon has
    gone away.
    """
    try:
        result = waiting.result()
    except engine_error() as error:
        raise CliError(_left_alone(error, ref), lost) from error
    problem = result.get("Error")
    if problem and problem.get("Message"):
        raise CliError(f"error waiting for container: {problem['Message']}", CLI_FAILED)
    return result["StatusCode"]


def _left_alone(error: EngineError, ref: str) -> str:
    """A daemon that ends, or is ended, takes no container with it."""
    name = ref[:12] if len(ref) == 64 else ref
    return (
        f"{error.message}\nThe daemon has ended or was restarted, and container {name} goes on "
        f"without it: with a daemon 'wherry attach {name}' joins it again"
    )
