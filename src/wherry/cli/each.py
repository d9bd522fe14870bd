"""One action on each of several things: an error at one does not keep it from the others."""

from __future__ import annotations

from wherry.cli.errors import FAILED, engine_error
from wherry.cli.output import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def on_each(refs: Iterable[str], action: Callable[[str], None]) -> int:
    """Do `action` with each; the exit code says whether all went well."""
    code = 0
    for ref in refs:
        try:
            action(ref)
        except engine_error() as error:
            complain(error.message)
            code = FAILED
    return code
