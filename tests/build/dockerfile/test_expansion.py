"""Variables: what a word becomes, by the rules of BuildKit's shell lexer."""

import os
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.build.dockerfile import patterns
from wherry.build.dockerfile.errors import RefusalError
from wherry.build.dockerfile.expansion import Lexer, expand_word

SOAK = settings(max_examples=8_000 if os.environ.get("WHERRY_SOAK") else 100, deadline=None)
ENV = {
    "A": "one", "EMPTY": "", "TWO": "b c", "P": "/usr/lib/libx.so.1.2", "STARS": "a*b?c\\",
    "LINES": "ab\nab", "한": "국",
}  # fmt: skip


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("a", "a"),
        ("", ""),
        ("$A", "one"),
        ("${A}", "one"),
        ("x$A.y", "xone.y"),
        ("$A$A", "oneone"),
        ("$Ab", ""),
        ("$", "$"),
        ("$.", "$."),
        ("a$", "a$"),
        ("$1a$@$*$#$?$-$!$$", "a"),
        ("$한", "국"),
        ("\\$A \\\\ \\a", "$A \\ a"),
        ("a\\", "a"),
        ("'$A\\'", "$A\\"),
        ('"$A \\$A \\" \\\\ \\a"', 'one $A " \\ \\a'),
        ("\"'$A'\"", "'one'"),
        ("'a'\"b\"c", "abc"),
        ("${UNSET-x}${EMPTY-x}${A-x}", "xone"),
        ("${UNSET:-x}${EMPTY:-x}${A:-x}", "xxone"),
        ("${UNSET+x}${EMPTY+y}${A+z}", "yz"),
        ("${UNSET:+x}${EMPTY:+y}${A:+z}", "z"),
        ("${A?no}${EMPTY?no}${A:?no}", "oneone"),
        ("${UNSET:-$A}", "one"),
        ("${UNSET:-${EMPTY:-${A}}}", "one"),
        ("${UNSET:-'$A'}", "$A"),
        ('${UNSET:-"a b"}', "a b"),
        ("${UNSET:-\\}}", "}"),
        ("${UNSET:-a/b}", "a/b"),
        ("${P#*/}", "usr/lib/libx.so.1.2"),
        ("${P##*/}", "libx.so.1.2"),
        ("${P%.*}", "/usr/lib/libx.so.1"),
        ("${P%%.*}", "/usr/lib/libx"),
        ("${P%/*}", "/usr/lib"),
        ("${P#?usr}", "/lib/libx.so.1.2"),
        ("${P#x}${P%x}", ENV["P"] * 2),
        ("${P#}${P##}${P%}", ENV["P"] * 3),
        ("${P#$A}", ENV["P"]),
        ("${A#o}${A%e}${A#o*}${A##o*}", "neonne"),
        ("${STARS#a\\*}", "b?c\\"),
        ("${STARS%\\\\}", "a*b?c"),
        ("${STARS%%\\?*}", "a*b"),
        ("${P/lib/x}", "/usr/x/libx.so.1.2"),
        ("${P//lib/x}", "/usr/x/xx.so.1.2"),
        ("${P//\\//-}", "-usr-lib-libx.so.1.2"),
        ("${P/*\\//}", "libx.so.1.2"),
        ("${P//[.]/x}", ENV["P"]),
        ("${A//?/$EMPTY.}", "..."),
        ("${A//o/\\/}", "\\/ne"),
        ("${A//*/x}", "x"),
        ("${A///-}", "-o-n-e-"),
        ("${UNSET/a/b}${UNSET#a}", ""),
        ("${LINES#*b}", "\nab"),
        ("${LINES##*b}", "\nab"),
        ("${LINES%%a*}", "ab\n"),
        ("${LINES//a*/x}", "x\nx"),
    ],
)
def test_a_word_becomes_its_value(word, value) -> None:
    assert expand_word(word, ENV, "\\") == value


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("${", "missing '}'"),
        ("${A", "missing '}'"),
        ("${A:", "missing '}'"),
        ("${A:-", "missing '}'"),
        ("${A:-${B}", "missing '}'"),
        ("${A:-'}", "missing '}'"),
        ("${}", "bad substitution"),
        ("${{A}}", "bad substitution"),
        ("${:-x}", "bad substitution"),
        ("${A=x}", "unsupported modifier (=) in substitution"),
        ("${A:=x}", "unsupported modifier (:=) in substitution"),
        ("${A x}", "unsupported modifier ( ) in substitution"),
        ("${A/x}", "missing '/' in ${}"),
        ("${A/x/y", "missing '}'"),
        ("${A#\\x}", "invalid pattern (\\x) in substitution: invalid escape '\\x'"),
        ("${UNSET?}", "UNSET: is not allowed to be unset"),
        ("${UNSET:?}", "UNSET: is not allowed to be unset"),
        ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
        ("${UNSET:?set it, $A}", "UNSET: set it, one"),
        ("'a", "looking for matching single-quote"),
        ('"a', "looking for matching double-quote"),
        ("${A:-" * 60, "nested too deeply"),
        (f"${{A#{'a' * 300}}}", "more than 256 characters"),
    ],
)
def test_a_bad_word_is_refused(word, reason) -> None:
    with pytest.raises(RefusalError) as caught:
        expand_word(word, ENV, "\\")
    assert reason in caught.value.message
    assert caught.value.message.startswith("failed to process ")


