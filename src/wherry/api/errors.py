"""Errors as the Engine API answers them: a status and `{"message": ...}`. All of them, here."""

import msgspec

from wherry.api.http.messages import HTTPError, Reply
from wherry.errdefs import EngineError, Kind

JSON = "application/json"


def reply_to(error: EngineError | HTTPError) -> Reply:
    """The answer that an error is."""
    if isinstance(error, EngineError):
        if error.kind is Kind.NOT_MODIFIED:
            return Reply(304)
        return message_reply(error.kind.http_status, error.message)
    return message_reply(error.status, error.message)


def message_reply(status: int, message: str) -> Reply:
    body = msgspec.json.encode({"message": message}) + b"\n"
    return Reply(status, body, {"Content-Type": JSON})


def page_not_found() -> Reply:
    return message_reply(404, "page not found")
