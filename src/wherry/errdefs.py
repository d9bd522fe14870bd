"""The kinds of error that Wherry knows, and the one class that carries them.

A message is one sentence for the user: it names the object, what is wrong with it, and the way
out. Each server maps the kind to its own status in one place (the Engine API in `api/errors.py`).
`OSError` is translated where it leaves a room, with `from` so that the cause stays visible.
"""

import enum

from wherry.failure import EngineError as EngineError  # noqa: PLC0414  known from here


class Kind(enum.Enum):
    """What went wrong, as far as a caller can act on it. The value is the HTTP status."""

    INVALID_ARGUMENT = 400
    UNAUTHORIZED = 401
    FORBIDDEN = 403
    NOT_FOUND = 404
    CONFLICT = 409
    NOT_MODIFIED = 304
    RESOURCE_EXHAUSTED = 429
    NOT_IMPLEMENTED = 501
    UNAVAILABLE = 503
    DATA_LOSS = -500
    INTERNAL = 500

    @property
    def http_status(self) -> int:
        """The status that the Engine API answers with."""
        return abs(self.value)


def invalid(message: str) -> EngineError:
    return EngineError(Kind.INVALID_ARGUMENT, message)


def not_found(message: str) -> EngineError:
    return EngineError(Kind.NOT_FOUND, message)


def conflict(message: str) -> EngineError:
    return EngineError(Kind.CONFLICT, message)


def forbidden(message: str) -> EngineError:
    return EngineError(Kind.FORBIDDEN, message)


def exhausted(message: str) -> EngineError:
    return EngineError(Kind.RESOURCE_EXHAUSTED, message)


def not_implemented(message: str) -> EngineError:
    return EngineError(Kind.NOT_IMPLEMENTED, message)


def unavailable(message: str) -> EngineError:
    return EngineError(Kind.UNAVAILABLE, message)


def data_loss(message: str) -> EngineError:
    return EngineError(Kind.DATA_LOSS, message)


def internal(message: str) -> EngineError:
    return EngineError(Kind.INTERNAL, message)


def from_os_error(tried: str, error: OSError) -> EngineError:
    """What the kernel said to what was tried, with the kind that fits its errno best."""
    import errno

    kinds = {
        errno.ENOSPC: Kind.RESOURCE_EXHAUSTED,
        errno.EDQUOT: Kind.RESOURCE_EXHAUSTED,
        errno.ENOMEM: Kind.RESOURCE_EXHAUSTED,
        errno.EMFILE: Kind.RESOURCE_EXHAUSTED,
        errno.ENFILE: Kind.RESOURCE_EXHAUSTED,
    }
    kind = kinds.get(error.errno or 0, Kind.INTERNAL)
    said = error.strerror or str(error)
    where = f" ({error.filename})" if error.filename else ""
    return EngineError(kind, f"{tried}: {said.lower()}{where}")
