"""Which containers a list shows."""

import asyncio
import re
from collections.abc import Callable

from wherry import errdefs
from wherry.engine import patterns
from wherry.engine.container import Container
from wherry.engine.model import MountPoint
from wherry.engine.roster import Roster
from wherry.engine.runtime_spec import mounts
from wherry.engine.stores import Stores

Test = Callable[[Container, str], bool]

_STATES = frozenset({"created", "running", "paused", "restarting", "removing", "exited", "dead"})


async def choose(
    stores: Stores,
    roster: Roster,
    all: bool,  # noqa: A002 - the API's own word
    limit: int,
    filters: dict[str, list[str]],
) -> list[Container]:
    """The containers to show, the newest first.

    One of a filter's values must match, and every filter. Without `all`, only those that run,
    unless a limit or a state is asked for. Raises InvalidArgument for an unknown filter or value,
    NotFound for a container in `before` or `since` that isn't there.
    """
    _check(filters)
    tests = _tests(await _ancestors(stores, filters.get("ancestor", [])))
    candidates = sorted(roster, key=lambda container: -container.document.created_ns)
    candidates = _between(roster, candidates, filters)
    if not all and limit <= 0 and "status" not in filters:
        candidates = [container for container in candidates if container.running]
    chosen = [container for container in candidates if all_match(container, filters, tests)]
    return chosen[:limit] if limit > 0 else chosen


def all_match(container: Container, filters: dict[str, list[str]], tests: dict[str, Test]) -> bool:
    for name, values in filters.items():
        test = tests.get(name)
        if test is None or not values:
            continue
        # Of labels all must be there, of everything else one.
        quantifier = _every if name == "label" else _some
        if not quantifier(test, container, values):
            return False
    return True


def _every(test: Test, container: Container, values: list[str]) -> bool:
    return all(test(container, value) for value in values)


def _some(test: Test, container: Container, values: list[str]) -> bool:
    return any(test(container, value) for value in values)


def _tests(ancestors: dict[str, str]) -> dict[str, Test]:
    return {
        "id": lambda container, value: patterns.matches(value, container.id),
        "name": lambda container, value: (
            patterns.matches(value, container.name) or patterns.matches(value, f"/{container.name}")
        ),
        "label": _has_label,
        "status": lambda container, value: container.document.life.status == value,
        "exited": _exited_with,
        "ancestor": lambda container, value: (
            container.document.config.image == value
            or container.document.image == ancestors.get(value)
        ),
        "network": lambda container, value: value == container.document.host_config.network_mode,
        "volume": _has_mount,
        "health": lambda _, value: value == "none",
        "is-task": lambda _, value: value in ("false", "0"),
    }


_ELSEWHERE = frozenset({"before", "since"})
_LATER = frozenset({"expose", "publish", "isolation"})


def _check(filters: dict[str, list[str]]) -> None:
    for name, values in filters.items():
        if name in _LATER:
            raise errdefs.not_implemented(f"the filter {name} is not supported yet")
        if name not in _tests({}) and name not in _ELSEWHERE:
            raise errdefs.invalid(f"invalid filter '{name}'")
        for value in values:
            if name == "status" and value not in _STATES:
                raise errdefs.invalid(f"invalid filter 'status={value}'")
            if name == "exited" and not re.fullmatch(r"-?[0-9]{1,9}", value):
                raise errdefs.invalid(f"invalid filter 'exited={value}'")
            if name in ("name", "id"):
                patterns.judge(value)


async def _ancestors(stores: Stores, values: list[str]) -> dict[str, str]:
    """From what was written to the image's ID; what names no image is left out."""
    found: dict[str, str] = {}
    for value in values:
        try:
            image = await asyncio.to_thread(stores.images.resolve, value)
        except errdefs.EngineError:
            continue
        found[value] = str(image.id)
    return found


def _between(
    roster: Roster, containers: list[Container], filters: dict[str, list[str]]
) -> list[Container]:
    """Those older than every `before` and newer than every `since`, in the same order."""
    for ref in filters.get("before", []):
        end = roster.find(ref).document.created_ns
        containers = [one for one in containers if one.document.created_ns < end]
    for ref in filters.get("since", []):
        start = roster.find(ref).document.created_ns
        containers = [one for one in containers if one.document.created_ns > start]
    return containers


def _has_label(container: Container, value: str) -> bool:
    key, equals, wanted = value.partition("=")
    labels = container.document.config.labels or {}
    return key in labels and (not equals or labels[key] == wanted)


def _exited_with(container: Container, value: str) -> bool:
    life = container.document.life
    return life.status == "exited" and life.exit_code == int(value)


def _has_mount(container: Container, value: str) -> bool:
    def is_it(point: MountPoint) -> bool:
        return value in (point.source, point.destination)

    return any(is_it(point) for point in mounts.plan(container.document.host_config).points)
