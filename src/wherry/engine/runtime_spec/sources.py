"""Where binds come from on the host: looked for at the creation, and again at each start."""

import errno
import os
from collections.abc import Sequence

from wherry import errdefs
from wherry.engine.runtime_spec.mounts import Planned


def check(planned: Planned) -> None:
    """Raises InvalidArgument, in Docker's words, for a source that is missing or can't be made."""
    for source in planned.needed:
        if not os.path.lexists(source):
            raise errdefs.invalid(
                'invalid mount config for type "bind": bind source path does not exist: ' + source
            )
    for source in planned.made:
        if not os.path.lexists(source):
            above = _nearest(source)
            if not os.path.isdir(above):
                raise _not_made(source, f"{above}: {os.strerror(errno.ENOTDIR).lower()}")


def make_missing(sources: Sequence[str]) -> None:
    """Make the directories that are not there, for `Planned.made`."""
    for source in sources:
        if not os.path.lexists(source):
            try:
                os.makedirs(source, 0o755, exist_ok=True)
            except OSError as error:
                said = f"{source}: {(error.strerror or str(error)).lower()}"
                raise _not_made(source, said) from error


def _nearest(path: str) -> str:
    """What there is of a path that is not there."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _not_made(source: str, said: str) -> errdefs.EngineError:
    return errdefs.invalid(f"error while creating mount source path '{source}': mkdir {said}")
