"""The API's versions: `/v1.44/containers/json` is the same path as `/containers/json`."""

import re

from wherry import errdefs

API_VERSION = (1, 51)
MIN_API_VERSION = (1, 24)
API_VERSION_TEXT = "1.51"
MIN_API_VERSION_TEXT = "1.24"

_PREFIX = re.compile(r"/v([0-9.]+)(?=/)")


def split_version(path: str) -> tuple[tuple[int, int] | None, str]:
    """A path's version, None if it has none, and the path without it.

    EngineError (invalid) for a version outside of what is served, in Docker's words, which
    clients look for.
    """
    match = _PREFIX.match(path)
    if match is None:
        return None, path
    asked = match[1]
    numbers = asked.split(".")
    if len(numbers) != 2 or not all(number and len(number) < 6 for number in numbers):
        raise errdefs.invalid(f"invalid API version: {asked} is not like {API_VERSION_TEXT}")
    version = int(numbers[0]), int(numbers[1])
    if version > API_VERSION:
        raise errdefs.invalid(
            f"client version {asked} is too new. "
            f"Maximum supported API version is {API_VERSION_TEXT}"
        )
    if version < MIN_API_VERSION:
        raise errdefs.invalid(
            f"client version {asked} is too old. Minimum supported API version is "
            f"{MIN_API_VERSION_TEXT}, please upgrade your client to a newer version"
        )
    return version, path[match.end() :]
