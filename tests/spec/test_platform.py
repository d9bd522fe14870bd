"""Platforms: normal forms, and which image of several runs here."""

import pytest

from wherry.errdefs import EngineError, Kind
from wherry.spec import platform
from wherry.spec.platform import Platform


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("Linux/AMD64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/i686", "linux/386"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/s390x", "linux/s390x"),
        ("macos/arm64", "darwin/arm64"),
    ],
)
def test_every_spelling_has_one_normal_form(text: str, normal: str) -> None:
    assert str(platform.parse(text)) == normal
    assert platform.parse(normal) == platform.parse(text)


def test_what_is_missing_is_this_machines() -> None:
    here = platform.host()
    assert here.os == "linux"
    assert platform.parse("linux") == here
    assert platform.parse("s390x") == Platform("s390x", "linux")
    assert here.rank(here) == 0


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "linux/amd64/v 1", "plan-10", "é"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(EngineError) as caught:
        platform.parse(text)
    assert caught.value.kind is Kind.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("machine", "offered", "taken"),
    [
        ("linux/amd64", ["linux/arm64", "linux/386", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/arm64", "linux/386"], "linux/386"),
        ("linux/amd64", ["linux/amd64/v2", "windows/amd64"], None),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2"], "linux/amd64/v2"),
        ("linux/arm64", ["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7"),
        ("linux/arm64", ["linux/arm64/v9", "linux/arm64/v8"], "linux/arm64"),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], "linux/arm/v5"),
        ("linux/riscv64", ["linux/amd64"], None),
        ("linux/amd64", ["unknown/unknown"], None),
    ],
)
def test_the_best_of_what_is_offered_is_taken(
    machine: str, offered: list[str], taken: str | None
) -> None:
    candidates = [Platform(*reversed(text.split("/")[:2]), variant="".join(text.split("/")[2:]))
                  for text in offered]  # fmt: skip
    best = platform.parse(machine).best(candidates)
    assert (None if best is None else str(candidates[best].normalized())) == taken
