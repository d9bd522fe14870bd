"""`wherry image from-host`: an image of programs of this host, without a registry."""

from __future__ import annotations

import os

from wherry.cli.command import ANY_NUMBER, Command, Context
from wherry.cli.errors import CliError
from wherry.cli.flags import FORMAT_HELP, Flag, Parsed
from wherry.cli.output import err_bytes, err_line, out_bytes, out_line
from wherry.cli.terminal import is_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.cli.listing import Row
    from wherry.hostimage import Archive, Collected
    from wherry.hostimage.tree import Node

_COLUMNS = ("Path", "Size", "Why")
_HEADERS = {"Path": "PATH", "Size": "SIZE", "Why": "NEEDED BY", "Bytes": "BYTES"}


def _run(context: Context, parsed: Parsed) -> int:
    from wherry.hostimage import Wanted, collect, image_name

    dry = parsed.switch("dry-run")
    output = parsed.text("output")
    names = [image_name(name) for name in parsed.texts("tag")]
    if not (names or dry):
        raise CliError("an image needs a name: -t NAME (or --dry-run, to see what it would hold)")
    if output == "-" and is_terminal(1):
        raise CliError("refusing to write an archive to a terminal: -o FILE, or redirect")
    wanted = Wanted(
        parsed.arguments,
        [_addition(text) for text in parsed.texts("add")],
        [name for text in parsed.texts("with") for name in text.split(",")],
        parsed.switch("shell"),
    )
    found = collect(wanted)
    for warning in found.warnings:
        err_line(f"WARNING: {warning}")
    if dry:
        _show(found, parsed)
        return 0
    archive = _archive(found, names, parsed)
    if output:
        _write(archive, output)
    else:
        _load(context, archive, parsed.switch("quiet"))
    if parsed.switch("quiet") and output != "-":
        out_line(archive.image_id)
    return 0


def _addition(text: str) -> tuple[str, str]:
    """`FILE[:DEST]`; a DEST that ends with a slash is the directory to put it into."""
    source, _, destination = text.partition(":")
    if not source:
        raise CliError(f"--add {text}: it is written FILE[:DEST]")
    path = os.path.abspath(source)
    if not destination:
        return path, path
    if not destination.startswith("/"):
        raise CliError(f"--add {text}: {destination} is not an absolute path")
    if destination.endswith("/"):
        destination += os.path.basename(path)
    return path, os.path.normpath(destination)


def _archive(found: Collected, names: list[str], parsed: Parsed) -> Archive:
    from wherry.hostimage import Archive, RunConfig

    environment = dict(found.environment)
    for text in parsed.texts("env"):
        name, equals, value = text.partition("=")
        environment[name] = value if equals else os.environ.get(name, "")
    labels = dict(text.partition("=")[::2] for text in parsed.texts("label"))
    entrypoint = _words(parsed, "entrypoint")
    cmd = _words(parsed, "cmd")
    if not (entrypoint or parsed.given("cmd")):
        cmd = found.programs[:1]
        if cmd and os.path.basename(cmd[0]) == "busybox":
            cmd = ["sh"]
    run = RunConfig(
        environment,
        cmd,
        entrypoint,
        labels,
        parsed.text("user"),
        parsed.text("workdir") or "/",
    )
    said = " ".join(["wherry image from-host", *parsed.arguments])
    return Archive(found.tree, run, names, said)


def _words(parsed: Parsed, name: str) -> list[str]:
    """A list in JSON, as in a Dockerfile, or words as a shell takes them apart."""
    import json
    import shlex

    text = parsed.text(name)
    try:
        words = json.loads(text) if text.lstrip().startswith("[") else shlex.split(text)
    except ValueError as error:
        raise CliError(f"--{name} {text}: {error}") from error
    if not all(isinstance(word, str) for word in words):
        raise CliError(f"--{name} {text}: it is no list of strings")
    return list(words)


