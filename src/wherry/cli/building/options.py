"""The command line of a build in the words of `POST /build`."""

from __future__ import annotations

import os

from wherry.cli.create.mounts import split_commas
from wherry.cli.create.values import mapping, read_ulimit
from wherry.cli.errors import CLI_FAILED, CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.flags import Parsed

MAX_HEADER = 40 * 1024
"""The daemon reads heads of requests up to 64 KiB; the rest is for the query."""

_NUMBERS = (
    ("cpu-period", "cpuperiod"),
    ("cpu-quota", "cpuquota"),
    ("cpu-shares", "cpushares"),
    ("memory", "memory"),
    ("memory-swap", "memswap"),
    ("shm-size", "shmsize"),
)
_TEXTS = (
    ("cgroup-parent", "cgroupparent"),
    ("cpuset-cpus", "cpusetcpus"),
    ("cpuset-mems", "cpusetmems"),
    ("network", "networkmode"),
    ("target", "target"),
)


def read_query(parsed: Parsed) -> list[tuple[str, str]]:
    """All that the API has parameters for, but the context and the Dockerfile."""
    from wherry.client.jsontext import dumps

    query = [("t", tag) for tag in parsed.texts("tag")]
    query += [("extrahosts", host) for host in parsed.texts("add-host")]
    query += [(key, parsed.text(name)) for name, key in _TEXTS if parsed.text(name)]
    for name, key in _NUMBERS:
        number = parsed.number(name)
        if number is not None:
            query.append((key, str(number)))
    query += [(key, "1") for key, name in (("nocache", "no-cache"), ("pull", "pull"))
              if parsed.switch(name)]  # fmt: skip
    documents: list[tuple[str, object]] = [
        ("buildargs", _build_args(parsed)),
        ("labels", mapping(parsed.texts("label"))),
        ("ulimits", [read_ulimit(text) for text in parsed.texts("ulimit")]),
        ("cachefrom", parsed.texts("cache-from") + parsed.texts("cache-to")),
    ]
    query += [(key, dumps(document)) for key, document in documents if document]
    if parsed.texts("platform"):
        query.append(("platform", ",".join(parsed.texts("platform"))))
    return query


def _build_args(parsed: Parsed) -> dict[str, object]:
    """An argument without a value has the one it has here, or null."""
    found: dict[str, object] = {}
    for text in parsed.texts("build-arg"):
        name, equals, value = text.partition("=")
        found[name] = value if equals else os.environ.get(name)
    return found


def read_extras(parsed: Parsed) -> dict[str, object]:
    """What only the header can say, but contexts and outputs."""
    extras: dict[str, object] = {}
    stages = [name for text in parsed.texts("no-cache-filter") for name in text.split(",") if name]
    if stages:
        extras["no_cache_filter"] = stages
    if parsed.switch("check") or parsed.text("call") in ("check", "lint"):
        extras["check"] = True
    secrets = _secrets(parsed)
    if secrets:
        extras["secrets"] = secrets
    return extras


def _secrets(parsed: Parsed) -> dict[str, str]:
    if not parsed.texts("secret"):
        return {}
    from binascii import b2a_base64

    found: dict[str, str] = {}
    size = 0
    for text in parsed.texts("secret"):
        name, content = _secret(text)
        size += len(content)
        if size > MAX_HEADER // 2:
            raise CliError(
                f"secrets: {size} bytes are too many, {MAX_HEADER // 2} are most (a key or a "
                "token is a secret; larger files can come in a --build-context)",
                CLI_FAILED,
            )
        found[name] = b2a_base64(content, newline=False).decode()
    return found


def _secret(text: str) -> tuple[str, bytes]:
    """`id=ID`, where it comes from: `src=FILE` or `env=NAME`; else the variable or file `ID`."""
    fields = read_fields(text, "secret", ("id", "src", "source", "env", "type"))
    name = fields.get("id", "")
    if not name:
        raise CliError(f"--secret {text}: it needs an id (id=ID,src=FILE)", CLI_FAILED)
    kind = fields.get("type", "")
    if kind not in ("", "file", "env"):
        raise CliError(f"--secret {text}: unknown type {kind!r}, only file or env", CLI_FAILED)
    path = fields.get("src") or fields.get("source", "")
    variable = fields.get("env", "")
    if kind == "env" and path and not variable:
        path, variable = "", path
    if not path and not variable:
        # As buildx guesses: a variable of that name, or a file.
        path, variable = ("", name) if kind != "file" and name in os.environ else (name, "")
    if variable:
        value = os.environ.get(variable)
        if value is None:
            raise CliError(
                f"--secret {text}: there is no environment variable {variable}", CLI_FAILED
            )
        return name, os.fsencode(value)
    return name, read_file(path, f"--secret {text}")


def read_fields(text: str, option: str, known: tuple[str, ...]) -> dict[str, str]:
    """`key=value,...`. Raises CliError for a key that is not `known`; any goes if none is."""
    found: dict[str, str] = {}
    try:
        items = split_commas(text)
    except ValueError as error:
        raise CliError(f"--{option} {text}: {error}", CLI_FAILED) from error
    for item in items:
        key, equals, value = item.partition("=")
        key = key.strip().lower()
        if not equals:
            raise CliError(f"--{option} {text}: {item!r} is not of the form key=value", CLI_FAILED)
        if known and key not in known:
            raise CliError(
                f"--{option} {text}: unknown key {key!r} (there are {', '.join(known)})", CLI_FAILED
            )
        found[key] = value
    return found


def read_file(path: str, what: str) -> bytes:
    """A small file's content. Raises CliError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CliError(f"{what}: open {path}: {(error.strerror or '').lower()}") from error
