"""`wherry start`: containers that were created or have ended."""

from __future__ import annotations

from wherry.cli.command import ANY_NUMBER, Command, Context
from wherry.cli.errors import CliError, engine_error, told
from wherry.cli.flags import Flag, Parsed
from wherry.cli.output import err_line, out_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.client.engine import EngineClient


def _run(context: Context, parsed: Parsed) -> int:
    attached = parsed.switch("attach") or parsed.switch("interactive")
    if attached and len(parsed.arguments) > 1:
        raise CliError("you cannot start and attach multiple containers at once")
    if attached:
        return _start_attached(context.client, parsed, parsed.arguments[0])
    failed: list[str] = []
    for ref in parsed.arguments:
        try:
            context.client.start(ref, parsed.text("detach-keys"))
        except engine_error() as error:
            err_line(told(error))
            failed.append(ref)
        else:
            out_line(ref)
    if failed:
        raise CliError(f"failed to start containers: {', '.join(failed)}")
    return 0


def _start_attached(client: EngineClient, parsed: Parsed, ref: str) -> int:
    from wherry.cli.attachment import Attachment, follow

    container = client.inspect(ref)
    identity = container["Id"]
    config = container["Config"]
    how = Attachment(
        tty=config["Tty"],
        stdin=parsed.switch("interactive") and config["OpenStdin"],
        proxied=parsed.switch("sig-proxy"),
        keys=parsed.text("detach-keys"),
    )
    how.check_terminal()
    removed = container["HostConfig"]["AutoRemove"]
    waiting = client.wait(identity, "removed" if removed else "next-exit")
    return follow(client, identity, how, waiting, lambda: client.start(identity))


START = Command(
    "wherry start [OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers",
    _run,
    minimum=1,
    maximum=ANY_NUMBER,
    flags=(
        Flag("attach", "a", "Attach STDOUT/STDERR and forward signals"),
        Flag("checkpoint", "", "", "string", refused="there are no checkpoints"),
        Flag("checkpoint-dir", "", "", "string", refused="there are no checkpoints"),
        Flag("detach-keys", "", "The key sequence that detaches", "string"),
        Flag("interactive", "i", "Attach the container's STDIN"),
        Flag("sig-proxy", "", "Pass signals on to the process", default=True),
    ),
    examples=(
        ("wherry start web db", "start two containers"),
        ("wherry start -ai job", "start one and stay with it"),
    ),
)