def _show(found: Collected, parsed: Parsed) -> None:
    """What would go in, a directory that came whole as one line unless all are asked for."""
    from wherry.cli.listing import print_rows
    from wherry.cli.units import human_size

    nodes = [node for node in found.tree.nodes() if node.why and node.entry.kind != "dir"]
    each = parsed.switch("no-trunc") or bool(parsed.text("format"))
    groups: dict[tuple[str, str], list[Node]] = {}
    for node in nodes:
        whole = not each and node.group and node.path.startswith(f"{node.group}/")
        key = (f"{node.group}/", node.why) if whole else (node.path, "")
        groups.setdefault(key, []).append(node)
    rows = [_row(path, members) for (path, _), members in groups.items()]
    print_rows(rows, parsed.text("format"), _COLUMNS, _HEADERS)
    if not parsed.text("format"):
        size = human_size(sum(node.entry.size for node in nodes), 3)
        err_line(f"{len(nodes)} files, {size}")


def _row(path: str, nodes: list[Node]) -> Row:
    from wherry.cli.units import human_size

    size = sum(node.entry.size for node in nodes)
    if path.endswith("/"):
        path = f"{path} ({len(nodes)} files)"
    elif nodes[0].entry.kind == "symlink":
        path = f"{path} -> {os.fsdecode(nodes[0].entry.link)}"
    return {
        "Path": lambda: path,
        "Size": lambda: human_size(size, 3),
        "Why": lambda: nodes[0].why,
        "Bytes": lambda: size,
    }


def _write(archive: Archive, path: str) -> None:
    from wherry.cli.commands.save import write_archive

    if path == "-":
        for piece in archive.pieces():
            out_bytes(piece)
        return
    try:
        write_archive(path, archive.pieces())
    except OSError as error:
        raise CliError(f"write {path}: {(error.strerror or '').lower()}") from error


def _load(context: Context, archive: Archive, quiet: bool) -> None:
    from wherry.cli.progress import show_messages

    pieces = archive.pieces()
    if is_terminal(2) and not quiet:
        pieces = _told(pieces, archive.size)
    show_messages(context.client.load(pieces, quiet=True), quiet=quiet)


def _told(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same, with a line on the terminal that says how far it is, and goes."""
    from wherry.cli.units import human_size

    sent = 0
    whole = human_size(size, 3)
    for piece in pieces:
        yield piece
        sent += len(piece)
        err_bytes(f"\r\x1b[KSending {human_size(sent, 3)} of {whole}".encode())
    err_bytes(b"\r\x1b[K")


FROM_HOST = Command(
    "wherry image from-host [OPTIONS] PROGRAM [PROGRAM...]",
    "Make an image of programs of this host, with all that they need",
    _run,
    maximum=ANY_NUMBER,
    flags=(
        Flag("add", "", "Add a file or a directory, and what it needs: FILE[:DEST]", "list",
             many=True),
        Flag("cmd", "", "What a container runs (default: the first program)", "string"),
        Flag("dry-run", "", "Only list what the image would hold, and why"),
        Flag("entrypoint", "", "What the command is given to", "string"),
        Flag("env", "e", "Set an environment variable", "list", many=True),
        Flag("format", "", FORMAT_HELP + " (with --dry-run)", "string"),
        Flag("label", "l", "Set metadata of the image", "list", many=True),
        Flag("no-trunc", "", "List each file of a directory (with --dry-run)"),
        Flag("output", "o", "Write an archive to this file, '-' for STDOUT, rather than load it",
             "string"),
        Flag("quiet", "q", "Only print the image's ID"),
        Flag("shell", "", "Add /bin/sh"),
        Flag("tag", "t", "The image's name", "list", many=True),
        Flag("user", "u", "The user that a container runs as", "string"),
        Flag("with", "", "Also add certs, gconv, locale, nss or zones", "list", many=True),
        Flag("workdir", "w", "The directory that a container begins in", "string"),
    ),
    examples=(
        ("wherry image from-host -t tools sh ls cat gzip", "a few programs, with their libraries"),
        ("wherry image from-host -t web --shell --with certs python3", "a Python with its modules"),
        ("wherry image from-host -t app --add ./app:/srv/ venv/bin/python", "an environment"),
        ("wherry image from-host --dry-run curl", "what it would take, and what needs it"),
    ),
)  # fmt: skip
