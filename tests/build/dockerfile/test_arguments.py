"""Build arguments: what is always there, what was given, and what a stage sees."""

import pytest

from wherry.build.dockerfile import (
    Arg,
    DockerfileError,
    global_arguments,
    is_predefined,
    parse,
    platform_arguments,
    proxy_environment,
    resolve,
)
from wherry.spec.platform import Platform

HERE = Platform("amd64", "linux")
THERE = Platform("arm", "linux", variant="v7")


def arg(text: str) -> Arg:
    return parse(f"ARG {text}\nFROM a".encode()).meta_args[0]


def values(found: Arg) -> dict[str, str | None]:
    return {one.name: one.value for one in found.arguments}


def test_platforms_are_there_without_an_arg() -> None:
    found = platform_arguments(HERE, THERE, "web", {"TARGETOS": "other", "X": "1"})
    assert found == {
        "BUILDPLATFORM": "linux/amd64",
        "BUILDOS": "linux",
        "BUILDOSVERSION": "",
        "BUILDARCH": "amd64",
        "BUILDVARIANT": "",
        "TARGETPLATFORM": "linux/arm/v7",
        "TARGETOS": "other",
        "TARGETOSVERSION": "",
        "TARGETARCH": "arm",
        "TARGETVARIANT": "v7",
        "TARGETSTAGE": "web",
    }
    assert platform_arguments(HERE, HERE, "", {})["TARGETSTAGE"] == "default"


def test_global_arguments_see_those_before_them() -> None:
    file = parse(b"ARG A=1 B=${A}2\nARG C D=$TARGETARCH\nARG A=3\nARG E=$A$GIVEN\nFROM a")
    found = global_arguments(file.meta_args, {"TARGETARCH": "arm"}, {"B": "given", "GIVEN": "x"})
    assert found == {"TARGETARCH": "arm", "A": "3", "B": "given", "D": "arm", "E": "3"}


def test_a_bad_default_is_refused_with_its_place() -> None:
    with pytest.raises(DockerfileError, match=r"X: no") as caught:
        global_arguments([arg("A=${X:?no}")], {}, {})
    assert (caught.value.location.line, caught.value.location.column) == (1, 7)


@pytest.mark.parametrize(
    ("text", "given", "value"),
    [
        ("A", {}, None),
        ("A", {"A": "given"}, "given"),
        ("A=default", {"A": "given"}, "given"),
        ("A=$E-x", {}, "env-x"),
        ("A='$E'", {}, "$E"),
        ("G", {}, "global"),
        ("G=own", {}, "own"),
        ("G", {"G": "given"}, "given"),
        ("A=${X:?no}", {"A": "given"}, "given"),
    ],
)
def test_what_was_given_wins(text, given, value) -> None:
    found = resolve(arg(text), {"E": "env"}, {"G": "global"}, given)
    assert list(values(found).values()) == [value]


def test_arguments_of_a_line_see_those_before_them() -> None:
    assert values(resolve(arg("A=1 B=${A}2 C=$B"), {}, {}, {"B": "x"})) == {
        "A": "1", "B": "x", "C": "x",
    }  # fmt: skip


def test_proxies_are_predefined_in_both_spellings() -> None:
    assert is_predefined("http_proxy")
    assert is_predefined("NO_PROXY")
    assert is_predefined("SOURCE_DATE_EPOCH")
    assert is_predefined("BUILDKIT_INLINE_CACHE")
    assert not is_predefined("TARGETARCH")
    assert proxy_environment({"http_proxy": "a", "NO_PROXY": "b", "X": "c"}) == {
        "HTTP_PROXY": "a", "http_proxy": "a", "NO_PROXY": "b", "no_proxy": "b",
    }  # fmt: skip
