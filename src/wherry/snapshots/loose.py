"""Which active snapshots are not surely on the disk yet."""

import threading
from collections.abc import Callable


class LooseKeys:
    """Keys of snapshots that a power cut may still take, or leave in parts.

    Only what this process knows of: who takes up what an earlier one left adds it.
    """

    def __init__(self) -> None:
        self._keys: dict[str, threading.Lock] = {}

    def add(self, key: str) -> None:
        self._keys.setdefault(key, threading.Lock())

    def discard(self, key: str) -> None:
        """It is gone, or going: nobody need wait for the disk to have it."""
        self._keys.pop(key, None)

    def secure(self, key: str, sync: Callable[[str], None]) -> None:
        """`sync` the key, once: who comes meanwhile waits. What `sync` raises passes through."""
        lock = self._keys.get(key)
        if lock is None:
            return
        with lock:
            if self._keys.get(key) is lock:
                sync(key)
                self._keys.pop(key, None)
