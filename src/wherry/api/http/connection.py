"""One client's connection: request after request, until one of the two leaves."""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import MutableSet

from wherry import errdefs
from wherry.api.http.body import IncomingBody
from wherry.api.http.hangup import HangupWatch, is_gone
from wherry.api.http.lending import LentBody, Line, Pieces, cut_short
from wherry.api.http.messages import (
    Answer,
    Application,
    Head,
    Hijack,
    HTTPError,
    Reply,
    Request,
    Stream,
    Wire,
)
from wherry.api.http.output import BODILESS, FULL, Batch, head_of
from wherry.api.http.parser import End, Event, RequestParser

# A client that pipelines is not read from while so many bytes wait.
MAX_WAITING = 256 * 1024
# How long the rest of an unread request is taken in and thrown away, so that its sender comes to
# read the answer instead of an error.
LINGER_SECONDS = 20.0
# How much of a request that nobody wants to read is taken in before its answer, as Go's server does
# it, and for how long: Docker's command line complains of a context that it cannot send whole.
SKIMMED = 256 * 1024
SKIM_SECONDS = 0.5
# How long a request's head may take from its first byte to its last.
HEAD_SECONDS = 60.0
# Over TCP, who has left looks as who has only said all. Quick answers still go out to either; what
# takes longer is given up, as Docker gives it up at once.
TCP_PATIENCE = 2.0


