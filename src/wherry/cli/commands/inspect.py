"""`wherry inspect`: everything about a container or an image, as the daemon says it."""

from __future__ import annotations

from wherry.cli.command import ANY_NUMBER, Command, Context
from wherry.cli.errors import FAILED, CliError, engine_error, status_of, told
from wherry.cli.flags import Flag, Parsed
from wherry.cli.output import err_line, out, out_line
from wherry.client import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.client.engine import EngineClient

TYPES = ("container", "image")
# Docker inspects these as well.
OTHER_TYPES = ("config", "network", "node", "plugin", "secret", "service", "task", "volume")
FORMAT_HELP = "Format output: 'json', or a template in Go's syntax such as '{{.Id}}'"


def _run(context: Context, parsed: Parsed) -> int:
    kind = parsed.text("type")
    if kind in OTHER_TYPES:
        raise CliError(f"inspecting objects of type {kind!r} is not supported yet")
    if kind and kind not in TYPES:
        raise CliError(f'unknown type: "{kind}": must be one of "container", "image"')
    return _inspect(context, parsed, kind, parsed.switch("size"))


def _inspect(context: Context, parsed: Parsed, kind: str, size: bool) -> int:
    render = _renderer(parsed.text("format"))
    texts: list[str] = []
    code = 0
    for ref in parsed.arguments:
        try:
            document = _find(context.client, ref, kind, size)
        except engine_error() as error:
            err_line(told(error))
            code = FAILED
            continue
        texts.append(document)
    _show(texts, parsed.text("format"), render)
    return code


def _find(client: EngineClient, ref: str, kind: str, size: bool) -> str:
    """The document as text. Raises EngineError, NotFound if nothing has that name."""
    from wherry.client.errors import missing

    searched = [kind] if kind else list(TYPES)
    for one in searched:
        call = (
            calls.inspect_container(ref, size) if one == "container" else calls.inspect_image(ref)
        )
        try:
            return client.request(call).read().decode("utf-8", "surrogateescape").strip()
        except engine_error() as error:
            # A reference that one type can't even have may be another's.
            if kind or status_of(error) not in (400, 404):
                raise
    raise missing(f"no such object: {ref}")


def _renderer(form: str) -> Callable[[object], str] | None:
    if form in ("", "json"):
        return None
    from wherry.cli.rendering import Documents

    return Documents(form.replace("\\t", "\t").replace("\\n", "\n")).render


def _show(texts: list[str], form: str, render: Callable[[object], str] | None) -> None:
    if form == "json":
        from wherry.cli.jsonindent import compact

        out_line(compact(f"[{','.join(texts)}]"))
    elif render is None:
        from wherry.cli.jsonindent import indent

        out_line(indent(f"[{','.join(texts)}]"))
    else:
        from wherry.client.jsontext import loads

        shown = ""
        try:
            for text in texts:
                shown += render(loads(text)) + "\n"
        finally:
            out(shown or "\n")


_FORMAT = Flag("format", "f", FORMAT_HELP, "string")
_SIZE = Flag("size", "s", "Show the sizes of containers' files")

INSPECT = Command(
    "wherry inspect [OPTIONS] NAME|ID [NAME|ID...]",
    "Show everything about containers and images",
    _run,
    minimum=1,
    maximum=ANY_NUMBER,
    flags=(
        _FORMAT,
        _SIZE,
        Flag("type", "", "Only objects of this type: container or image", "string"),
    ),
    examples=(
        ("wherry inspect -f '{{.State.Pid}}' web", "one value"),
        ("wherry inspect --type image busybox", "the image, though a container has its name"),
    ),
)

INSPECT_CONTAINER = Command(
    "wherry container inspect [OPTIONS] CONTAINER [CONTAINER...]",
    "Show everything about containers",
    lambda context, parsed: _inspect(context, parsed, "container", parsed.switch("size")),
    minimum=1,
    maximum=ANY_NUMBER,
    flags=(_FORMAT, _SIZE),
    examples=(
        ("wherry container inspect -f '{{.State.Pid}}' web", "one value"),
        ("wherry container inspect -s web", "with the sizes of its files"),
    ),
)

INSPECT_IMAGE = Command(
    "wherry image inspect [OPTIONS] IMAGE [IMAGE...]",
    "Show everything about images",
    lambda context, parsed: _inspect(context, parsed, "image", False),
    minimum=1,
    maximum=ANY_NUMBER,
    flags=(_FORMAT, Flag("platform", "", "", "string", refused="images here have one platform")),
    examples=(
        ("wherry image inspect busybox", "all of it"),
        ("wherry image inspect -f '{{json .Config}}' busybox", "what its containers begin with"),
    ),
)
