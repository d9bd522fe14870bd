"""The quick JSON reader and writer agree with the standard library's."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.client.jsontext import dumps, loads

scalars = st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"))
values = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@given(values)
def test_both_directions_agree_with_the_standard_library(value: object) -> None:
    assert json.loads(dumps(value)) == value
    assert loads(json.dumps(value)) == value
    assert loads(json.dumps(value, indent=2, ensure_ascii=False).encode()) == value


@given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsn \\u', max_size=12))
def test_what_the_standard_library_refuses_is_refused(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            loads(text)
    else:
        assert loads(text) == expected


@pytest.mark.parametrize(
    "text", ["", "  ", "{", '{"a":}', "[1,]", "nul", "1 2", "NaN", "[Infinity]", '"\n"']
)
def test_no_json_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        loads(text)


def test_bottomless_nesting_is_an_error() -> None:
    with pytest.raises(ValueError, match="deep"):
        loads("[" * 200_000)


def test_html_is_escaped_as_go_does() -> None:
    assert dumps({"a": "<none> & b"}, html=True) == '{"a":"\\u003cnone\\u003e \\u0026 b"}'
    assert dumps("<none>") == '"<none>"'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"x", {"a": {1, 2}}])
def test_what_json_can_not_hold_is_an_error(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        dumps(value)
