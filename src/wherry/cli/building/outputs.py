"""`--output`: what is asked for, and where it goes when it is there."""

from __future__ import annotations

import os

from wherry.cli.building.options import read_fields
from wherry.cli.errors import CLI_FAILED, CliError
from wherry.cli.output import out_bytes
from wherry.cli.terminal import is_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wherry.client.building import Built
    from wherry.client.engine import EngineClient

_TYPES = ("image", "local", "tar", "oci", "docker", "cacheonly")


class Output:
    """One `--output`. `dest` is a folder for `local`, else a file; "-" is standard output."""

    def __init__(self, kind: str, dest: str, attributes: dict[str, str]) -> None:
        self.kind = kind
        self.dest = dest
        self.attributes = attributes

    def asked(self) -> dict[str, object]:
        return {"type": self.kind, "attributes": self.attributes}


def read_outputs(texts: Sequence[str]) -> list[Output]:
    """Raises CliError for what can't be had, before anything is built."""
    outputs = [_read(text) for text in texts]
    if sum(output.dest == "-" for output in outputs) > 1:
        raise CliError("only one --output can go to standard output", CLI_FAILED)
    return outputs


def _read(text: str) -> Output:
    if "=" not in text:
        # As in Docker: a folder, or `-` for its tar.
        return _judged(text, Output("tar" if text == "-" else "local", text, {}))
    fields = read_fields(text, "output", ())
    kind = fields.pop("type", "")
    dest = fields.pop("dest", "")
    if kind == "registry" or fields.pop("push", "false") == "true":
        raise CliError(f"--output {text}: pushing is not supported yet", CLI_FAILED)
    if kind not in _TYPES:
        known = ", ".join(_TYPES)
        raise CliError(f"--output {text}: type must be one of {known}", CLI_FAILED)
    if kind == "docker" and not dest:
        kind = "image"  # where Docker loads the archive, it is an image here already
    return _judged(text, Output(kind, dest, fields))


def _judged(text: str, output: Output) -> Output:
    if output.kind in ("image", "cacheonly"):
        return output
    if output.kind == "local":
        if not output.dest or output.dest == "-":
            raise CliError(f"--output {text}: dest must be a folder", CLI_FAILED)
        if os.path.exists(output.dest) and not os.path.isdir(output.dest):
            raise CliError(f"--output {text}: {output.dest} is not a directory", CLI_FAILED)
        return output
    output.dest = output.dest or "-"
    if output.dest == "-" and is_terminal(1):
        raise CliError(
            f"--output {text}: refusing to write an archive to a terminal (dest=FILE)", CLI_FAILED
        )
    if output.dest != "-" and os.path.isdir(output.dest):
        raise CliError(f"--output {text}: {output.dest} is a directory", CLI_FAILED)
    return output


def fetch_outputs(client: EngineClient, outputs: Sequence[Output], built: Built) -> None:
    """Fetch what there is, and put it where it belongs."""
    for result in built.get("outputs", []):
        output = outputs[result["index"]]
        archive = client.build_output(result["path"])
        if output.kind == "local":
            from wherry.cli.building.extracting import extract

            extract(archive, output.dest)
        elif output.dest == "-":
            for piece in archive:
                out_bytes(piece)
        else:
            _write(output.dest, archive)


def _write(path: str, archive: Iterable[bytes]) -> None:
    from wherry.cli.commands.save import write_archive

    try:
        write_archive(path, archive)
    except OSError as error:
        raise CliError(f"write {path}: {(error.strerror or '').lower()}") from error
