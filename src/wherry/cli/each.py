"""One action on each of several things: an error at one does not keep it from the others."""

from __future__ import annotations

from wherry.cli.errors import FAILED, engine_error, status_of, told
from wherry.cli.output import err_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def on_each(
    refs: Iterable[str], action: Callable[[str], None], *, missing_is_fine: bool = False
) -> int:
    """Do `action` with each; the exit code says whether all went well.

    With `missing_is_fine` what isn't there is said, and is no failure: `rm -f` wants it gone.
    """
    code = 0
    for ref in refs:
        try:
            action(ref)
        except engine_error() as error:
            err_line(told(error))
            if not (missing_is_fine and status_of(error) == 404):
                code = FAILED
    return code
