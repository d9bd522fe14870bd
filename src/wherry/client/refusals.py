"""What a daemon answered instead of doing it; told apart from not having reached it."""

from wherry.errdefs import EngineError


class DaemonError(EngineError):
    """An answer with an error status. The message is the daemon's own."""
