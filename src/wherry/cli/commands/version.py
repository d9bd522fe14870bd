"""`wherry version`: this program's version and the daemon's."""

from __future__ import annotations

import os
import sys

from wherry import __version__
from wherry.cli.command import Command, Context
from wherry.cli.commands.inspect import FORMAT_HELP
from wherry.cli.errors import FAILED, CliError, engine_error, told
from wherry.cli.flags import Flag, Parsed
from wherry.cli.output import err_line, out, out_line
from wherry.client import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.client.documents import Version

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


def _run(context: Context, parsed: Parsed) -> int:
    server: Version | None = None
    problem = ""
    api_version = calls.API_VERSION
    try:
        server = context.client.version()
        api_version = context.client.api_version
    except CliError as error:
        problem = f"wherry: {error.message}"
    except engine_error() as error:
        problem = told(error)
    client = _client(api_version)
    form = parsed.text("format")
    if form == "json":
        from wherry.client.jsontext import dumps

        out_line(dumps({"Client": client, "Server": server}))
    elif form:
        from wherry.cli.rendering import Documents

        out(Documents(form).render({"Client": client, "Server": server}) + "\n")
    else:
        _show_client(client)
        if server is not None:
            _show_server(server)
    if problem:
        err_line(problem)
        return FAILED
    return 0


def _client(api_version: str) -> dict[str, str]:
    machine = os.uname().machine
    return {
        "Version": __version__,
        "ApiVersion": api_version,
        "DefaultAPIVersion": calls.API_VERSION,
        "PythonVersion": sys.version.split()[0],
        "Os": sys.platform,
        "Arch": _ARCHITECTURES.get(machine, machine),
    }


def _show_client(client: dict[str, str]) -> None:
    api_version = client["ApiVersion"]
    if api_version != client["DefaultAPIVersion"]:
        api_version += f" (downgraded from {client['DefaultAPIVersion']})"
    out_line("Client:")
    _show_pairs(
        1,
        [
            ("Version", client["Version"]),
            ("API version", api_version),
            ("Python version", client["PythonVersion"]),
            ("OS/Arch", f"{client['Os']}/{client['Arch']}"),
        ],
    )


def _show_server(server: Version) -> None:
    platform = server.get("Platform")
    name = platform["Name"] if platform else ""
    out_line(f"\nServer: {name}".rstrip())
    components = server.get("Components") or []
    if not components:
        components = [{"Name": "Engine", "Version": server["Version"]}]
    for component in components:
        out_line(f" {component['Name']}:")
        pairs = [("Version", component["Version"])]
        details = component.get("Details") or {}
        if component["Name"] == "Engine":
            pairs += _engine_pairs(server, details)
        else:
            pairs += sorted(details.items())
        _show_pairs(2, pairs)


def _engine_pairs(server: Version, details: dict[str, str]) -> list[tuple[str, str]]:
    api = server["ApiVersion"]
    minimum = server.get("MinAPIVersion")
    pairs = [("API version", f"{api} (minimum version {minimum})" if minimum else api)]
    for key, title in (
        ("GoVersion", "Go version"),
        ("PythonVersion", "Python version"),
        ("GitCommit", "Git commit"),
        ("BuildTime", "Built"),
    ):
        if details.get(key):
            pairs.append((title, details[key]))
    pairs.append(("OS/Arch", f"{server['Os']}/{server['Arch']}"))
    if details.get("Experimental"):
        pairs.append(("Experimental", details["Experimental"]))
    return pairs


def _show_pairs(depth: int, pairs: list[tuple[str, str]]) -> None:
    width = max(len(title) for title, _ in pairs) + 2
    for title, value in pairs:
        out_line(f"{' ' * depth}{title + ':':<{width}}{value}".rstrip())


VERSION = Command(
    "wherry version [OPTIONS]",
    "Show the versions of client and daemon",
    _run,
    flags=(Flag("format", "f", FORMAT_HELP, "string"),),
    examples=(
        ("wherry version", "both, for people"),
        ("wherry version --format '{{.Server.Version}}'", "one of them, for a script"),
    ),
)