def test_the_escape_can_be_another() -> None:
    assert expand_word('`$A \\$A `` \'`\' "`""', ENV, "`") == '$A \\one ` ` "'
    assert expand_word("c:\\${A}", ENV, "`") == "c:\\one"


def test_values_split_words_and_quoted_ones_do_not() -> None:
    def words(text: str) -> list[str]:
        return Lexer(ENV).words(text)

    assert words("a$TWO d") == ["ab", "c", "d"]
    assert words("\"$TWO\" 'e f' g\\ h") == ["b c", "e f", "g h"]
    assert words(" $EMPTY '' a") == ["a"]


def test_names_with_and_without_a_value_are_noted() -> None:
    lexer = Lexer(ENV)
    lexer.text("$A ${EMPTY} $X ${Y:-$TWO}")
    assert lexer.matched == {"A", "EMPTY", "TWO"}
    assert lexer.unmatched == {"X", "Y"}


def test_variables_do_not_grow_without_bound() -> None:
    env = {"A": "x" * 600_000}
    with pytest.raises(RefusalError, match="more than 1048576 characters"):
        expand_word("$A$A", env, "\\")


PATTERN = st.lists(
    st.sampled_from(["a", "b", ".", "?", "*", "\\*", "\\?", "\\\\", "\n"]), max_size=7
).map("".join)
VALUE = st.text("ab.*?\\\n", max_size=14)


def regex(pattern: str, star: str) -> str:
    translated = {"*": star, "?": "."}
    tokens = re.findall(r"\\.|[^\\]", pattern, re.DOTALL)
    return "".join(translated.get(token) or re.escape(token[-1]) for token in tokens)


@SOAK
@given(VALUE, PATTERN)
def test_a_beginning_is_what_a_regular_expression_finds(value, pattern) -> None:
    for longest, star in ((True, ".*"), (False, ".*?")):
        match = re.match(regex(pattern, star), value)
        expected = value[match.end() :] if match else value
        assert patterns.without_beginning(value, pattern, longest=longest) == expected


@SOAK
@given(VALUE, PATTERN)
def test_an_end_is_a_beginning_from_behind(value, pattern) -> None:
    backward = "".join(re.findall(r"\\.|[^\\]", pattern, re.DOTALL)[::-1])
    for longest in (True, False):
        expected = patterns.without_beginning(value[::-1], backward, longest=longest)[::-1]
        assert patterns.without_end(value, pattern, longest=longest) == expected


@SOAK
@given(VALUE, PATTERN)
def test_a_replacement_is_what_a_regular_expression_does(value, pattern) -> None:
    expression = re.compile(regex(pattern, ".*"))
    once = expression.sub("#", value, count=1)
    assert patterns.replaced(value, pattern, "#", every=False) == once
    # Go takes nothing right behind a match for no match; Python takes it for one.
    ends: set[int] = set()

    def mark(match: re.Match[str]) -> str:
        ends.add(match.end())
        return "" if match.start() == match.end() and match.start() in before else "#"

    before = {match.end() for match in expression.finditer(value) if match.end() > match.start()}
    assert patterns.replaced(value, pattern, "#", every=True) == expression.sub(mark, value)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("${V##*a*a*a*a*a*a*b}", "a" * 50_000),
        ("${V%%b*a*a*a*a*a*a}", "a" * 50_000),
        ("${V//a*a*b/x}", "a" * 50_000),
        ("${V//a*b/x}", "a\n" * 25_000),
        ("${V//?*?b/x}", "ac" * 25_000),
        ("${V//*/x}", "a\n" * 25_000),
        ("${V///x}", "a" * 50_000),
    ],
)
def test_patterns_take_no_time(word, value) -> None:
    started = time.process_time()
    expand_word(word, {"V": value}, "\\")
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    "word",
    ["a" * 10**6, "\\a" * 10**4, "'a'" * 10**4, '"a$B"' * 10**4, "${B:-x}" * 10**4, "$" * 10**4],
)
def test_long_words_take_no_time(word) -> None:
    started = time.process_time()
    Lexer({}).words(word)
    expand_word(word, {}, "\\")
    assert time.process_time() - started < 3
