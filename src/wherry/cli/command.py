"""What a command is made of, and what it is given when it runs."""

from __future__ import annotations

import os

from wherry.cli.errors import FAILED, CliError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wherry.cli.flags import Flag, Parsed
    from wherry.client.address import Address, Wanted
    from wherry.client.engine import EngineClient

ANY_NUMBER = 1 << 30


class Command:
    """One command, declared in a module of `wherry.cli.commands` as `COMMAND`.

    `usage` is the line after `Usage:`; `examples` are whole command lines with a remark each.
    `minimum` and `maximum` bound the positional arguments. `interspersed` is false where options
    after the first argument belong to somebody else, as in `wherry run IMAGE ls -l`;
    `passed_on` is true where all words are somebody else's. `usage_code` is the exit code for a
    command line that makes no sense, where it is not Docker's.
    """

    def __init__(
        self,
        usage: str,
        summary: str,
        run: Callable[[Context, Parsed], int],
        *,
        flags: Sequence[Flag] = (),
        minimum: int = 0,
        maximum: int = 0,
        interspersed: bool = True,
        passed_on: bool = False,
        usage_code: int | None = None,
        examples: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.usage = usage
        self.summary = summary
        self.run = run
        self.flags = flags
        self.minimum = minimum
        self.maximum = maximum
        self.interspersed = interspersed
        self.passed_on = passed_on
        self.usage_code = usage_code
        self.examples = examples

    def check_arguments(self, name: str, count: int) -> None:
        """Raise UsageError, in Docker's words, if `name` can't have `count` arguments."""
        if self.minimum <= count <= self.maximum:
            return
        if self.maximum == 0:
            problem = "accepts no arguments"
        elif self.minimum == self.maximum:
            problem = f"requires {_arguments(self.minimum)}"
        elif count < self.minimum:
            problem = f"requires at least {_arguments(self.minimum)}"
        else:
            problem = f"accepts at most {_arguments(self.maximum)}"
        raise UsageError(f"'wherry {name}' {problem}", FAILED)


def _arguments(count: int) -> str:
    return f"{count} argument" if count == 1 else f"{count} arguments"


class Context:
    """What all commands share: the daemon's address, and a client when it is needed."""

    def __init__(self, host: str | None = None, options: Parsed | None = None) -> None:
        """`options` are those before the command; `host` is one of them."""
        self.host = host
        self.options = options
        self.may_start_daemon = True
        self._client: EngineClient | None = None

    @property
    def client(self) -> EngineClient:
        """A client of the daemon, which is started first if nobody named one and none listens."""
        if self._client is None:
            self._client = self._connect()
        return self._client

    def address(self) -> Address:
        """Where the daemon is, by options and environment. CliError if they make no sense."""
        from wherry.client.address import find_address

        wanted = self.host if self.options is None else _wanted(self.options)
        try:
            return find_address(wanted, os.environ)
        except ValueError as error:
            raise CliError(str(error)) from error

    def _connect(self) -> EngineClient:
        from wherry.client.address import UnixAddress
        from wherry.client.engine import EngineClient

        address = self.address()
        client = EngineClient(address, os.environ.get("DOCKER_API_VERSION", "").lstrip("v") or None)
        if isinstance(address, UnixAddress) and not address.chosen and self.may_start_daemon:
            from wherry.client.connection import listens

            if not listens(address.path):
                from wherry.cli.autostart import start_default_daemon

                start_default_daemon(address.path)
        return client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def _wanted(options: Parsed) -> Wanted:
    from wherry.client.address import Wanted

    return Wanted(
        options.text("host"),
        options.text("context"),
        options.text("config"),
        tls=options.switch("tls") if options.given("tls") else None,
        tlsverify=options.switch("tlsverify") if options.given("tlsverify") else None,
        tlscacert=options.text("tlscacert"),
        tlscert=options.text("tlscert"),
        tlskey=options.text("tlskey"),
    )
