"""`wherry run` and `wherry create`."""

from __future__ import annotations

import os

from wherry.cli.command import ANY_NUMBER, Command, Context
from wherry.cli.create.flags import CREATE_FLAGS, RUN_FLAGS
from wherry.cli.create.request import Request, read_request
from wherry.cli.errors import CLI_FAILED, CliError, engine_error, exit_code_of, told
from wherry.cli.output import err_line, out_line
from wherry.cli.references import split_tag, with_tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.flags import Parsed
    from wherry.client.engine import EngineClient
    from wherry.failure import EngineError

PULL_POLICIES = ("always", "missing", "never")


def _run(context: Context, parsed: Parsed) -> int:
    try:
        return _run_container(context, parsed)
    except engine_error() as error:
        raise CliError(_refusal(error), exit_code_of(error.message)) from error


def _refusal(error: EngineError) -> str:
    from wherry.client.refusals import DaemonError

    if not isinstance(error, DaemonError):
        return error.message  # no option could have helped
    return f"{told(error)}\n\nRun 'wherry run --help' for more information"


def _run_container(context: Context, parsed: Parsed) -> int:
    detached = parsed.switch("detach")
    if detached and parsed.texts("attach"):
        raise CliError("conflicting options: cannot specify both --attach and --detach")
    request = read_request(parsed, detached=detached)
    if detached:
        identity = _create(context.client, parsed, request)
        context.client.start(identity)
        out_line(identity)
        return 0
    return _run_attached(context, parsed, request)


def _run_attached(context: Context, parsed: Parsed, request: Request) -> int:
    from wherry.cli.attachment import Attachment, exit_code, follow
    from wherry.cli.terminal import window_size

    how = Attachment(
        tty=parsed.switch("tty"),
        stdin=request.stdin,
        stdout=request.stdout,
        stderr=request.stderr,
        proxied=parsed.switch("sig-proxy"),
        keys=parsed.text("detach-keys"),
    )
    how.check_terminal()
    if how.tty:
        host = request.body["HostConfig"]
        assert isinstance(host, dict)
        # The terminal has its size before the program asks for it.
        host["ConsoleSize"] = list(window_size(1))
    client = context.client
    identity = _create(client, parsed, request)
    waiting = client.wait(identity, "removed" if parsed.switch("rm") else "next-exit")
    if how.stdin or how.stdout or how.stderr:
        return follow(client, identity, how, waiting, lambda: client.start(identity))
    client.start(identity)
    return exit_code(waiting, identity)


def _run_create(context: Context, parsed: Parsed) -> int:
    request = read_request(parsed, detached=False)
    out_line(_create(context.client, parsed, request))
    return 0


def _create(client: EngineClient, parsed: Parsed, request: Request) -> str:
    """Create the container, with its image fetched if that is allowed; its ID."""
    pull = parsed.text("pull")
    if pull not in PULL_POLICIES:
        raise CliError(
            f'invalid pull option: {pull!r}: must be one of "always", "missing" or "never"',
            CLI_FAILED,
        )
    cidfile = parsed.text("cidfile")
    if cidfile and os.path.exists(cidfile):
        raise CliError(
            "container ID file found, make sure the other container isn't running or delete "
            f"{cidfile}",
            CLI_FAILED,
        )
    image = parsed.arguments[0]
    if pull == "always":
        _pull(client, parsed, image)
    try:
        created = client.create_container(
            request.body, parsed.text("name"), parsed.text("platform")
        )
    except engine_error() as error:
        if pull != "missing" or not _image_missing(error.message):
            raise
        err_line(f"Unable to find image '{with_tag(image)}' locally")
        _pull(client, parsed, image)
        created = client.create_container(
            request.body, parsed.text("name"), parsed.text("platform")
        )
    for warning in created.get("Warnings") or []:
        err_line(f"WARNING: {warning}")
    if cidfile:
        _write_cidfile(cidfile, created["Id"])
    return created["Id"]


def _image_missing(message: str) -> bool:
    return "no such image" in message.lower()


def _write_cidfile(path: str, identity: str) -> None:
    try:
        with open(path, "x", encoding="ascii") as file:
            file.write(identity)
    except OSError as error:
        raise CliError(
            f"failed to write the container ID to {path}: {error}", CLI_FAILED
        ) from error


def _pull(client: EngineClient, parsed: Parsed, image: str) -> None:
    from wherry.cli.progress import show_messages

    repository, tag = split_tag(image)
    messages = client.pull(repository, tag or "latest", parsed.text("platform"))
    show_messages(messages, to_stderr=True, quiet=parsed.switch("quiet"))


RUN = Command(
    "wherry run [OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run a new container from an image",
    _run,
    minimum=1,
    maximum=ANY_NUMBER,
    interspersed=False,
    flags=RUN_FLAGS,
    examples=(
        ("wherry run --rm -it busybox sh", "a shell to look around in"),
        ("wherry run -d --name web -m 64m -v /srv:/srv:ro busybox httpd -f", "a server, limited"),
    ),
)
CREATE = Command(
    "wherry create [OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a new container",
    _run_create,
    minimum=1,
    maximum=ANY_NUMBER,
    interspersed=False,
    flags=CREATE_FLAGS,
    examples=(
        ("wherry create --name job busybox sleep 10", "made now, started later"),
        ("wherry start -a $(wherry create busybox echo hi)", "the two steps of run"),
    ),
)
