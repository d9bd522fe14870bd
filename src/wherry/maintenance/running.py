"""Which containers run, without a daemon that knows: their processes are in cgroups of their IDs.

A note in the database may be stale, after a reboot say, or come too late for a daemon that was
killed. The kernel's word is neither.
"""

import contextlib
import os
from collections.abc import Iterable

from wherry import errdefs


def running_containers(ids: Iterable[str]) -> list[str]:
    """Those of the containers that have processes, sorted."""
    wanted = frozenset(ids)
    found: set[str] = set()
    for name in os.listdir("/proc") if wanted else ():
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/cgroup") as lines:
                found.update(part for part in lines.read().replace("\n", "/").split("/"))
    return sorted(wanted & found)


def refuse_running(ids: Iterable[str], what: str) -> None:
    """Raises Conflict naming containers that run; `what` can't be done meanwhile."""
    running = running_containers(ids)
    if running:
        shown = ", ".join(container[:12] for container in running[:5])
        more = f" and {len(running) - 5} more" if len(running) > 5 else ""
        raise errdefs.conflict(
            f"{what} while containers run: {shown}{more} (start wherryd, `wherry stop` them, and "
            "stop wherryd again)"
        )
