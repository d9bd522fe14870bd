"""Query strings, moments, and detach keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.api import detach, parameters
from wherry.api.timestamps import nanoseconds
from wherry.errdefs import EngineError


@pytest.mark.parametrize("value", ["", "0", "no", "false", "none", "False", "NONE"])
def test_what_is_false(value: str) -> None:
    assert not parameters.flag({"x": [value]}, "x", default=True)


@pytest.mark.parametrize("value", ["1", "true", "True", "yes", "2", "on"])
def test_what_is_true(value: str) -> None:
    assert parameters.flag({"x": [value]}, "x")


def test_what_is_absent() -> None:
    assert not parameters.flag({}, "x")
    assert parameters.flag({}, "x", default=True)
    assert parameters.number({}, "x", 3) == 3
    assert parameters.number({"x": [""]}, "x") is None
    assert parameters.filters({}) == {}


@pytest.mark.parametrize("value", ["x", "1.5", "1e3", "٣", "-", "9" * 19, "9" * 5000, "0x10"])
def test_no_numbers(value: str) -> None:
    with pytest.raises(EngineError, match="invalid value for t"):
        parameters.number({"t": [value]}, "t")


def test_numbers() -> None:
    assert parameters.number({"t": ["-1"]}, "t") == -1
    assert parameters.number({"t": ["+10"]}, "t") == 10


def test_both_forms_of_filters() -> None:
    new = '{"label":{"a=b":true,"c":false},"status":{"running":true}}'
    assert parameters.filters({"filters": [new]}) == {"label": ["a=b"], "status": ["running"]}
    old = '{"label":["a=b"],"status":[]}'
    assert parameters.filters({"filters": [old]}) == {"label": ["a=b"]}


@pytest.mark.parametrize("value", ["{", "[]", '{"a":1}', '{"a":{"b":"true"}}', '{"a":[1]}'])
def test_invalid_filters(value: str) -> None:
    with pytest.raises(EngineError, match="invalid filter"):
        parameters.filters({"filters": [value]})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", 0),
        ("0", 0),
        ("1136073845", 1136073845 * 10**9),
        ("1136073845.000000001", 1136073845 * 10**9 + 1),
        ("1136073845.5", 1136073845 * 10**9 + 5 * 10**8),
        ("2006-01-02T15:04:05Z", 1136214245 * 10**9),
        ("2006-01-02T15:04:05.123456789Z", 1136214245 * 10**9 + 123456789),
        ("2006-01-02T15:04:05+01:00", (1136214245 - 3600) * 10**9),
    ],
)
def test_moments(value: str, expected: int) -> None:
    assert nanoseconds("since", value) == expected


@pytest.mark.parametrize("value", ["yesterday", "1.2.3", "2006-13-01T00:00:00Z", "--1"])
def test_no_moments(value: str) -> None:
    with pytest.raises(EngineError, match="since"):
        nanoseconds("since", value)


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00", "9999-12-31T23:59:59.5"])
def test_moments_at_the_ends_of_time_are_judged(value: str) -> None:
    try:
        assert isinstance(nanoseconds("since", value), int)
    except EngineError as error:
        assert "neither seconds" in error.message  # noqa: PT017 - either is right: by the zone


def test_detach_keys() -> None:
    assert detach.parse("") == b"\x10\x11"
    assert detach.parse("ctrl-a,b,ctrl-[") == b"\x01b\x1b"
    for wrong in ("ctrl-1", "ctrl-", "ab", "a,,b", "é"):
        with pytest.raises(EngineError, match="detach keys"):
            detach.parse(wrong)


@pytest.mark.parametrize(
    ("typed", "passed", "detached"),
    [
        (b"plain", b"plain", False),
        (b"ab\x10\x11more", b"ab", True),
        (b"\x10x", b"\x10x", False),
        (b"\x10\x10\x11", b"\x10", True),
        (b"\x11\x10", b"\x11", False),
    ],
)
def test_the_detector_in_one_piece_and_byte_by_byte(
    typed: bytes, passed: bytes, detached: bool
) -> None:
    assert detach.Detector(detach.DEFAULT).feed(typed) == (passed, detached)
    slow = detach.Detector(detach.DEFAULT)
    seen = b""
    for byte in typed:
        piece, done = slow.feed(bytes([byte]))
        seen += piece
        if done:
            break
    assert (seen, done) == (passed, detached)


@given(st.lists(st.binary(max_size=6).map(lambda b: b.replace(b"\x11", b""))))
def test_without_the_keys_all_but_a_held_byte_passes(pieces: list[bytes]) -> None:
    detector = detach.Detector(detach.DEFAULT)
    seen = b"".join(detector.feed(piece)[0] for piece in pieces)
    assert b"".join(pieces) in (seen, seen + b"\x10")
