"""Tables, quotes, indented JSON, and the keys that detach."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.cli.detach import DetachKeys, parse_keys
from wherry.cli.jsonindent import compact, indent
from wherry.cli.quoting import ellipsis, quoted
from wherry.cli.tabular import tabulate


def test_columns_are_ten_wide_at_least_and_three_apart() -> None:
    assert tabulate(["A\tB\tC", "longer than it\tx\ty"]) == (
        "A                B         C\nlonger than it   x         y\n"
    )


def test_a_column_is_as_wide_as_among_its_neighbours() -> None:
    assert tabulate(["a\tb", "no cells", "a much longer cell\tb"]) == (
        "a         b\nno cells\na much longer cell   b\n"
    )


def test_tables_of_nothing() -> None:
    assert tabulate([]) == ""
    assert tabulate(["", "a"]) == "\na\n"


@given(st.lists(st.lists(st.text("ab…", max_size=15), min_size=3, max_size=3), min_size=1))
def test_cells_start_below_each_other(rows: list[list[str]]) -> None:
    lines = tabulate(["\t".join(row) for row in rows]).splitlines()
    widths = [max(10, 3 + max(len(row[column]) for row in rows)) for column in range(2)]
    for row, line in zip(rows, lines, strict=True):
        assert line == row[0].ljust(widths[0]) + row[1].ljust(widths[1]) + row[2]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b", '"a b"'),
        ('a "b" \\', '"a \\"b\\" \\\\"'),
        ("a\nb\t\x00\x1b", '"a\\nb\\t\\x00\\x1b"'),
        ("é…", '"é…"'),
        ("\u200b", '"\\u200b"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("\udcff", '"\\xff"'),
    ],
)
def test_quotes(text: str, shown: str) -> None:
    assert quoted(text) == shown


def test_what_is_too_long_ends_in_dots() -> None:
    assert ellipsis("x" * 20, 20) == "x" * 20
    assert ellipsis("x" * 21, 20) == "x" * 19 + "…"


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('a"\\{}[]:,'), inner),
    max_leaves=20,
)


@given(documents)
def test_indented_json_is_what_the_standard_library_makes(document: object) -> None:
    expected = json.dumps(document, indent=4, ensure_ascii=False)
    assert indent(json.dumps(document, ensure_ascii=False)) == expected
    assert indent(json.dumps(document, ensure_ascii=False, indent=1)) == expected
    assert compact(expected) == json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def test_escapes_and_numbers_stay_as_they_are() -> None:
    assert indent('{"a":"\\u003c\\\\\\"","b":1e+06}') == (
        '{\n    "a": "\\u003c\\\\\\"",\n    "b": 1e+06\n}'
    )


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", b"\x10\x11"),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("a,B", b"aB"),
        ("ctrl-@,ctrl-_", b"\0\x1f"),
        ("ctrl-[", b"\x1b"),
        ("ctrl-A", b"\x01"),
    ],
)
def test_detach_keys(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ab", ",", "é", "ctrl-pq"])
def test_no_detach_keys(text: str) -> None:
    with pytest.raises(ValueError, match="unknown character"):
        parse_keys(text)


@given(st.lists(st.binary(max_size=6), max_size=8), st.binary(min_size=1, max_size=3))
def test_only_the_sequence_detaches_and_nothing_else_is_lost(
    pieces: list[bytes], sequence: bytes
) -> None:
    keys = DetachKeys(sequence)
    typed = b""
    passed = b""
    for piece in pieces:
        typed += piece
        on, detached = keys.feed(piece)
        passed += on
        if detached:
            assert sequence in typed
            assert (passed + sequence) == typed[: len(passed) + len(sequence)]
            return
    # What is held back is the beginning of the sequence.
    assert typed.startswith(passed)
    assert sequence.startswith(typed[len(passed) :])
