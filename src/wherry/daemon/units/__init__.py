"""`wherryd install-units`: the units for systemd, with this installation's path in them."""

import grp
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from wherry import errdefs
from wherry.daemon.listeners import DEFAULT_GROUP

FOLDER = Path("/etc/systemd/system")
NAMES = ("wherry.service", "wherry.socket")


def main(argv: Sequence[str]) -> int:
    """Write them to a folder, by default systemd's for the administrator; the exit status."""
    if len(argv) > 1 or (argv and argv[0].startswith("-")):
        print("usage: wherry system install-units [FOLDER]", file=sys.stderr)
        return 2
    folder = Path(argv[0]) if argv else FOLDER
    program = Path(sys.executable).with_name("wherryd")
    try:
        install(folder, program)
    except errdefs.EngineError as error:
        print(f"wherry: {error.message}", file=sys.stderr)
        return 1
    print(f"Wrote {' and '.join(NAMES)} to {folder}. Then:")
    print("  systemctl daemon-reload && systemctl enable --now wherry.socket wherry.service")
    return 0


def install(folder: Path, program: Path) -> None:
    """Write the units that start `program`. EngineError if the folder can't be written to."""
    try:
        for name in NAMES:
            (folder / name).write_text(unit(name, program), encoding="utf-8")
    except OSError as error:
        raise errdefs.from_os_error(f"writing units to {folder}", error) from error


def unit(name: str, program: Path) -> str:
    """A unit for this machine: without the group where there is none."""
    text = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
    text = text.replace("/usr/bin/wherryd", str(program))
    try:
        grp.getgrnam(DEFAULT_GROUP)
    except KeyError:
        text = text.replace(f"SocketGroup={DEFAULT_GROUP}", "SocketGroup=root")
    return text
