"""`wherry attach`: this terminal joins a running container."""

from __future__ import annotations

from wherry.cli.attachment import Attachment, follow
from wherry.cli.command import Command, Context
from wherry.cli.errors import CliError
from wherry.cli.flags import Flag, Parsed


def _run(context: Context, parsed: Parsed) -> int:
    ref = parsed.arguments[0]
    client = context.client
    container = client.inspect(ref)
    state, config = container["State"], container["Config"]
    if not state["Running"]:
        raise CliError("you cannot attach to a stopped container, start it first")
    if state["Paused"]:
        raise CliError("you cannot attach to a paused container, unpause it first")
    if state["Restarting"]:
        raise CliError("you cannot attach to a restarting container, wait until it is running")
    how = Attachment(
        tty=config["Tty"],
        stdin=config["OpenStdin"] and not parsed.switch("no-stdin"),
        proxied=parsed.switch("sig-proxy"),
        keys=parsed.text("detach-keys"),
    )
    how.check_terminal()
    # The full ID: what is attached to and waited for stays the same if somebody renames it.
    identity = container["Id"]
    return follow(client, identity, how, client.wait(identity), None)


ATTACH = Command(
    "wherry attach [OPTIONS] CONTAINER",
    "Attach this terminal to a running container",
    _run,
    minimum=1,
    maximum=1,
    flags=(
        Flag("detach-keys", "", "The key sequence that detaches", "string"),
        Flag("no-stdin", "", "Do not attach STDIN"),
        Flag("sig-proxy", "", "Pass signals on to the process", default=True),
    ),
    examples=(
        ("wherry attach shell", "Ctrl-P Ctrl-Q leaves it running"),
        ("wherry attach --no-stdin --sig-proxy=false web", "look on, without touching"),
    ),
)
