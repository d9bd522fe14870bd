"""Which images a list shows."""

import dataclasses
import datetime
import time

from wherry import errdefs
from wherry.images.image import Image
from wherry.reference import Pattern, parse

_KNOWN = frozenset({"dangling", "label", "reference", "before", "since", "until"})


def choose(images: list[Image], filters: dict[str, list[str]]) -> list[Image]:
    """Those that every filter lets through, in the same order.

    With `reference` an image keeps only the names that it fits.
    Raises InvalidArgument for an unknown filter or value, NotFound for an image in `before` or
    `since` that isn't there.
    """
    for name in filters:
        if name not in _KNOWN:
            raise errdefs.invalid(f"invalid filter '{name}'")
    chosen = images
    for value in filters.get("dangling", []):
        wanted = _boolean("dangling", value)
        chosen = [image for image in chosen if (not image.names) == wanted]
    for value in filters.get("label", []):
        chosen = [image for image in chosen if _has_label(image, value)]
    for value in filters.get("before", []):
        limit = _find(images, value).created_seconds
        chosen = [image for image in chosen if image.created_seconds < limit]
    for value in filters.get("since", []):
        limit = _find(images, value).created_seconds
        chosen = [image for image in chosen if image.created_seconds > limit]
    for value in filters.get("until", []):
        end = _moment(value)
        chosen = [image for image in chosen if image.created_seconds < end]
    if patterns := [Pattern(value) for value in filters.get("reference", [])]:
        chosen = [found for image in chosen if (found := _named(image, patterns)).names]
    return chosen


def _named(image: Image, patterns: list[Pattern]) -> Image:
    """The image with those of its names that one of the patterns fits."""
    names = [name for name in image.names if any(one.matches(name) for one in patterns)]
    return dataclasses.replace(image, names=tuple(names))


def _boolean(name: str, value: str) -> bool:
    if value.lower() in ("1", "true"):
        return True
    if value.lower() in ("0", "false"):
        return False
    raise errdefs.invalid(f"invalid filter '{name}={value}'")


def _has_label(image: Image, value: str) -> bool:
    key, equals, wanted = value.partition("=")
    labels = image.config.config.labels
    return key in labels and (not equals or labels[key] == wanted)


def _find(images: list[Image], ref: str) -> Image:
    digits = ref.removeprefix("sha256:")
    for image in images:
        if image.id.hex.startswith(digits):
            return image
    wanted = parse(ref).tagged()
    for image in images:
        if wanted in image.names:
            return image
    raise errdefs.not_found(f"No such image: {ref}")


def _moment(value: str) -> float:
    """Seconds since 1970 of a time, a number of seconds, or an age such as `24h`."""
    try:
        return float(value)
    except ValueError:
        pass
    try:
        moment = datetime.datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.astimezone()).timestamp()
    except (ValueError, OverflowError):  # the latter in the years 1 and 9999
        pass
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = value[:-1], value[-1:]
    if unit in units and number.isascii() and number.isdigit() and len(number) < 16:
        return time.time() - int(number) * units[unit]
    raise errdefs.invalid(f"invalid filter 'until={value}'")
