"""The table of what is served, put together from one file per noun."""

from wherry.api.calls import Handler
from wherry.api.routes import (
    absent,
    build,
    containers,
    events,
    images,
    networks,
    plugins,
    streams,
    system,
)

# Exact paths and more special patterns come before those that would match them too.
_MODULES = (system, events, containers, streams, images, build, networks, plugins, absent)


class Router:
    """Finds the handler of a method and path.

    A pattern has at most one name in it, written `{}`; a name may contain slashes, as images'
    names do, so exact paths go before patterns and earlier patterns before later ones.
    """

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], Handler] = {}
        self._patterns: dict[str, list[tuple[str, str, Handler]]] = {}
        for module in _MODULES:
            for method, pattern, handler in module.ROUTES:
                self._add(method, pattern, handler)

    def _add(self, method: str, pattern: str, handler: Handler) -> None:
        before, name, after = pattern.partition("{}")
        if name:
            self._patterns.setdefault(method, []).append((before, after, handler))
        else:
            self._exact.setdefault((method, pattern), handler)

    def find(self, method: str, path: str) -> tuple[Handler, str] | None:
        """The handler and the name in the path, "" if it has none."""
        handler = self._exact.get((method, path))
        if handler is not None:
            return handler, ""
        for before, after, handler in self._patterns.get(method, ()):
            name_size = len(path) - len(before) - len(after)
            if name_size > 0 and path.startswith(before) and path.endswith(after):
                return handler, path[len(before) : len(before) + name_size]
        return None
