"""Sizes, durations and moments as people write and read them."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.cli.timestamps import read_moment, seconds_since
from wherry.cli.units import (
    binary_size,
    human_duration,
    human_size,
    read_cpus,
    read_duration,
    read_size,
    read_swap,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("512b", 512),
        ("64k", 65536),
        ("64K", 65536),
        ("64kb", 65536),
        ("64KiB", 65536),
        ("64 k", 65536),
        ("1.5m", 1572864),
        ("2g", 2 << 30),
        ("1t", 1 << 40),
        ("1p", 1 << 50),
        ("0.5k", 512),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "x", "k", "-1", "1x", "1kk", "1  k", "1..5k", "٣", "1e3", "+1"]
)
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="invalid size"):
        read_size(text)


def test_swap_may_be_unlimited() -> None:
    assert (read_swap("-1"), read_swap("1k")) == (-1, 1024)


@given(st.integers(0, 1 << 60))
def test_every_whole_number_is_a_size(size: int) -> None:
    assert read_size(str(size)) == size


@pytest.mark.parametrize(
    ("text", "nano"),
    [("1", 10**9), ("0.5", 5 * 10**8), (".25", 25 * 10**7), ("1.000000001", 10**9 + 1)],
)
def test_cpus(text: str, nano: int) -> None:
    assert read_cpus(text) == nano


@pytest.mark.parametrize("text", ["", ".", "x", "-1", "1.0000000001", "1,5"])
def test_no_cpus(text: str) -> None:
    with pytest.raises(ValueError):
        read_cpus(text)


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("0", 0),
        ("1s", 10**9),
        ("1h30m", 5400 * 10**9),
        ("1.5s", 15 * 10**8),
        ("250ms", 25 * 10**7),
        ("-1m", -60 * 10**9),
        ("3us", 3000),
        ("3µs", 3000),
    ],
)
def test_durations(text: str, nano: int) -> None:
    assert read_duration(text) == nano


@pytest.mark.parametrize("text", ["", "-", "1", "s", "1x", "1s1", "1.s.", "1h 1m"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        read_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "Less than a second"),
        (0.9, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5399, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (13 * 86400, "13 days"),
        (14 * 86400, "2 weeks"),
        (59 * 86400, "8 weeks"),
        (60 * 86400, "2 months"),
        (729 * 86400, "24 months"),
        (730 * 86400, "2 years"),
    ],
)
def test_how_long_about(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "digits", "text"),
    [
        (0, 3, "0B"),
        (999, 3, "999B"),
        (1000, 3, "1kB"),
        (4_262_000, 3, "4.26MB"),
        (4_262_000, 4, "4.262MB"),
        (123_456_789, 3, "123MB"),
        (1e25, 3, "10YB"),
    ],
)
def test_decimal_sizes(size: float, digits: int, text: str) -> None:
    assert human_size(size, digits) == text


def test_binary_sizes() -> None:
    assert binary_size(25276510208) == "23.54GiB"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("", ""),
        ("1136073600", "1136073600.000000000"),
        ("1136073600.5", "1136073600.500000000"),
        ("1136073600.000000001", "1136073600.000000001"),
        ("10s", "990.000000000"),
        ("1500ms", "998.500000000"),
        ("2006-01-01T00:00:00Z", "1136073600.000000000"),
        ("2006-01-01T00:00:00.123456789Z", "1136073600.123456789"),
        ("2006-01-01T01:00:00.5+01:00", "1136073600.500000000"),
    ],
)
def test_moments(text: str, moment: str) -> None:
    assert read_moment(text, now=1000.0) == moment


@pytest.mark.parametrize("text", ["yesterday", "2006-13-01", "1.2.3", "10x"])
def test_no_moments(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        read_moment(text)


def test_moments_of_the_api() -> None:
    choose = random.Random(3)
    for _ in range(500):
        moment = choose.randrange(8_000_000_000)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + ".123456789Z"
        assert abs(seconds_since(text) - (time.time() - moment)) < 5
