"""The rules of .dockerignore, one by one; how they compare with Docker's is in the peer test."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.errdefs import EngineError, Kind
from wherry.ignore import MATCHED, Patterns, syntax
from wherry.ignore.linear import Matcher
from wherry.ignore.patterns import clean, lines

SOAK = os.environ.get("WHERRY_SOAK") == "1"
EXAMPLES = 20_000 if SOAK else 300


@pytest.mark.parametrize(
    ("text", "matched", "spared"),
    [
        ("a", ["a", "a/b", "a/b/c"], ["b", "b/a", "ab", "A"]),
        ("/a", ["a"], ["b/a"]),
        ("a/", ["a", "a/b"], ["ba"]),
        ("./a//b/../c", ["a/c", "a/c/d"], ["a", "a/b"]),
        ("../a", [], ["a"]),
        ("/", [], ["a"]),
        (".", [], ["a"]),
        ("*", ["a", "a/b", ".a"], []),
        ("*.md", ["a.md", ".md", "a.md/b"], ["d/a.md", "a.mdx"]),
        ("*/*.md", ["d/a.md"], ["a.md", "d/d/a.md"]),
        ("a?c", ["abc", "aäc"], ["ac", "a/c", "abbc"]),
        ("**", ["a", "a/b"], []),
        ("**/a", ["a", "b/a", "c/b/a/d"], ["ba", "b/ba"]),
        ("**a", ["a", "ba", "b/ca"], ["ab"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "ab"]),
        ("a/**/b", ["a/b", "a/c/b", "a/c/d/b/e"], ["a/cb", "b"]),
        ("**/*.py[co]", ["a.pyc", "d/e/a.pyo"], ["a.py", "d/a.pyd"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "a"]),
        ("[^a]x", ["bx"], ["ax", "x"]),
        (r"\*", ["*"], ["a", r"\*"]),
        (r"[\]]", ["]"], ["[", "a"]),
        ("a.b+(c)$", ["a.b+(c)$"], ["aab+(c)$"]),
        ("*.{js,ts}", ["a.{js,ts}"], ["a.js"]),
        ("[[:digit:]]*", ["1", "12a"], ["a1"]),
        ("\ufeffa", ["a"], []),
        ("# a\n #b\n\n\t \nc # d", ["#b", "c # d"], ["a", "# a", "c"]),
        ("a\r\nb\r\n", ["a", "b"], []),
        ("*\n!a", ["b", "b/a"], ["a", "a/b"]),
        ("!a\n*", ["a", "b"], []),
        ("*\n!a\na/b", ["a/b", "c"], ["a", "a/c"]),
        ("a\n!a/b\n", ["a", "a/c", "a/d/b"], ["a/b", "a/b/c"]),
        ("d/x\n!d", ["d/x"], ["d", "d/y"]),
        ("**/*.md\n! README.md ", ["a.md", "d/README.md"], ["README.md"]),
    ],
)
def test_rules(text: str, matched: list[str], spared: list[str]) -> None:
    patterns = Patterns.parse(text.encode())
    assert [path for path in matched if not patterns.matches(path)] == []
    assert [path for path in spared if patterns.matches(path)] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!", "is an exception from nothing"),
        ("[a", "without its `]`"),
        ("a[x-]", "without what belongs to it"),
        ("a*[", "without its `]`"),
        ("[z-a]", "from 'z' back to 'a'"),
        ("a\\", "escapes nothing"),
        ("a*\\", "escapes nothing"),
        ("[[:nope:]]", "which does not exist"),
        ("*|b", r"write `\|`"),
        ("a{2}*", r"write `\{`"),
        (r"\pL", "needs no escape"),
        ("x" * 65536, "line 1 is over 65536 bytes"),
        ("*x\n" * 10_001, "more than 10000 patterns"),
    ],
)
def test_what_is_no_pattern_is_refused(text: str, words: str) -> None:
    with pytest.raises(EngineError) as caught:
        Patterns.parse(text.encode(), "web.dockerignore")
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    assert words in caught.value.message
    assert caught.value.message.startswith("web.dockerignore: ")


def test_names_that_are_no_utf8() -> None:
    patterns = Patterns.parse(b"a\xff\n?b\n")
    assert patterns.matches(os.fsdecode(b"a\xff"))
    assert patterns.matches(os.fsdecode(b"\xffb"))
    assert not patterns.matches(os.fsdecode(b"a\xfe"))


@pytest.mark.parametrize(
    ("text", "directory", "may"),
    [
        ("*", "a", False),
        ("*\n!a/b", "a", True),
        ("*\n!a/b", "b", False),
        ("*\n!a/b", "a/c", False),
        ("*\n!b", "a", False),
        ("*\n!a", "a", False),
        ("*\n!**/x", "a", True),
        ("*\n!a/**", "a", True),
        ("*\n!a*", "a", True),
        ("*\n!a/*.md", "a", True),
        ("*\n!a/*.md", "b", False),
        ("*\n!a/*.md", "a/b", False),
    ],
)
def test_which_directories_need_no_look(text: str, directory: str, may: bool) -> None:
    spares = Patterns.parse(text.encode()).may_spare(directory)
    assert spares is may or (spares and text.endswith("/*.md"))  # True is not certain


@pytest.mark.parametrize(
    "pattern",
    ["**/" * 30 + "x", "*a" * 50, "**/a" * 20 + "**/b", "a**" * 40 + "b", "[ab]*" * 60 + "c"],
)
@pytest.mark.parametrize("path", ["a/" * 2047, "a" * 255 + ("/" + "a" * 255) * 15, "ab/" * 1365])
def test_no_pattern_takes_long(pattern: str, path: str) -> None:
    patterns = Patterns([pattern, "!x", pattern + "y"])
    path = path.strip("/")
    patterns.judge(path)
    began = time.process_time()
    patterns.judge(path)
    assert time.process_time() - began < 0.1


def test_a_large_tree_takes_no_time() -> None:
    patterns = Patterns.parse(
        b"*.log\n.git\n**/node_modules\n**/*.py[co]\n**/*cache*/**\n/build\n!build/keep\n"
        b"docs/**/*.png\nsrc/*/generated_*_*.c\n**/.DS_Store\ntmp*\n!**/important*.log\n"
    )
    paths = [f"src/package{i % 50}/module{i % 7}/some_file_{i}.py" for i in range(20_000)]
    began = time.process_time()
    assert not any(patterns.judge(path) & MATCHED for path in paths)
    assert time.process_time() - began < 1


text = st.lists(
    st.sampled_from([*"ab/*?[]^!\\.-{}|$(): \xe4", "**", "/", "/", "*", "[a-b]"]), max_size=14
).map("".join)
paths = st.lists(st.text(st.sampled_from("ab.-^[]\xe4\n"), min_size=1, max_size=4), min_size=1).map(
    "/".join
)


def read_or_refused(read: Callable[[], Patterns]) -> Patterns | None:
    try:
        return read()
    except EngineError as error:
        kind = error.kind
    assert kind is Kind.INVALID_ARGUMENT
    return None


@settings(max_examples=EXAMPLES)
@given(st.lists(text, max_size=5), paths)
def test_a_verdict_or_a_refusal(given_: list[str], path: str) -> None:
    patterns = read_or_refused(lambda: Patterns(given_))
    if patterns is None:
        return
    patterns.matches(path)
    parent, _, _ = path.rpartition("/")
    if parent and patterns.matches(parent) and not patterns.may_spare(parent):
        assert patterns.matches(path)


@settings(max_examples=EXAMPLES)
@given(text, paths)
def test_both_matchers_say_the_same(pattern: str, path: str) -> None:
    try:
        glob = syntax.read(clean(pattern))
    except syntax.PatternError:
        return
    if glob.kind == syntax.WILD:
        assert Matcher(glob).matches(path) is bool(re.match(glob.regex(), path))


@settings(max_examples=EXAMPLES)
@given(st.binary(max_size=60))
def test_any_file_gives_patterns_or_a_refusal(data: bytes) -> None:
    patterns = read_or_refused(lambda: Patterns.parse(data))
    if patterns is not None:
        patterns.matches("a/b")


def test_lines_as_docker_reads_them() -> None:
    assert lines(b"\xef\xbb\xbf /a/ \n!  /b\n!\n\xc2\xa0c\xc2\xa0\n", "") == ["a", "!b", "!", "c"]