class Connection(asyncio.Protocol):
    """Parses, asks the application, writes the answer.

    The client's leaving cancels the application's work on its request; its half-close does not.
    """

    def __init__(
        self, application: Application, open_connections: MutableSet["Connection"]
    ) -> None:
        self._application = application
        self._open_connections = open_connections
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser()
        self._requests: deque[tuple[Head, IncomingBody]] = deque()
        self._body: IncomingBody | None = None
        self._refusal: HTTPError | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._given_back = asyncio.Event()
        self._given_back.set()
        self._ended = False
        self._busy = False
        self._closing = False
        self._watch: HangupWatch | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._head_deadline: asyncio.TimerHandle | None = None

    # --- what the loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open_connections.add(self)
        self._task = self._loop.create_task(self._serve())
        self._task.add_done_callback(self._left)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        try:
            self._take(self._parser.feed(data))
        except HTTPError as error:
            self._refuse(error)
        self._time_head()
        if self._parser.waiting > MAX_WAITING:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended = True
        client = self._transport.get_extra_info("socket")
        if not self._busy or is_gone(client.fileno()):
            return False
        if self._body is not None:
            self._body.fail(cut_short())
        self._watch = HangupWatch(self._loop, client.fileno(), self._transport.abort)
        if client.family != socket.AF_UNIX:
            self._patience = self._loop.call_later(TCP_PATIENCE, self._transport.abort)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._task.cancel()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # --- what the server calls ---

    def close_when_idle(self) -> None:
        """Take no further request."""
        self._closing = True
        if not self._busy:
            self._transport.close()

    async def abandon(self) -> None:
        """End it now, whatever it is doing."""
        self._task.cancel()
        await asyncio.wait([self._task])

    # --- what a body calls ---

    def hold(self, hold: bool) -> None:
        if hold:
            self._transport.pause_reading()
        elif not self._ended:
            self._transport.resume_reading()

    def invite(self) -> None:
        self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def lend(self, arrived: Pieces) -> LentBody:
        client = self._transport.get_extra_info("socket")

        def over(line: Line) -> None:
            self._loop.call_soon_threadsafe(self._take_back, line)

        try:
            line = Line(client, self._parser, over)
        except OSError as error:
            raise errdefs.from_os_error("taking in an upload", error) from error
        self._transport.pause_reading()
        self._given_back.clear()
        return LentBody(arrived, line)

    def _take_back(self, line: Line) -> None:
        self._given_back.set()
        assert self._body is not None
        if line.finished:
            self._body.finish()
        if line.refusal is not None:
            self._refuse(line.refusal)
        if self._parser.waiting <= MAX_WAITING:
            self._transport.resume_reading()

    # --- requests come in ---

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Head):
                self._begin(event)
                continue
            assert self._body is not None
            if event is End.OF_REQUEST:
                self._body.finish()
            else:
                assert isinstance(event, bytes)
                self._body.feed(event)

    def _begin(self, head: Head) -> None:
        length = head.headers.get("content-length")
        expects = head.headers.get("expect", "").lower() == "100-continue"
        declared = int(length) if length is not None else None
        self._body = IncomingBody(declared, not expects, self)
        self._requests.append((head, self._body))
        self._busy = True
        self._wake()

    def _time_head(self) -> None:
        """Start the clock where a head has begun, and stop it where it is whole."""
        if self._head_deadline is not None and not self._parser.in_head:
            self._head_deadline.cancel()
            self._head_deadline = None
        elif self._head_deadline is None and self._parser.in_head:
            late = HTTPError(408, f"request head is not whole after {HEAD_SECONDS:.0f} seconds")
            self._head_deadline = self._loop.call_later(HEAD_SECONDS, self._refuse, late)

    def _refuse(self, error: HTTPError) -> None:
        self._refusal = error
        if self._body is not None and not self._body.finished:
            self._body.fail(error)
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    async def _next(self) -> tuple[Head, IncomingBody] | None:
        """The next request; None when the connection has come to its end."""
        while not self._requests:
            if self._refusal is not None or self._ended or self._closing:
                return None
            self._arrival = self._loop.create_future()
            await self._arrival
        return self._requests.popleft()

    # --- answers go out ---

    async def _serve(self) -> None:
        while (arrived := await self._next()) is not None:
            head, body = arrived
            try:
                answer = await self._application(Request.of(head, body))
            except HTTPError as error:
                answer = self._application.refuse(error)
            if not await self._send(answer, head, body):
                return
            self._busy = False
            if not self._ended and not self._closing:
                self._transport.resume_reading()
            self._take_next()
        if self._refusal is not None:
            await self._send_last(self._application.refuse(self._refusal))

    def _take_next(self) -> None:
        try:
            self._take(self._parser.next_request())
        except HTTPError as error:
            self._refuse(error)
        self._time_head()

    async def _send(self, answer: Answer, head: Head, body: IncomingBody) -> bool:
        """Write an answer. Returns whether another request may follow."""
        if isinstance(answer, Reply) and not body.finished:
            await self._skim(body)
        keep = head.wants_keep_alive() and body.finished and not self._ended and not self._closing
        if isinstance(answer, Hijack):
            self._transport.write(head_of(answer.status, answer.headers))
            await self._hand_over(answer)
            return False
        if isinstance(answer, Stream):
            keep = keep and head.http_version >= (1, 1)
            await self._send_stream(answer, head, keep)
        else:
            self._send_reply(answer, head.method == "HEAD", keep)
            if self._drained is not None:
                await self._drained
        if not keep:
            await self._linger(body)
        return keep

    async def _skim(self, body: IncomingBody) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SKIM_SECONDS):
                await self._given_back.wait()
                await body.skim(SKIMMED)

    def _send_reply(self, reply: Reply, bodiless: bool, keep: bool) -> None:
        headers = reply.headers
        if reply.status not in BODILESS:
            headers = {**headers, "Content-Length": str(len(reply.body))}
        if not keep:
            headers = {**headers, "Connection": "close"}
        written = head_of(reply.status, headers)
        if not bodiless and reply.status not in BODILESS:
            written += reply.body
        self._transport.write(written)

    async def _send_last(self, reply: Reply) -> None:
        self._send_reply(reply, bodiless=False, keep=False)
        await self._linger(None)

    async def _send_stream(self, stream: Stream, head: Head, keep: bool) -> None:
        chunked = head.http_version >= (1, 1)
        headers = dict(stream.headers)
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        if not keep:
            headers["Connection"] = "close"
        self._transport.write(head_of(stream.status, headers))
        batch = Batch(self._loop, self._transport, chunked)
        try:
            async for piece in stream.pieces:
                if batch.add(piece) >= FULL:
                    batch.flush()
                    await self._drain()
        finally:
            batch.flush()
            close = getattr(stream.pieces, "aclose", None)
            if close is not None:
                await close()
        if chunked:
            self._transport.write(b"0\r\n\r\n")

    async def _drain(self) -> None:
        """Let the loop turn, and wait until the client has read enough."""
        await asyncio.sleep(0)
        if self._drained is not None:
            await self._drained

    async def _hand_over(self, hijack: Hijack) -> None:
        self._stop_watching()
        if not self._ended:
            self._transport.resume_reading()
        await hijack.takeover(Wire(self._transport, self._parser.rest(), self._ended))

    async def _linger(self, body: IncomingBody | None) -> None:
        """Close our half, and take in what the client still sends, so that it reads our answer."""
        await self._given_back.wait()
        if body is not None:
            body.discard()
        unread = body is not None and not body.finished
        if (unread or self._refusal is not None) and not self._ended:
            self._transport.write_eof()
            self._transport.resume_reading()
            self._busy = False  # the client's end closes the connection, and cancels this
            await asyncio.sleep(LINGER_SECONDS)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _left(self, task: asyncio.Task[None]) -> None:
        self._open_connections.discard(self)
        self._stop_watching()
        if self._head_deadline is not None:
            self._head_deadline.cancel()
        self._transport.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, ConnectionError):
                return
            self._loop.call_exception_handler({"message": "connection failed", "exception": error})
