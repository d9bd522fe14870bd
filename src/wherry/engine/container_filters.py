"""Which containers a list shows."""

import functools
import re
from collections.abc import Callable, Iterable

from wherry import errdefs
from wherry.engine import networking, patterns
from wherry.engine.container import Container
from wherry.engine.model import MountPoint
from wherry.engine.roster import Roster
from wherry.engine.runtime_spec import mounts
from wherry.engine.stores import Stores
from wherry.images.image import Image
from wherry.threads import to_thread

Test = Callable[[Container, str], bool]

_OF_PORTS = ("expose", "publish")

_STATES = frozenset({"created", "running", "paused", "restarting", "removing", "exited", "dead"})


async def choose(
    stores: Stores,
    roster: Roster,
    all: bool,  # noqa: A002 - the API's own word
    limit: int,
    filters: dict[str, list[str]],
) -> list[Container]:
    """The containers to show, the newest first.

    One of a filter's values must match, and every filter; of labels all must be there. `publish`
    and `expose` count as one filter, and `isolation`, a matter of Windows, as none. Without `all`,
    only those that run, unless a limit or a state is asked for. Raises InvalidArgument for an
    unknown filter or value, NotFound for a container in `before` or `since` that isn't there.
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
    ports = [(tests[name], filters[name]) for name in _OF_PORTS if filters.get(name)]
    if ports and not any(_some(test, container, values) for test, values in ports):
        return False
    for name, values in filters.items():
        test = tests.get(name)
        if test is None or not values or name in _OF_PORTS:
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


def _tests(ancestors: dict[str, Image]) -> dict[str, Test]:
    return {
        "id": lambda container, value: patterns.matches(value, container.id),
        "name": lambda container, value: (
            patterns.matches(value, container.name) or patterns.matches(value, f"/{container.name}")
        ),
        "label": _has_label,
        "status": lambda container, value: container.document.life.status == value,
        "exited": _exited_with,
        "ancestor": lambda container, value: _comes_from(container, value, ancestors.get(value)),
        "network": _has_network,
        "volume": _has_mount,
        "health": lambda _, value: value == "none",
        "is-task": lambda _, value: value in _FALSE,
        "isolation": lambda *_: True,
        "expose": lambda container, value: _has_port(
            container.document.config.exposed_ports or (), value
        ),
        "publish": lambda container, value: _has_port(
            container.document.host_config.port_bindings or (), value
        ),
    }


_ELSEWHERE = frozenset({"before", "since"})


def _check(filters: dict[str, list[str]]) -> None:
    for name, values in filters.items():
        if name not in _tests({}) and name not in _ELSEWHERE:
            raise errdefs.invalid(f"invalid filter '{name}'")
        judge = _JUDGES.get(name)
        for value in values:
            if judge is not None and not judge(value):
                raise errdefs.invalid(f"invalid filter '{name}={value}'")
            if name in ("name", "id"):
                patterns.judge(value)


_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_HEALTHS = frozenset({"none", "starting", "healthy", "unhealthy"})
# `80`, `8000-8010`, with the protocol or without.
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/([a-z]+))?")


@functools.lru_cache(maxsize=64)
def _ports(value: str) -> frozenset[str]:
    """`80/tcp` and the like; none if it is not written as ports are."""
    match = _PORTS.fullmatch(value)
    if match is None:
        return frozenset()
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last <= 65535:
        return frozenset()
    return frozenset(f"{port}/{match[3] or 'tcp'}" for port in range(first, last + 1))


_JUDGES: dict[str, Callable[[str], bool]] = {
    "status": lambda value: value in _STATES,
    "health": lambda value: value in _HEALTHS,
    "exited": lambda value: re.fullmatch(r"-?[0-9]{1,9}", value) is not None,
    "is-task": lambda value: value in _TRUE | _FALSE,
    "expose": lambda value: bool(_ports(value)),
    "publish": lambda value: bool(_ports(value)),
}


def _has_port(ports: Iterable[str], value: str) -> bool:
    wanted = _ports(value)
    return any((port if "/" in port else f"{port}/tcp") in wanted for port in ports)


def _comes_from(container: Container, value: str, ancestor: Image | None) -> bool:
    """Made of the image, or of one that has its layers and more on top of them."""
    document = container.document
    if ancestor is None:
        return document.config.image == value
    depth = len(ancestor.diff_ids)
    return document.image == ancestor.id or (
        0 < depth < len(document.layers) and document.diff_ids[:depth] == list(ancestor.diff_ids)
    )


def _has_network(container: Container, value: str) -> bool:
    mode = container.document.host_config.network_mode
    return value == mode or (bool(value) and networking.network_id(mode).startswith(value))


async def _ancestors(stores: Stores, values: list[str]) -> dict[str, Image]:
    """From what was written to the image; what names no image is left out."""
    found: dict[str, Image] = {}
    for value in values:
        try:
            found[value] = await to_thread(stores.images.resolve, value)
        except errdefs.EngineError:
            continue
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
