"""Where an engine of a program's own keeps things, if it is told a root or nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

DEFAULT_ROOT: Final = Path("/var/lib/wherry")
"""The daemon's, so that both have the same images, one after the other."""

_RUN: Final = Path("/run")
_NAME: Final = "wherry"


class Places(NamedTuple):
    """What lasts until the next boot, and the group of all that runs."""

    exec_root: Path
    cgroup_parent: str

    def notes(self) -> dict[str, str]:
        """For the lock: the next who opens this root looks in the same places."""
        return {"exec-root": str(self.exec_root), "cgroup-parent": self.cgroup_parent}


def choose(
    root: Path,
    exec_root: str | os.PathLike[str] | None,
    cgroup_parent: str | None,
    before: Mapping[str, str],
) -> Places:
    """What was asked for; else what was used `before` on this boot, where containers may still run;
    else what the root's path says.
    """
    # Of another root it is another's: two engines never meet in the same group.
    name = _NAME if root == DEFAULT_ROOT else f"{_NAME}-{_mark(root)}"
    run = os.fspath(exec_root) if exec_root is not None else before.get("exec-root", "")
    group = cgroup_parent or before.get("cgroup-parent") or f"/{name}"
    return Places(Path(os.path.abspath(run)) if run else _RUN / name, group)


def _mark(root: Path) -> str:
    return hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:12]
