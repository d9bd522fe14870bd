"""FROM: what a stage begins with."""

import pytest
from yards import Yard, add_image

from wherry.build.events import BuildWarning, VertexStarted
from wherry.errdefs import EngineError
from wherry.spec import platform as platforms

OTHER = "arm64" if platforms.host().architecture == "amd64" else "amd64"


async def test_an_image_gives_its_files_and_its_configuration(yard: Yard) -> None:
    add_image(yard, "configured", "ENV A=1", "USER ann", "WORKDIR /home", 'CMD ["/bin/sh"]')
    built = await yard.build("FROM configured\n")

    config = yard.config(built)
    assert (config.config.env, config.config.user) == (("A=1",), "ann")
    assert (config.config.working_dir, config.config.cmd) == ("/home", ("/bin/sh",))
    assert set(yard.files(built)) == {"etc/passwd", "etc/group", "bin/sh"}


async def test_a_variable_names_the_image(yard: Yard) -> None:
    text = "ARG NAME=nothing\nARG TAG=latest\nFROM ${NAME}:$TAG\n"
    built = await yard.build(text, build_args={"NAME": "base"})
    assert "bin/sh" in yard.files(built)


async def test_scratch_is_empty(yard: Yard) -> None:
    built = await yard.build("FROM scratch\nCOPY a /\n", {"a": "A"})

    assert yard.files(built) == {"a": b"A"}
    (path,) = yard.config(built).config.env
    assert path.startswith("PATH=/usr/local/sbin:")


async def test_a_stage_hands_on_all_it_has_its_arguments_too(yard: Yard) -> None:
    built = await yard.build(
        "FROM base AS one\nARG X=1\nENV A=$X\nUSER ann\nRUN echo $X > /one\n"
        "FROM one\nRUN echo $X > /two\nLABEL x=$X\n"
    )

    config = yard.config(built).config
    assert (config.env, config.user, config.labels) == (("A=1",), "ann", {"x": "1"})
    first, second = yard.steps
    assert first.env["X"] == second.env["X"] == "1"


async def test_a_platform_is_that_of_the_stage(yard: Yard) -> None:
    text = f"FROM --platform=linux/{OTHER} scratch\nCOPY a /\n"
    built = await yard.build(text, {"a": "A"})
    assert yard.config(built).architecture == OTHER


async def test_an_image_of_another_platform_is_warned_of(yard: Yard) -> None:
    built = await yard.build(f"FROM --platform=linux/{OTHER} base\n")

    rules = [event.rule for event in yard.events if isinstance(event, BuildWarning)]
    assert "InvalidBaseImagePlatform" in rules
    assert yard.config(built).architecture == platforms.host().architecture


async def test_a_missing_image_is_told_with_its_line(yard: Yard) -> None:
    with pytest.raises(EngineError, match="missing"):
        await yard.build("FROM base AS one\nFROM missing\nCOPY --from=one /bin/sh /\n")
    begun = [event.instruction for event in yard.events if isinstance(event, VertexStarted)]
    assert "FROM missing" in begun
