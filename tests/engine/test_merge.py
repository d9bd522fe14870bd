"""A request and its image become one config, as Docker merges them."""

import pytest

from wherry.engine.merge import left_out, merge
from wherry.engine.model import ContainerConfig, EmptyObject
from wherry.errdefs import EngineError
from wherry.spec.image import Empty, Healthcheck, RunConfig

IMAGE = RunConfig(entrypoint=("/entry", "-x"), cmd=("serve",), env=("PATH=/bin", "A=1"))


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "expected"),
    [
        (None, None, ["/entry", "-x", "serve"]),
        (None, ["other"], ["/entry", "-x", "other"]),
        (["mine"], None, ["mine"]),
        (["mine"], ["arg"], ["mine", "arg"]),
        ([], None, ["serve"]),
        ([""], ["bare"], ["bare"]),
    ],
)
def test_an_entrypoint_resets_the_images_command(
    entrypoint: list[str] | None, cmd: list[str] | None, expected: list[str]
) -> None:
    config = merge(ContainerConfig(entrypoint=entrypoint, cmd=cmd), IMAGE)
    assert [*(config.entrypoint or []), *(config.cmd or [])] == expected


@pytest.mark.parametrize(
    "asked", [ContainerConfig(), ContainerConfig(entrypoint=[""]), ContainerConfig(cmd=[])]
)
def test_nothing_to_run_is_refused(asked: ContainerConfig) -> None:
    with pytest.raises(EngineError, match="no command specified"):
        merge(asked, RunConfig())


def test_variables_of_the_request_win() -> None:
    config = merge(ContainerConfig(env=["A=2", "B"]), IMAGE)
    assert config.env == ["A=2", "B", "PATH=/bin"]


def test_the_image_fills_what_is_open() -> None:
    image = RunConfig(
        cmd=("sh",),
        user="app",
        working_dir="/srv",
        labels={"a": "image", "b": "image"},
        exposed_ports={"80/tcp": Empty()},
        stop_signal="SIGQUIT",
        stop_timeout=3,
    )
    asked = ContainerConfig(labels={"a": "mine"}, exposed_ports={"90/udp": EmptyObject()})
    config = merge(asked, image)
    assert (config.user, config.working_dir) == ("app", "/srv")
    assert config.labels == {"a": "mine", "b": "image"}
    assert set(config.exposed_ports or {}) == {"80/tcp", "90/udp"}
    assert (config.stop_signal, config.stop_timeout) == ("SIGQUIT", 3)
    assert asked.user == "", "the request itself is not changed"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (ContainerConfig(working_dir="srv"), "the working directory 'srv' is invalid"),
        (ContainerConfig(env=["=x"]), "invalid environment variable: =x"),
        (ContainerConfig(stop_signal="SIGNONE"), "Invalid signal: SIGNONE"),
        (ContainerConfig(exposed_ports={"http": EmptyObject()}), "invalid port specification"),
    ],
)
def test_bad_values_are_refused_in_dockers_words(asked: ContainerConfig, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        merge(asked, IMAGE)


def test_what_is_left_out_is_said() -> None:
    image = RunConfig(volumes={"/data": Empty()}, healthcheck=Healthcheck(("CMD", "true")))
    volumes, health = left_out(image)
    assert "/data" in volumes
    assert "health check" in health
    assert left_out(RunConfig(healthcheck=Healthcheck(("NONE",)))) == []
