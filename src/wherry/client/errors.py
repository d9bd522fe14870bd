"""What a daemon's refusal, or its silence, is called."""

from __future__ import annotations

from wherry.client import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.client.address import Address
    from wherry.failure import EngineError

# The classes are imported when something has failed.


def daemon_error(status: int, body: bytes) -> EngineError:
    """The DaemonError for an answer with an error status; its message is the daemon's own."""
    from wherry.client.refusals import DaemonError

    return DaemonError(status, _message(body) or f"the daemon answered with status {status}")


def _message(body: bytes) -> str:
    try:
        document = jsontext.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace").strip()
    message = document.get("message") if isinstance(document, dict) else None
    return message if isinstance(message, str) else ""


def unreachable(address: Address, error: OSError) -> EngineError:
    """The EngineError for an address that nobody answers at."""
    from wherry.client.refusals import ConversationError

    if isinstance(error, PermissionError):
        return ConversationError(
            f"permission denied while trying to connect to the Wherry daemon at {address} "
            "(be root, or in the socket's group)",
            "FORBIDDEN",
        )
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
        question = "Is the daemon running?"
        return ConversationError(f"Cannot connect to the Wherry daemon at {address}. {question}")
    return ConversationError(
        f"Cannot connect to the Wherry daemon at {address}: {error.strerror or error}"
    )


def vanished(address: Address, why: str) -> EngineError:
    """The EngineError for a daemon that closed the connection in place of an answer."""
    reason = f": {why}" if why else ""
    return broken(f"the daemon at {address} closed the connection without an answer{reason}")


def missing(message: str) -> EngineError:
    """The EngineError for a name that nothing has."""
    from wherry.client.refusals import ConversationError

    return ConversationError(message, "NOT_FOUND")


def broken(problem: str) -> EngineError:
    """The EngineError for a conversation that stopped making sense."""
    from wherry.client.refusals import ConversationError

    return ConversationError(problem)
