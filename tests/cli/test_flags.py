"""Options are read as pflag reads them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.cli.create.flags import CREATE_FLAGS, RUN_FLAGS
from wherry.cli.errors import CliError, UsageError
from wherry.cli.flags import Flag, Parsed, filter_pair, filters_of, integer, parse

FLAGS = (
    Flag("interactive", "i"),
    Flag("tty", "t"),
    Flag("rm"),
    Flag("sig-proxy", default=True),
    Flag("env", "e", "", "list", many=True),
    Flag("name", "n", "", "string", default="none"),
    Flag("time", "s", "", "int", convert=integer),
    Flag("old-name", "", "", "string", hidden=True, target="name"),
    Flag("gpus", "g", "", "string", refused=True),
    Flag("tls", refused=True),
)


def read(*words: str, interspersed: bool = True) -> Parsed:
    return parse(FLAGS, words, interspersed=interspersed)


@pytest.mark.parametrize(
    "words",
    [
        ("-i", "-t", "-n", "x"),
        ("-it", "-n", "x"),
        ("-itn", "x"),
        ("-itnx",),
        ("-itn=x",),
        ("--interactive", "--tty", "--name", "x"),
        ("--interactive=true", "--tty=1", "--name=x"),
        ("-i=true", "-t=T", "--old-name", "x"),
        ("--name=y", "-tin=x"),
    ],
)
def test_each_way_of_saying_the_same(words: tuple[str, ...]) -> None:
    parsed = read(*words, "rest")
    assert parsed.switch("interactive")
    assert parsed.switch("tty")
    assert parsed.text("name") == "x"
    assert parsed.arguments == ["rest"]


def test_defaults() -> None:
    parsed = read()
    assert parsed.switch("sig-proxy")
    assert not parsed.switch("rm")
    assert parsed.text("name") == "none"
    assert parsed.number("time") is None
    assert parsed.texts("env") == []
    assert not parsed.given("name")


def test_switches_can_be_denied() -> None:
    parsed = read("--rm", "--rm=false", "--sig-proxy=0", "-t=f")
    assert not parsed.switch("rm")
    assert not parsed.switch("sig-proxy")
    assert not parsed.switch("tty")


def test_lists_keep_all_and_values_may_look_like_anything() -> None:
    parsed = read("-e", "-x", "-e=A=b", "-eC=d", "--env", "--", "--env==", "-e", "")
    assert parsed.texts("env") == ["-x", "A=b", "C=d", "--", "=", ""]


def test_numbers() -> None:
    assert read("-s", "-1").number("time") == -1
    assert read("-s010").number("time") == 10
    assert read("--time=0x10").number("time") == 16


def test_where_options_end() -> None:
    assert read("a", "-i", "b").arguments == ["a", "b"]
    parsed = read("a", "-i", "--rm", interspersed=False)
    assert parsed.arguments == ["a", "-i", "--rm"]
    assert not parsed.switch("interactive")
    assert read("-i", "--", "-t", "--rm").arguments == ["-t", "--rm"]
    assert read("-", "-i").arguments == ["-"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--foo",), "unknown flag: --foo"),
        (("--foo=1",), "unknown flag: --foo"),
        (("--inter",), "unknown flag: --inter"),
        (("-x",), "unknown shorthand flag: 'x' in -x"),
        (("-ix",), "unknown shorthand flag: 'x' in -ix"),
        (("--name",), "flag needs an argument: --name"),
        (("-in",), "flag needs an argument: 'n' in -in"),
        (("--rm=maybe",), 'invalid argument "maybe" for "--rm" flag'),
        (("-s", "x"), 'invalid argument "x" for "-s, --time" flag'),
        (("--time=",), 'invalid argument "" for "-s, --time" flag'),
    ],
)
def test_what_can_not_be_meant(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(*words)
    assert caught.value.message.startswith(message)
    assert caught.value.code == 125


@pytest.mark.parametrize("words", [("--gpus", "all"), ("-g=all",), ("--gpus",), ("--tls",)])
def test_what_is_not_supported_yet_is_named(words: tuple[str, ...]) -> None:
    with pytest.raises(CliError, match=r"--(gpus|tls) is not supported yet") as caught:
        read(*words)
    assert caught.value.code == 125


def test_a_refused_switch_may_be_denied() -> None:
    assert not read("--tls=false").switch("tls")


def test_help_is_always_there() -> None:
    assert read("--help").switch("help")
    assert read("-h").switch("help")
    # ... but for run, -h is the host name.
    assert parse(RUN_FLAGS, ["-h", "box"]).text("hostname") == "box"


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


@given(
    st.lists(st.tuples(st.sampled_from(["e", "n"]), words), max_size=5),
    st.lists(words, max_size=4),
    st.lists(st.integers(0, 3), min_size=9, max_size=9),
)
def test_what_was_said_is_what_is_read(
    pairs: list[tuple[str, str]], rest: list[str], forms: list[int]
) -> None:
    long = {"e": "env", "n": "name"}
    argv: list[str] = []
    for (short, value), form in zip(pairs, forms, strict=False):
        argv += [
            [f"-{short}", value],
            [f"-{short}={value}"],
            [f"--{long[short]}", value],
            [f"--{long[short]}={value}"],
        ][form]
    parsed = parse(FLAGS, [*argv, "--", *rest])
    assert parsed.texts("env") == [value for short, value in pairs if short == "e"]
    names = [value for short, value in pairs if short == "n"]
    assert parsed.text("name") == (names[-1] if names else "none")
    assert parsed.arguments == rest


@given(st.lists(st.text(alphabet="-=abeinrst01 ", max_size=6), max_size=6))
def test_nothing_but_usage_errors(argv: list[str]) -> None:
    with suppress(CliError):
        parse(FLAGS, argv)


def test_no_two_options_have_one_name() -> None:
    for flags in (CREATE_FLAGS, RUN_FLAGS):
        names = [flag.name for flag in flags]
        shorts = [flag.short for flag in flags if flag.short]
        assert len(set(names)) == len(names)
        assert len(set(shorts)) == len(shorts)
        assert {flag.target for flag in flags} <= set(names)


def test_filters() -> None:
    assert filters_of(["label=a=b", "Label=c", "name=x"]) == {"label": ["a=b", "c"], "name": ["x"]}
    with pytest.raises(ValueError, match="bad format"):
        filter_pair("label")
