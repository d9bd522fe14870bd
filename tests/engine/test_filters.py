"""Filters of lists: whatever a client writes is a value, or is refused."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.engine import image_filters, patterns
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


@pytest.mark.parametrize(
    "pattern",
    [
        "(a*)*b",
        "((a+))+b",
        "(a|a)*b",
        "(a|aa){9}",
        "(?:a?)*b",
        "a?" * 30,
        "a*a*a*a*b",
        "(a|a)" * 40,
    ],
)
async def test_what_would_take_for_ever_is_refused(house, pattern: str) -> None:
    for name in ("name", "id"):
        with pytest.raises(EngineError, match="too long to match") as caught:
            await house.containers.list(True, 0, False, {name: [pattern]})
        assert caught.value.kind is Kind.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "pattern",
    ["web", "^/web$", "^w.*b$", "(web|db)", "w[a-e]+b", "(we)+b", "w\\w{2}", "we?b", "(w)eb"],
)
def test_what_people_write_is_matched(pattern: str) -> None:
    patterns.judge(pattern)
    assert patterns.matches(pattern, "web") or patterns.matches(pattern, "/web")


pieces = st.sampled_from(
    ["a", "(a|a)", "b", ".", "[ab]", "(", ")", "|", "*", "+", "?", "{2,}", "^", "$"]
)


@given(st.lists(pieces, max_size=20).map("".join))
def test_what_passes_takes_no_time(pattern: str) -> None:
    try:
        patterns.judge(pattern)
    except EngineError:
        return
    began = time.process_time()
    patterns.matches(pattern, "a" * 128)
    assert time.process_time() - began < 2
