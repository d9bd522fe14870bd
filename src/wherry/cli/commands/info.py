"""`wherry info`: the daemon's counts, drivers and host."""

from __future__ import annotations

from wherry import __version__
from wherry.cli.command import Command, Context
from wherry.cli.commands.inspect import FORMAT_HELP
from wherry.cli.flags import Flag, Parsed
from wherry.cli.output import err_line, out, out_line
from wherry.cli.units import binary_size

_FIELDS = (
    ("ServerVersion", "Server Version"),
    ("Driver", "Storage Driver"),
    ("LoggingDriver", "Logging Driver"),
    ("CgroupDriver", "Cgroup Driver"),
    ("CgroupVersion", "Cgroup Version"),
    ("DefaultRuntime", "Default Runtime"),
    ("KernelVersion", "Kernel Version"),
    ("OperatingSystem", "Operating System"),
    ("OSType", "OSType"),
    ("Architecture", "Architecture"),
    ("NCPU", "CPUs"),
    ("MemTotal", "Total Memory"),
    ("Name", "Name"),
    ("ID", "ID"),
    ("DockerRootDir", "Root Dir"),
)


def _run(context: Context, parsed: Parsed) -> int:
    info = context.client.info()
    form = parsed.text("format")
    if form == "json":
        from wherry.client.jsontext import dumps

        out_line(dumps(info))
        return 0
    if form:
        from wherry.cli.rendering import Documents

        out(Documents(form).render(info) + "\n")
        return 0
    out_line("\n".join(_lines(info)))
    for warning in _texts(info.get("Warnings")):
        err_line(warning)
    return 0


def _lines(info: dict[str, object]) -> list[str]:
    lines = ["Client:", f" Version: {__version__}", "", "Server:"]
    lines.append(f" Containers: {info.get('Containers', 0)}")
    lines += [
        f"  {state}: {info.get(f'Containers{state}', 0)}"
        for state in ("Running", "Paused", "Stopped")
    ]
    lines.append(f" Images: {info.get('Images', 0)}")
    for key, title in _FIELDS:
        value = info.get(key)
        if value in (None, ""):
            continue
        if key == "MemTotal" and isinstance(value, int):
            value = binary_size(value)
        lines.append(f" {title}: {value}")
        if key == "Driver":
            lines += _driver_status(info.get("DriverStatus"))
    options = _texts(info.get("SecurityOptions"))
    if options:
        lines += [" Security Options:", *(f"  {_option(option)}" for option in options)]
    lines.append(f" Live Restore Enabled: {str(bool(info.get('LiveRestoreEnabled'))).lower()}")
    return lines


def _driver_status(status: object) -> list[str]:
    pairs = status if isinstance(status, list) else []
    return [f"  {pair[0]}: {pair[1]}" for pair in pairs if isinstance(pair, list) and len(pair) > 1]


def _texts(value: object) -> list[str]:
    return [str(element) for element in value] if isinstance(value, list) else []


def _option(option: str) -> str:
    """`name=seccomp,profile=default` as `seccomp (profile: default)`."""
    pairs = [part.partition("=") for part in option.split(",")]
    name = next((value for key, _, value in pairs if key == "name"), option)
    others = [f"{key}: {value}" for key, _, value in pairs if key != "name"]
    return f"{name} ({', '.join(others)})" if others else name


INFO = Command(
    "wherry info [OPTIONS]",
    "Show the state of the whole system",
    _run,
    flags=(Flag("format", "f", FORMAT_HELP, "string"),),
    examples=(
        ("wherry info", "all of it"),
        ("wherry info -f '{{.Driver}}'", "the storage driver alone"),
    ),
)
