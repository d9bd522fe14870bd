"""Filters of lists: whatever a client writes is a value, or is refused."""

import pytest

from wherry.engine import image_filters
from wherry.engine.model import CreateRequest
from wherry.errdefs import EngineError, Kind


@pytest.mark.parametrize(
    "value", ["9" * 400 + "h", "9" * 5000 + "h", "h", "-1h", "1.5h", "yesterday", "\u0661h"]
)
def test_no_age_of_an_image(value: str) -> None:
    with pytest.raises(EngineError, match="invalid filter 'until=") as caught:
        image_filters.choose([], {"until": [value]})
    assert caught.value.kind is Kind.INVALID_ARGUMENT


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_moments_at_the_ends_of_time_are_judged(value: str) -> None:
    try:
        assert image_filters.choose([], {"until": [value]}) == []
    except EngineError as error:
        assert error.kind is Kind.INVALID_ARGUMENT  # noqa: PT017 - either is right: by the zone


@pytest.mark.parametrize(
    "pattern", ["a{99999999999999}", "(" * 5000, "[", "*", "(?P<x>", "\\", "x" * 5000]
)
async def test_what_is_no_regular_expression_is_plain_text(house, pattern: str) -> None:
    await house.containers.create("web", CreateRequest(image="busybox", cmd=["x"]), None)
    for name in ("name", "id"):
        assert await house.containers.list(True, 0, False, {name: [pattern]}) == []
