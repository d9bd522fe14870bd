"""What went wrong with a daemon: it said no, or it said nothing."""

from __future__ import annotations

from wherry.failure import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.errdefs import Kind


class DaemonError(EngineError):
    """An answer with an error status. The message is the daemon's own."""

    def __init__(self, status: int, message: str) -> None:
        self._say(message)
        self.status = status

    @property
    def kind(self) -> Kind:
        from wherry.errdefs import Kind

        kinds = {kind.value: kind for kind in Kind}
        other = Kind.INVALID_ARGUMENT if 400 <= self.status < 500 else Kind.INTERNAL
        return kinds.get(self.status, other)


class ConversationError(EngineError):
    """Our words about the daemon. `kind_name` is UNAVAILABLE, FORBIDDEN or NOT_FOUND."""

    def __init__(self, message: str, kind_name: str = "UNAVAILABLE") -> None:
        self._say(message)
        self._kind_name = kind_name

    @property
    def kind(self) -> Kind:
        from wherry.errdefs import Kind

        return Kind[self._kind_name]
