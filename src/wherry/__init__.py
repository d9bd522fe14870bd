"""Wherry: a container engine in Python that Docker's clients talk to unchanged.

As a library: `wherry.Engine` is an engine in the program itself, `wherry.connect()` the way to a
daemon; see `wherry.library` and docs/library.md.

Importing this package imports nothing else: the command line starts in milliseconds. The names
below are loaded when they are used.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.build.events import BuildFailedError, Built
    from wherry.errdefs import EngineError, Kind
    from wherry.library.anyengine import AnyEngine
    from wherry.library.attaching import Attachment
    from wherry.library.connecting import RemoteEngine, connect
    from wherry.library.containers import Container, Output
    from wherry.library.engine import Engine
    from wherry.library.loglines import LogLine

# A room that has these names is found by `from wherry import ...` as ever.
_PLACES = {
    "AnyEngine": "wherry.library.anyengine",
    "Attachment": "wherry.library.attaching",
    "BuildFailedError": "wherry.build.events",
    "Built": "wherry.build.events",
    "Container": "wherry.library.containers",
    "Engine": "wherry.library.engine",
    "EngineError": "wherry.errdefs",
    "Kind": "wherry.errdefs",
    "LogLine": "wherry.library.loglines",
    "Output": "wherry.library.containers",
    "RemoteEngine": "wherry.library.connecting",
    "connect": "wherry.library.connecting",
}

__all__ = [
    "AnyEngine",
    "Attachment",
    "BuildFailedError",
    "Built",
    "Container",
    "Engine",
    "EngineError",
    "Kind",
    "LogLine",
    "Output",
    "RemoteEngine",
    "connect",
]


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(place), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
