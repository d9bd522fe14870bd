"""The Engine API: versions, routes, headers, and errors, around the handlers in `routes/`."""

import logging
import re
import time
from collections.abc import AsyncIterator

from wherry import __version__, errdefs
from wherry.api.backends import Backend
from wherry.api.calls import Call, Pending
from wherry.api.errors import message_reply, page_not_found, reply_to
from wherry.api.http.messages import Answer, HTTPError, Reply, Request, Stream
from wherry.api.routes import Router
from wherry.api.versions import API_VERSION, API_VERSION_TEXT, split_version

log = logging.getLogger("wherry.api")

_HEADERS = {
    "Api-Version": API_VERSION_TEXT,
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Wherry/{__version__} (linux)",
}
_READING = ("GET", "HEAD", "OPTIONS")


class Api:
    """An HTTP application over an engine."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._pending = Pending()
        self._router = Router()

    async def __call__(self, request: Request) -> Answer:
        began = time.monotonic()
        try:
            answer = await self._dispatch(request)
        except (errdefs.EngineError, HTTPError) as error:
            answer = reply_to(error)
            self._log_refusal(request, error)
        except Exception as error:  # noqa: BLE001 - the last line of defence: one line, one answer
            answer = self._surprise(request, error)
        answer.headers = {**_HEADERS, **answer.headers}
        if isinstance(answer, Stream):
            answer.pieces = self._guarded(request, answer.pieces)
        if request.method not in _READING:
            self._log_change(request, answer.status, time.monotonic() - began)
        elif log.isEnabledFor(logging.DEBUG) and not request.path.endswith("/_ping"):
            log.debug("request", extra=_fields(request, status=answer.status))
        return answer

    def refuse(self, error: HTTPError) -> Reply:
        reply = message_reply(error.status, error.message)
        reply.headers = {**_HEADERS, **reply.headers}
        return reply

    async def settle(self, grace: float) -> None:
        """Wait for changes under way, up to `grace` seconds; then end who only listens."""
        await self._pending.settle(grace)
        self._backend.system.end_events()

    async def _dispatch(self, request: Request) -> Answer:
        version, path = split_version(request.path)
        found = self._router.find(request.method, path)
        if found is None:
            return page_not_found()
        handler, ref = found
        return await handler(
            Call(request, ref, version or API_VERSION, self._backend, self._pending)
        )

    async def _guarded(
        self, request: Request, pieces: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        """The head is out and no status can be sent any more: say why here, and cut."""
        try:
            async for piece in pieces:
                yield piece
        except errdefs.EngineError as error:
            self._log_refusal(request, error)
            raise ConnectionAbortedError(error.message) from error
        except (ConnectionError, HTTPError):
            raise
        except Exception as error:
            self._surprise(request, error)
            raise ConnectionAbortedError("internal error") from error
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    def _surprise(self, request: Request, error: Exception) -> Reply:
        """A bug of ours: its place goes to the log, its name to the client."""
        what = f"{type(error).__name__}: {error}"
        log.error("unexpected error", extra=_fields(request, error=what, at=_place(error)))
        log.debug("unexpected error", exc_info=error)
        return message_reply(500, f"internal error ({what}); the daemon's log has its place")

    def _log_refusal(self, request: Request, error: errdefs.EngineError | HTTPError) -> None:
        ours = isinstance(error, errdefs.EngineError) and error.kind.http_status == 500
        level = logging.ERROR if ours else logging.DEBUG
        if log.isEnabledFor(level):
            log.log(level, "request failed", extra=_fields(request, error=error.message))

    def _log_change(self, request: Request, status: int, seconds: float) -> None:
        if log.isEnabledFor(logging.INFO):
            extra = _fields(request, status=status, ms=f"{seconds * 1000:.1f}")
            log.info("request", extra=extra)


def _fields(request: Request, **more: object) -> dict[str, object]:
    """What the daemon's log format writes behind the message."""
    return {"fields": {"method": request.method, "path": request.path, **more}}


def _place(error: BaseException) -> str:
    """`file.py:123` of the innermost frame; never a traceback."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?"
    name = re.sub(r".*/(?=wherry/|[^/]+$)", "", trace.tb_frame.f_code.co_filename)
    return f"{name}:{trace.tb_lineno}"
