"""The instructions of `--change`. What they give and say is what dockerd 20.10 gave and said."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.build.dockerfile import apply_changes
from wherry.build.dockerfile.expansion import expand_word
from wherry.build.dockerfile.lines import decode, read
from wherry.build.dockerfile.words import split
from wherry.errdefs import EngineError, Kind
from wherry.spec.image import Healthcheck, RunConfig, decode_config, encode

SOAK = settings(max_examples=20_000 if os.environ.get("WHERRY_SOAK") else 200, deadline=None)
SH = ("/bin/sh", "-c")


def changed(*changes: str, **config) -> dict[str, object]:
    """What differs from nothing."""
    result = apply_changes(RunConfig(**config), changes)
    nothing = RunConfig()
    return {
        name: list(value) if name in ("exposed_ports", "volumes") else value
        for name in RunConfig.__struct_fields__
        if (value := getattr(result, name)) != getattr(nothing, name)
    }


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ("CMD", {"cmd": SH}),
        ("CMD ls -l", {"cmd": (*SH, "ls -l")}),
        ("  cmd  a  b ", {"cmd": (*SH, "a  b")}),
        ('CMD ["a","b"]', {"cmd": ("a", "b")}),
        ('CMD  [ "a" , "b" ]  ', {"cmd": ("a", "b")}),
        ('CMD ["a"] b', {"cmd": ("a",)}),
        ('CMD ["a"', {"cmd": (*SH, '["a"')}),
        ("CMD ['a']", {"cmd": (*SH, "['a']")}),
        ("CMD []", {}),
        ('CMD ["a","\\u00e9\\ud800"]', {"cmd": ("a", "é\ufffd")}),
        ("CMD -- a", {"cmd": (*SH, "a")}),
        ("CMD a # b", {"cmd": (*SH, "a # b")}),
        ("CMD a\\\n b", {"cmd": (*SH, "a b")}),
        ("CMD a \\\n# c\n b", {"cmd": (*SH, "a  b")}),
        ("CMD a \\\n\n b", {"cmd": (*SH, "a  b")}),
        ("CMD a\\", {"cmd": (*SH, "a")}),
        ("CMD a\\\\", {"cmd": (*SH, "a\\\\")}),
        ('CMD ["a"\\\n,"b"]', {"cmd": ("a", "b")}),
        ("ENTRYPOINT a b", {"entrypoint": (*SH, "a b")}),
        ("ENTRYPOINT", {}),
        ("ENTRYPOINT []", {}),
        ("ENTRYPOINT a\nCMD b", {"entrypoint": (*SH, "a"), "cmd": (*SH, "b")}),
        ("CMD b\nENTRYPOINT a", {"entrypoint": (*SH, "a"), "cmd": (*SH, "b")}),
        ("ENV A B C", {"env": ("A=B C",)}),
        ("ENV A=", {"env": ("A=",)}),
        ("ENV A=x=y", {"env": ("A=x=y",)}),
        ("ENV A=\\", {"env": ("A=",)}),
        ("ENV A=b\tC=d", {"env": ("A=b", "C=d")}),
        ("ENV A=1 A=2", {"env": ("A=2",)}),
        ("ENV A=1 \\\n B=2", {"env": ("A=1", "B=2")}),
        ("ENV A=a\\ b C=d", {"env": ("A=a b", "C=d")}),
        ('ENV A="a b"c', {"env": ("A=a bc",)}),
        ("ENV A=a\"b c\"d'e f'", {"env": ("A=ab cde f",)}),
        ('ENV A=\'$B\' C="\\$B" D="\\x" E=\\$B', {"env": ("A=$B", "C=$B", "D=\\x", "E=$B")}),
        ('ENV A="\\\\"', {"env": ("A=\\",)}),
        ('ENV "A B"=c', {"env": ("A B=c",)}),
        ("ENV A=1\nENV B=$A", {"env": ("A=1", "B=1")}),
        ("ENV A=1\nENV A=2 B=$A", {"env": ("A=2", "B=1")}),
        ("ENV A=$HOME$PATH", {"env": ("A=",)}),
        ("ENV A $B x", {"env": ("A= x",)}),
        ("ENV A=$ B=$1a C=$@", {"env": ("A=$", "B=a", "C=")}),
        ("ENV A=${X:-def}", {"env": ("A=def",)}),
        ("ENV A=${B:-${C:-d}}", {"env": ("A=d",)}),
        ("ENV B=1\nENV A=${B:+x$B} C=${D:+x}", {"env": ("B=1", "A=x1", "C=")}),
        ("ENV A=b\r\nENV C=d\r\n", {"env": ("A=b", "C=d")}),
        ("# escape=`\nENV A=a` b", {"env": ("A=a b",)}),
        ("EXPOSE 80", {"exposed_ports": ["80/tcp"]}),
        ("EXPOSE 80/tcp 90-92/UDP", {"exposed_ports": ["80/tcp", "90/udp", "91/udp", "92/udp"]}),
        ("EXPOSE 80/ 080 0", {"exposed_ports": ["80/tcp", "0/tcp"]}),
        ("EXPOSE 1-3:4-6", {"exposed_ports": ["4/tcp", "5/tcp", "6/tcp"]}),
        ("EXPOSE 1.2.3.4:1:2", {"exposed_ports": ["2/tcp"]}),
        ('ENV A="80 443"\nEXPOSE $A',
         {"env": ("A=80 443",), "exposed_ports": ["80/tcp", "443/tcp"]}),
        ("EXPOSE $X", {}),
        ("LABEL a b", {"labels": {"a": "b"}}),
        ('LABEL a="x\\"y"', {"labels": {"a": 'x"y'}}),
        ("LABEL \"a b\"=c d='e f'", {"labels": {"a b": "c", "d": "e f"}}),
        ("LABEL a=b\\\n  c=d", {"labels": {"a": "b", "c": "d"}}),
        ("ONBUILD  RUN  x  y", {"on_build": ("RUN  x  y",)}),
        ("ONBUILD RUN x: ", {"on_build": ("RUN x: ",)}),
        ('onbuild CMD ["x"]', {"on_build": ('CMD ["x"]',)}),
        ("ONBUILD HEALTHCHECK --interval=3s CMD x",
         {"on_build": ("HEALTHCHECK --interval=3s CMD x",)}),
        ("STOPSIGNAL SIGTERM", {"stop_signal": "SIGTERM"}),
        ("STOPSIGNAL RTMIN+3", {"stop_signal": "RTMIN+3"}),
        ("USER a b", {"user": "a b"}),
        ('USER "a b"', {"user": "a b"}),
        ("USER $X", {}),
        ("VOLUME /a /b", {"volumes": ["/a", "/b"]}),
        ("VOLUME /a,/b", {"volumes": ["/a,/b"]}),
        ('VOLUME ["/a"," /b "]', {"volumes": ["/a", "/b"]}),
        ("WORKDIR x", {"working_dir": "/x"}),
        ("WORKDIR /a\nWORKDIR b", {"working_dir": "/a/b"}),
        ("WORKDIR /a/../b/", {"working_dir": "/b"}),
        ('WORKDIR "a b"', {"working_dir": "/a b"}),
    ],
)  # fmt: skip
def test_a_change_does_what_it_does_in_docker(change, result) -> None:
    assert changed(change) == result


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ("HEALTHCHECK NONE", Healthcheck(("NONE",))),
        ("HEALTHCHECK --interval=1s NONE", Healthcheck(("NONE",))),
        ("HEALTHCHECK CMD\tx\ty", Healthcheck(("CMD-SHELL", "x\ty"))),
        ("HEALTHCHECK cmd x  y", Healthcheck(("CMD-SHELL", "x  y"))),
        (
            'HEALTHCHECK --interval=5s --timeout=1h2m3.5s --start-period=1ms --retries=2 CMD ["a"]',
            Healthcheck(("CMD", "a"), 5 * 10**9, 3_723_500_000_000, 10**6, retries=2),
        ),
        (
            "HEALTHCHECK --start-interval=2s CMD x",
            Healthcheck(("CMD-SHELL", "x"), start_interval=2 * 10**9),
        ),
        ("HEALTHCHECK --interval=0s --retries=0 CMD x", Healthcheck(("CMD-SHELL", "x"))),
    ],
)
def test_healthchecks(change, check) -> None:
    assert changed(change) == {"healthcheck": check}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("BOGUS x", "bogus is not a valid change command"),
        ("RUN ls", "run is not a valid change command"),
        ("CMD\xa0a", "cmd\xa0a is not a valid change command"),
        ("", "file with no instructions"),
        ("# comment", "file with no instructions"),
        ('CMD ["a", 1]', "when using JSON array syntax, arrays must be comprised of strings only"),
        ("CMD --x=y a", "unknown flag: --x"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV A=1 B", 'Syntax error - can\'t find = in "B". Must be of the form: name=value'),
        ('ENV A=1 "B\\t"', 'Syntax error - can\'t find = in "\\"B\\\\t\\"". Must be of the form'),
        ("ENV =x", "ENV names can not be blank"),
        (
            'ENV A="x',
            "unexpected end of statement while looking for matching double-quote",
        ),
        ("USER '", "unexpected end of statement while looking for matching single-quote"),
        ("ENV A=${B:", "syntax error: missing '}'"),
        ("ENV A=${B:-x", "syntax error: missing '}'"),
        ("ENV A=${}", "syntax error: bad substitution"),
        ("ENV A=${B!x}", "unsupported modifier (!) in substitution"),
        ("ENV A=${B:?msg}", "B: msg"),
        ("LABEL", "LABEL requires at least one argument"),
        ("LABEL a", "LABEL must have two arguments"),
        ("LABEL =x", "LABEL names can not be blank"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("EXPOSE abc", "invalid containerPort: abc"),
        ("EXPOSE 70000", "invalid containerPort: 70000"),
        ("EXPOSE 90-80", "invalid containerPort: 90-80"),
        ("EXPOSE 81/foo", "invalid proto: foo"),
        ("EXPOSE x:80", "invalid hostPort: x"),
        ("EXPOSE 1-2:4-6", "invalid ranges specified for container and host Ports: 4-6 and 1-2"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD ONBUILD x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger"),
        ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
        ("STOPSIGNAL FOO", "Invalid signal: FOO"),
        ("USER", "USER requires exactly one argument"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ('VOLUME ["", "a"]', "VOLUME specified can not be an empty string"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK --interval=5s", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK X y", 'Unknown type "X" in HEALTHCHECK (try CMD)'),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK CMD []", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK --bogus=1 CMD x", "unknown flag: --bogus"),
        ("HEALTHCHECK --interval CMD x", "missing a value on flag: interval"),
        (
            "HEALTHCHECK --interval=5s --interval=6s CMD x",
            "duplicate flag specified: interval",
        ),
        ("HEALTHCHECK --timeout=-1s CMD x", 'Interval "timeout" cannot be less than 1ms'),
        ("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"),
        ("ENV A=x\0y", "zero byte"),
        ("# escape=x\nCMD a", "invalid escape token 'x'"),
    ],
)
def test_a_bad_change_is_refused_in_dockers_words(change, words) -> None:
    with pytest.raises(EngineError) as caught:
        changed(change)
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    assert words in caught.value.message


def test_a_refusal_names_the_change_that_it_is_about() -> None:
    with pytest.raises(EngineError, match=r"two arguments \(in the change: ENV A\)"):
        changed("CMD a", "ENV A", "CMD b")


def test_changes_are_made_upon_what_is_there() -> None:
    assert changed(
        "ENV A=$A:x C=3", "LABEL b=2", "EXPOSE 2", "ONBUILD RUN y", "WORKDIR sub",
        env=("A=1", "B=2"), labels={"a": "1"}, on_build=("RUN x",), working_dir="/top",
    ) == {
        "env": ("A=1:x", "B=2", "C=3"),
        "labels": {"a": "1", "b": "2"},
        "exposed_ports": ["2/tcp"],
        "on_build": ("RUN x", "RUN y"),
        "working_dir": "/top/sub",
    }  # fmt: skip


def test_an_entrypoint_takes_the_command_that_was_not_meant_for_it() -> None:
    assert changed('ENTRYPOINT ["e"]', cmd=("old",)) == {"entrypoint": ("e",)}
    assert changed("ENTRYPOINT []", cmd=("old",), entrypoint=("e",)) == {}


def test_no_changes_are_none() -> None:
    config = RunConfig(cmd=("a",))
    assert apply_changes(config, []) is config


# What could be a Dockerfile, and what looks like one.
TEXT = st.text(st.sampled_from("ABC =\\'\"`${}:-+?[],#\n\r\t/\u00e9\ud7ff19"), max_size=40)
LINES = st.lists(
    st.tuples(
        st.sampled_from(
            ["CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL",
             "USER", "VOLUME", "WORKDIR", "HEALTHCHECK --retries=3 CMD", "#", ""]
        ),
        TEXT,
    ).map(" ".join),
    min_size=1, max_size=4,
)  # fmt: skip


@SOAK
@given(LINES)
def test_whatever_is_written_is_understood_or_refused(changes) -> None:
    try:
        config = apply_changes(RunConfig(), changes)
    except EngineError as error:
        refused = error.kind
    else:
        refused = None
    assert refused in (None, Kind.INVALID_ARGUMENT)
    if refused:
        return
    document = b'{"rootfs":{"type":"layers","diff_ids":[]},"config":%b}' % encode(config)
    assert decode_config(document).config == config


@SOAK
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r")))
def test_any_value_can_be_written_in_single_quotes(value) -> None:
    quoted = "'" + value.replace("'", "'\\''") + "'"
    assert changed(f"ENV A={quoted} B=x")["env"] == (f"A={value}", "B=x")


@SOAK
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1)))
def test_escaped_words_come_back(words) -> None:
    text = " ".join("".join("\\" + char for char in word) for word in words)
    assert [expand_word(word, {}, "\\") for word in split(text, "\\")] == words


@SOAK
@given(st.text("AB {}$:-+?'\"\\x", max_size=30))
def test_nothing_is_expanded_without_a_dollar(text) -> None:
    try:
        found = expand_word(text.replace("$", ""), {"A": "!", "x": "!"}, "\\")
    except EngineError:
        return
    assert "!" not in found


@SOAK
@given(TEXT)
def test_lines_that_are_put_together_hold_no_line_break(text) -> None:
    try:
        found = read(decode(text.encode(), "Dockerfile"))
    except EngineError:
        return
    assert all("\n" not in one.text for one in found.lines)
