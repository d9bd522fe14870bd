"""What a Dockerfile may cost: the daemon's memory and time are not its author's."""

import dataclasses

import pytest
from yards import Yard, add_image

from wherry.build import steps
from wherry.build.dockerfile import DockerfileError, parse
from wherry.build.dockerfile.arguments import global_arguments, resolve
from wherry.build.dockerfile.errors import suggestion
from wherry.build.dockerfile.instructions import Arg, Argument
from wherry.build.events import BuildWarning
from wherry.build.vertices import excerpt_of
from wherry.errdefs import EngineError, Kind

DOUBLED = 'ENV A="' + "x" * 1000 + '"\n' + "ENV A=$A$A\n" * 9
"""512,000 characters, in 1.2 KB."""


def test_instructions_have_an_end() -> None:
    parse(b"FROM a\n" + b"LABEL a=b\n" * 9_999)
    with pytest.raises(DockerfileError, match="it has 10001 instructions, and 10000 are most"):
        parse(b"FROM a\n" + b"LABEL a=b\n" * 10_000)


async def test_an_image_is_no_larger_than_can_be_read(yard: Yard) -> None:
    """It would be damaged, and every list of images an error."""
    more = "".join(f"ENV B{number}=$A\n" for number in range(20))
    with pytest.raises(EngineError, match="configuration is more than 8 MB") as refused:
        await yard.build(f"FROM base\n{DOUBLED}{more}")
    assert refused.value.kind is Kind.INVALID_ARGUMENT
    yard.images.list()


async def test_stages_share_what_a_build_remembers(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = "FROM base\n" + DOUBLED
    await yard.build(stage)
    monkeypatch.setattr(steps, "_TOLD_MAX", 2 << 20)
    with pytest.raises(EngineError, match="or those of all stages more than 2 MB"):
        await yard.build(stage * 3 + "COPY --from=0 / /\nCOPY --from=1 / /\n")


async def test_one_instruction_cannot_take_a_large_value_often(yard: Yard) -> None:
    for words in ("ENV B=$A C=$A D=$A", "LABEL B=$A C=$A D=$A", "COPY $A $A $A /x/"):
        with pytest.raises(DockerfileError, match="make more than 1048576 characters"):
            await yard.build(f"FROM base\n{DOUBLED}{words}\n")


def test_arguments_share_what_variables_may_bring() -> None:
    large = "x" * 400_000
    argument = parse(b"ARG A\nFROM b\n").meta_args[0]
    three = tuple(Argument(name, "$L") for name in "ABC")
    many = dataclasses.replace(argument, arguments=three)
    with pytest.raises(DockerfileError, match="make more than 1048576 characters"):
        resolve(many, {"L": large}, {}, {})
    each: list[Arg] = [dataclasses.replace(argument, arguments=(one,)) for one in three]
    with pytest.raises(DockerfileError, match="make more than 1048576 characters"):
        global_arguments(each, {"L": large}, {})


async def test_warnings_are_told_up_to_a_number_with_a_few_lines_of_each(yard: Yard) -> None:
    unset = "".join(f"$U{number}" for number in range(1500))
    await yard.build(f"FROM base\nENV A={unset}\n")
    warnings = [event for event in yard.events if isinstance(event, BuildWarning)]
    assert len(warnings) == 1001
    assert warnings[-1].message == "and 500 warnings more"
    assert all(len(line) < 600 for one in warnings[:-1] for line in one.excerpt.lines)  # type: ignore[union-attr]


def test_an_excerpt_is_short() -> None:
    long = parse(b"FROM a\nRUN " + b"b\\\n" * 3000 + b"c\n").stages[0].instructions[0]
    assert len(excerpt_of(long.location).lines) < 100


def test_what_is_long_has_no_near_word() -> None:
    """Comparing two words takes the product of their lengths."""
    assert suggestion("x" * 60_000, ["y" * 60_000]) == ""


async def test_a_stage_number_may_have_any_length(yard: Yard) -> None:
    with pytest.raises(EngineError, match="there is no stage of that number"):
        await yard.build(f"FROM base\nCOPY --from={'9' * 5000} a /\n")


async def test_triggers_can_close_no_circle(yard: Yard) -> None:
    add_image(yard, "trigger", "ONBUILD COPY --from=last /f /f")
    with pytest.raises(DockerfileError, match="circular dependency detected"):
        await yard.build("FROM trigger AS first\nFROM first AS last\n")
    add_image(yard, "aside", "ONBUILD COPY --from=one /f /f")
    with pytest.raises(DockerfileError, match="circular dependency detected"):
        await yard.build(
            "FROM base AS one\nCOPY --from=two /f /f\n"
            "FROM base AS two\nCOPY --from=one /f /f\nFROM aside\n"
        )


async def test_many_stages_one_upon_the_other(yard: Yard) -> None:
    chain = "".join(f"FROM s{number - 1} AS s{number}\n" for number in range(1, 2000))
    built = await yard.build(f"FROM base AS s0\n{chain}")
    assert yard.config(built).rootfs == yard.images.resolve("base").config.rootfs


async def test_triggers_have_an_end(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    add_image(yard, "many", *["ONBUILD LABEL a=b"] * 11)
    monkeypatch.setattr(steps, "INSTRUCTIONS_MAX", 10)
    with pytest.raises(DockerfileError, match="the base image has 11 triggers, and 10 are most"):
        await yard.build("FROM many\n")
