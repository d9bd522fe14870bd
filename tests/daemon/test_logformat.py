"""One event, one line."""

import logging

from hypothesis import given
from hypothesis import strategies as st

from wherry.daemon.logformat import LineFormatter


def record(message: str, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("x", logging.WARNING, "f", 1, message, (), None)
    made.created = 1_700_000_000.5
    made.fields = fields
    return made


def test_the_form() -> None:
    line = LineFormatter().format(record('say "hi"', path="/a/b", error="it's\nbroken", n=3))
    assert line == (
        'time="2023-11-14T22:13:20.500000000Z" level=warning msg="say \\"hi\\"" '
        'path=/a/b error="it\'s\\nbroken" n=3'
    )


def test_a_trace_is_one_line_too() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        made = record("bug")
        made.exc_info = (type(error), error, error.__traceback__)
    assert "\n" not in LineFormatter().format(made)


@given(st.text(), st.text())
def test_always_one_line(message: str, value: str) -> None:
    assert (
        len(LineFormatter().format(record(message.replace("%", ""), key=value)).splitlines()) == 1
    )
