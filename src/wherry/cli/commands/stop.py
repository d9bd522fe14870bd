"""`wherry stop`, `wherry restart` and `wherry kill`."""

from __future__ import annotations

from wherry.cli.command import ANY_NUMBER, Command, Context
from wherry.cli.each import on_each
from wherry.cli.flags import Flag, Parsed, integer
from wherry.cli.output import out_line


def _stop(context: Context, parsed: Parsed) -> int:
    timeout, signal = parsed.number("timeout"), parsed.text("signal")

    def stop(ref: str) -> None:
        context.client.stop(ref, timeout, signal)
        out_line(ref)

    return on_each(parsed.arguments, stop)


def _restart(context: Context, parsed: Parsed) -> int:
    timeout, signal = parsed.number("timeout"), parsed.text("signal")

    def restart(ref: str) -> None:
        context.client.restart(ref, timeout, signal)
        out_line(ref)

    return on_each(parsed.arguments, restart)


def _kill(context: Context, parsed: Parsed) -> int:
    def kill(ref: str) -> None:
        context.client.kill(ref, parsed.text("signal"))
        out_line(ref)

    return on_each(parsed.arguments, kill)


_ENDING = (
    Flag("signal", "s", "Signal to send to the container", "string"),
    Flag("time", "", "", "int", convert=integer, hidden=True, target="timeout"),
    Flag(
        "timeout", "t", "Seconds to wait before killing the container; -1 for ever", "int",
        convert=integer,
    ),
)  # fmt: skip

STOP = Command(
    "wherry stop [OPTIONS] CONTAINER [CONTAINER...]",
    "Stop one or more running containers",
    _stop,
    minimum=1,
    maximum=ANY_NUMBER,
    flags=_ENDING,
    examples=(
        ("wherry stop web", "ask it to end, and kill it after its time"),
        ("wherry stop -t 1 -s INT web db", "in a hurry"),
    ),
)
RESTART = Command(
    "wherry restart [OPTIONS] CONTAINER [CONTAINER...]",
    "Restart one or more containers",
    _restart,
    minimum=1,
    maximum=ANY_NUMBER,
    flags=_ENDING,
    examples=(
        ("wherry restart web", "stop it and start it again; one that has ended is started"),
        ("wherry restart -t 1 web db", "kill what has not ended after a second"),
    ),
)
KILL = Command(
    "wherry kill [OPTIONS] CONTAINER [CONTAINER...]",
    "Kill one or more running containers",
    _kill,
    minimum=1,
    maximum=ANY_NUMBER,
    flags=(Flag("signal", "s", "Signal to send instead of KILL", "string"),),
    examples=(
        ("wherry kill web", "end it at once"),
        ("wherry kill -s HUP web", "let it read its configuration again"),
    ),
)
