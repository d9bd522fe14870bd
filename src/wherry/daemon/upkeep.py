"""`wherryd check` and `wherryd migrate-storage`: what is done to a data root that no daemon has.

They take the daemon's lock, so that neither comes to the other's way. `wherry system check` and
`wherry system migrate-storage` become these programs.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from wherry import errdefs
from wherry.daemon import flags, logformat, options
from wherry.engine.ownership import Lock
from wherry.errdefs import EngineError
from wherry.maintenance.checking import check
from wherry.maintenance.mending import mend
from wherry.maintenance.migrating import Migration
from wherry.maintenance.reporting import ProgressLine, as_json, as_text
from wherry.maintenance.root import DataRoot
from wherry.maintenance.running import refuse_running
from wherry.snapshots import drivers

_USAGE_ERROR = 2


@dataclass
class _Given:
    """What the command line says."""

    data_root: str = ""
    form: str = ""
    repair: bool = False
    driver: str = ""


def main(program: str, argv: Sequence[str]) -> int:
    """Run one of the two. 0: all is well; 1: it is not; 2: the command line makes no sense."""
    logformat.set_up("warn")
    try:
        given = _parse(program, argv)
    except flags.UsageError as error:
        print(f"{error}\nSee 'wherry system {program} --help'.", file=sys.stderr)
        return _USAGE_ERROR
    try:
        if os.geteuid() != 0:
            raise errdefs.forbidden(f"wherry system {program} needs to be run as root")
        root = _data_root(given)
        with closing(_locked(root)):
            return _check(root, given) if program == "check" else _migrate(root, given)
    except EngineError as error:
        print(f"wherry: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parse(program: str, argv: Sequence[str]) -> _Given:
    given = _Given()
    rest = list(argv)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name == "--repair" and not equals and program == "check":
            given.repair = True
        elif name == "--data-root" or (name == "--format" and program == "check"):
            if not equals and not rest:
                raise flags.UsageError(f"flag needs an argument: {name}")
            value = value if equals else rest.pop(0)
            if name == "--data-root":
                given.data_root = value
            else:
                given.form = value
        elif not name.startswith("-") and program != "check" and not given.driver:
            given.driver = name
        else:
            raise flags.UsageError(f"unknown flag or argument: {name}")
    if given.form not in ("", "json"):
        raise flags.UsageError(f"--format {given.form}: there is only json")
    if program != "check" and given.driver not in drivers.NAMES:
        raise flags.UsageError(
            f"migrate-storage needs a storage driver: {', '.join(drivers.NAMES)}"
        )
    return given


def _data_root(given: _Given) -> Path:
    """As for the daemon: from the flag, or from its configuration file."""
    if not given.data_root:
        return options.resolve(flags.Given()).data_root
    if not given.data_root.startswith("/"):
        raise errdefs.invalid(f"data-root: {given.data_root} is not an absolute path")
    return Path(given.data_root)


class _locked:  # noqa: N801 - it reads as a verb
    """The data root's lock, as a thing that can be closed."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise errdefs.not_found(f"there is no data root {root} (--data-root names one)")
        self._lock = Lock(root)

    def close(self) -> None:
        self._lock.release()


def _check(path: Path, given: _Given) -> int:
    move = drivers.move_under_way(path)
    if move is not None:
        raise errdefs.conflict(
            f"the data root {path} is half moved from the storage driver {move.source} to "
            f"{move.target}: `wherry system migrate-storage {move.target} --data-root {path}` "
            "finishes that; check it then"
        )
    with closing(DataRoot.open(path)) as root:
        if given.repair:
            refuse_running(_containers(root), "nothing can be repaired")
        with ProgressLine("checking") as progress:
            checked = check(root, progress)
        findings = checked.findings
        if given.repair and findings.problems:
            mend(root, checked)
        name = root.snapshots.name if root.snapshots else ""
        render = as_json if given.form == "json" else as_text
        sys.stdout.write(render(path, name, findings))
    return 0 if findings.nothing_is_lost else 1


def _migrate(path: Path, given: _Given) -> int:
    with closing(DataRoot.open(path)) as root:
        refuse_running(_containers(root), "the storage driver can't be changed")
        migration = Migration(root, given.driver)
        with ProgressLine("moving") as progress:
            said = migration.run(progress)
        print(said)
    return 0


def _containers(root: DataRoot) -> list[str]:
    """Those that there may be: of the records, and of the snapshots."""
    known = set(root.snapshots.keys()) if root.snapshots else set()
    if root.database is not None:
        known |= {record.id for record in root.database.read(lambda tx: tx.containers())}
    return sorted(known)
