"""Carries bytes between a client's connection and a container's streams.

    client <== ClientSide ==> Relay <== ContainerSide ==> the shim's end of a socketpair

What one side cannot write yet, the other side does not read: a slow reader costs a few hundred
kilobytes, never more. The client's half-close is the end of standard input and nothing else; the
container's end closes the client's connection, after all that was written has been taken.
"""

import asyncio
import contextlib
import socket

from wherry.api.detach import Detector
from wherry.api.http.hangup import HangupWatch, is_gone
from wherry.api.http.messages import Wire

# How long what a client still sends is taken in after the container's end. Closing with its bytes
# unread would show it an error instead of the end.
LINGER_SECONDS = 10.0


class _Side(asyncio.Protocol):
    """What both sides do: pass on, and hold back the other side while the way is full."""

    def __init__(self, relay: "Relay") -> None:
        self.relay = relay
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def pause_writing(self) -> None:
        self.writable.clear()
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.writable.set()
        if self.other is not None:
            self.other.go_on_reading()

    def go_on_reading(self) -> None:
        if self.transport is not None:
            self.transport.resume_reading()

    def write(self, data: bytes) -> None:
        if data and self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)


class ClientSide(_Side):
    """The hijacked connection."""

    def __init__(self, relay: "Relay", stdin: bool, detector: Detector | None) -> None:
        super().__init__(relay)
        self._stdin = stdin
        self._detector = detector
        self._watch: HangupWatch | None = None
        self.ended = False
        self.gone = asyncio.Event()

    def go_on_reading(self) -> None:
        if not self.ended:
            super().go_on_reading()

    def data_received(self, data: bytes) -> None:
        if not self._stdin or self.relay.container_ended:
            return
        detached = False
        if self._detector is not None:
            data, detached = self._detector.feed(data)
        if self.other is not None:
            self.other.write(data)
        if detached:
            self.relay.detached = True
            self.relay.finish()

    def eof_received(self) -> bool:
        assert self.transport is not None
        fd: int = self.transport.get_extra_info("socket").fileno()
        if self.relay.container_ended or is_gone(fd):
            return False
        self.end_of_input()
        return True

    def end_of_input(self) -> None:
        """The client sends nothing more, but may still read."""
        assert self.transport is not None
        self.ended = True
        fd: int = self.transport.get_extra_info("socket").fileno()
        self._watch = HangupWatch(asyncio.get_running_loop(), fd, self.relay.finish)
        if self._stdin and self.other is not None and self.other.transport is not None:
            self.other.transport.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self.writable.set()
        self.relay.finish()

    def stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.close()


class ContainerSide(_Side):
    """Our end of the socketpair whose other end the shim has."""

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.relay.end_of_container()


class Relay:
    """One attached client."""

    def __init__(self, wire: Wire, stdin: bool, detector: Detector | None) -> None:
        """Takes the wire's connection over at once; `run` closes it."""
        self._wire = wire
        self._client = ClientSide(self, stdin, detector)
        self._client.connection_made(wire.transport)
        self._container = ContainerSide(self)
        self._finished = asyncio.Event()
        self.container_ended = False
        self.detached = False
        wire.transport.pause_reading()
        wire.transport.set_protocol(self._client)

    async def send(self, data: bytes) -> None:
        """Write to the client before the container's own bytes."""
        self._client.write(data)
        await self._client.writable.wait()

    async def run(self, stream: socket.socket | None) -> None:
        """Carry bytes until one side ends; without a `stream`, only say goodbye.

        Both connections are closed when this returns or is cancelled.
        """
        try:
            if stream is not None:
                await self._join(stream)
                await self._finished.wait()
            if stream is None or self.container_ended:
                await self._say_goodbye()
        finally:
            self._client.stop_watching()
            for side in (self._client, self._container):
                if side.transport is not None:
                    side.transport.close()

    def finish(self) -> None:
        """The client has gone, or typed the keys that mean so."""
        self._finished.set()

    def end_of_container(self) -> None:
        self.container_ended = True
        self._finished.set()

    async def _join(self, stream: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._container.other = self._client
        self._client.other = self._container
        await loop.create_unix_connection(lambda: self._container, sock=stream)
        if not self._client.writable.is_set():
            self._client.pause_writing()
        self._client.data_received(self._wire.early)
        if self._wire.ended:
            self._client.end_of_input()
        elif self._container.writable.is_set():
            self._client.go_on_reading()

    async def _say_goodbye(self) -> None:
        transport = self._wire.transport
        if self._client.ended or transport.is_closing():
            return
        transport.write_eof()
        self._client.go_on_reading()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self._client.gone.wait()
