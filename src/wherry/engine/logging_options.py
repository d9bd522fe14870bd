"""Where a container's output is kept: `HostConfig.LogConfig`, read."""

import re
from dataclasses import dataclass

from wherry import errdefs
from wherry.engine.model import LogConfig

_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([kKmMgGtTpP])?[iI]?[bB]?")
_MAX_SIZE = 1 << 50  # a petabyte: it stays a number that everybody can count with
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
# Docker's further drivers.
_LATER = (
    *("local", "syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "etwlogs", "gcplogs"),
)


@dataclass(frozen=True)
class LogPlan:
    """Files of at most `max_size` bytes, `max_files` of them; `driver` none keeps nothing."""

    driver: str
    max_size: int
    max_files: int


def read_log_config(config: LogConfig) -> LogPlan:
    """Raises InvalidArgument, or NotImplemented for a driver or an option that isn't there yet."""
    driver = config.type or "json-file"
    if driver not in ("json-file", "none", *_LATER):
        # Any other name is a plugin's to dockerd, and there are none.
        raise errdefs.invalid(
            f'error looking up logging plugin {driver}: plugin "{driver}" not found'
        )
    if driver in _LATER:
        raise errdefs.not_implemented(
            f"HostConfig.LogConfig.Type {driver}: only json-file and none are supported yet"
        )
    options = dict(config.config or {})
    size = _size(options.pop("max-size", "") or "10m")
    files = _count(options.pop("max-file", "") or "3")
    if options and driver == "json-file":
        name = min(options)
        if name in ("compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode"):
            if name == "compress" and options[name] == "false":
                return LogPlan(driver, size, files)
            raise errdefs.not_implemented(f"log opt {name} is not supported yet")
        raise errdefs.invalid(f"unknown log opt '{name}' for json-file log driver")
    return LogPlan(driver, size, files)


def _size(text: str) -> int:
    """Docker's decimal sizes: `10m` are ten million bytes."""
    match = _SIZE.fullmatch(text)
    size = int(float(match[1]) * 1000 ** _POWERS[(match[2] or "").lower()]) if match else 0
    if not 1 <= size <= _MAX_SIZE:
        raise errdefs.invalid(
            f"log opt max-size={text}: it is a size such as 10m; a log is never unbounded"
        )
    return size


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 1000):
        raise errdefs.invalid(f"log opt max-file={text}: it is a number from 1 to 1000")
    return int(text)
