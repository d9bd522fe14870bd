"""Tells when a peer that had half-closed its connection is gone altogether."""

import asyncio
import os
import select
from collections.abc import Callable


class HangupWatch:
    """Calls `on_hangup` once when the peer of socket `fd` has closed it whole.

    After a half-close asyncio reads no more and so would notice only when it writes. An epoll that
    asks for no event still reports the hang-up, and can itself be waited for.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, fd: int, on_hangup: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._on_hangup = on_hangup
        self._socket = os.dup(fd)
        self._epoll = select.epoll()
        self._epoll.register(self._socket, 0)
        loop.add_reader(self._epoll.fileno(), self._fired)

    def _fired(self) -> None:
        self.close()
        self._on_hangup()

    def close(self) -> None:
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            os.close(self._socket)


def is_gone(fd: int) -> bool:
    """Whether the peer closed its socket whole (as against one direction of it)."""
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))
