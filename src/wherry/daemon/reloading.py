"""What SIGHUP changes in a daemon that runs, and what has to wait for its next start."""

from typing import NamedTuple

import msgspec

from wherry.daemon.options import Options

# Each option that can change while containers run and clients are connected.
_LIVE = ("log_level", "labels", "live_restore", "shutdown_timeout")
_KEYS = {"tls": "tls...", "unverified": "tlsverify"}


class Reload(NamedTuple):
    """What holds from now on, and by their keys what has changed and what will only then."""

    options: Options
    changed: tuple[str, ...]
    postponed: tuple[str, ...]


def reload(now: Options, wanted: Options) -> Reload:
    """Take from `wanted` what can be."""
    differing = [
        name for name in Options.__struct_fields__ if getattr(now, name) != getattr(wanted, name)
    ]
    live = {name: getattr(wanted, name) for name in differing if name in _LIVE}
    return Reload(
        msgspec.structs.replace(now, **live),
        tuple(_key(name) for name in live),
        tuple(_key(name) for name in differing if name not in _LIVE),
    )


def as_told(options: Options) -> dict[str, str]:
    """What can change, as the event of a reload has it in Docker's words."""
    return {
        "debug": str(options.log_level == "debug").lower(),
        "labels": msgspec.json.encode(options.labels).decode(),
        "live-restore": str(options.live_restore).lower(),
        "shutdown-timeout": str(options.shutdown_timeout),
    }


def _key(name: str) -> str:
    return _KEYS.get(name, name.replace("_", "-"))
