"""The one exception that crosses a room's edge. Its kinds are in `errdefs`.

They are an enumeration, whose import costs 5 ms; a command line that only has to say what the
daemon answered does without.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Kind(Protocol):
        """`errdefs.Kind`, which this file must not know."""

        @property
        def name(self) -> str: ...

        @property
        def value(self) -> int: ...

        @property
        def http_status(self) -> int: ...


class EngineError(Exception):
    """A kind, and one sentence for the user.

    Its message can be written anywhere: a file's name in it that is no UTF-8 is escaped.
    """

    _kind: Kind

    def __init__(self, kind: Kind, message: str) -> None:
        self._say(message)
        self._kind = kind

    def _say(self, message: str) -> None:
        if not message.isascii():
            message = message.encode("utf-8", "backslashreplace").decode()
        super().__init__(message)
        self.message = message

    @property
    def kind(self) -> Kind:
        return self._kind

    def __reduce__(self) -> tuple[type[EngineError], tuple[Kind, str]]:
        return (EngineError, (self.kind, self.message))
