"""What an engine is told when it is opened."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """The daemon's configuration, as far as the engine acts on it.

    `storage_driver` None chooses the best that works here. Logs are kept in `log_max_files` files
    of up to `log_max_size` bytes, unless a container asks for something else.
    """

    data_root: Path
    exec_root: Path
    storage_driver: str | None = None
    log_max_size: int = 10 * 1024 * 1024
    log_max_files: int = 3
    labels: Sequence[str] = ()
    debug: bool = False
    live_restore: bool = True
