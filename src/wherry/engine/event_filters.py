"""Which events a listener hears of, by dockerd's rules.

A filter that does not exist lets everything through, and one of another type than the event's
lets nothing through: `image` matches containers by their image, and everything else its own type.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from wherry.engine.model import EventMessage

Filters: TypeAlias = Mapping[str, Sequence[str]]

# Each of these names an actor of its own type, by its ID or name or the beginning of either.
_ACTORS: Final = (
    *("container", "daemon", "network", "volume", "plugin"),
    *("node", "service", "secret", "config"),
)
# Their actions have a detail behind a colon, and are found without it.
_DETAILED: Final = frozenset({"health_status", "exec_create", "exec_start"})


def chooser(filters: Filters) -> Callable[[EventMessage], bool]:
    """A test that says whether every filter lets an event through."""
    tests = [_TESTS[name] for name, values in filters.items() if values and name in _TESTS]
    return lambda event: all(test(event, filters) for test in tests)


def _has_type(event: EventMessage, filters: Filters) -> bool:
    return event.type in filters["type"]


def _has_scope(event: EventMessage, filters: Filters) -> bool:
    return event.scope in filters["scope"]


def _has_action(event: EventMessage, filters: Filters) -> bool:
    wanted = filters["event"]
    if _DETAILED.isdisjoint(wanted):
        return event.action in wanted
    return any(event.action.startswith(action) for action in wanted)


def _has_labels(event: EventMessage, filters: Filters) -> bool:
    return all(_has_label(event.actor.attributes, value) for value in filters["label"])


def _has_label(attributes: Mapping[str, str], value: str) -> bool:
    key, equals, wanted = value.partition("=")
    return key in attributes and (not equals or attributes[key] == wanted)


def _has_image(event: EventMessage, filters: Filters) -> bool:
    name = event.actor.attributes.get("name" if event.type == "image" else "image", "")
    known = {event.actor.id, name, _without_tag(event.actor.id), _without_tag(name)}
    return not known.isdisjoint(filters["image"])


def _without_tag(name: str) -> str:
    """`host:5000/app:1` without `:1`; the digits of a digest go like a tag."""
    before, colon, after = name.rpartition(":")
    return before if colon and "/" not in after else name


def _is_actor(kind: str) -> Callable[[EventMessage, Filters], bool]:
    def test(event: EventMessage, filters: Filters) -> bool:
        names = (event.actor.id, event.actor.attributes.get("name", ""))
        begun = tuple(filters[kind])
        return event.type == kind and any(name.startswith(begun) for name in names)

    return test


_TESTS: Final[dict[str, Callable[[EventMessage, Filters], bool]]] = {
    "type": _has_type,
    "scope": _has_scope,
    "event": _has_action,
    "label": _has_labels,
    "image": _has_image,
    **{kind: _is_actor(kind) for kind in _ACTORS},
}
