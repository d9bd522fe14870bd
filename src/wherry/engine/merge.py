"""A request's config and its image's become one, by Docker's rules."""

import re

import msgspec

from wherry import errdefs
from wherry.engine.model import UNSET, ContainerConfig, EmptyObject
from wherry.engine.runtime_spec import process
from wherry.linux.signals import parse_signal
from wherry.spec.image import RunConfig

_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(?:tcp|udp|sctp))?", re.IGNORECASE)


def merge(asked: ContainerConfig, image: RunConfig) -> ContainerConfig:
    """The config of the container: what the request leaves open, the image says.

    A request's entrypoint drops the image's command too. The image's volumes and health check
    are not taken over: `left_out` says what to tell. Raises InvalidArgument.
    """
    config = msgspec.structs.replace(asked)
    process.check_environment(config.env or [])
    config.user = config.user or image.user
    config.working_dir = config.working_dir or image.working_dir
    if config.working_dir and not config.working_dir.startswith("/"):
        raise errdefs.invalid(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute "
            "path"
        )
    config.exposed_ports = _ports(config, image)
    config.env = _environment(config.env or [], image.env)
    config.labels = {**image.labels, **(config.labels or {})}
    config.stop_signal = config.stop_signal or image.stop_signal or UNSET
    if config.stop_signal:
        parse_signal(config.stop_signal)
    if config.stop_timeout is UNSET and image.stop_timeout is not None:
        config.stop_timeout = image.stop_timeout
    if not config.shell and image.shell:
        config.shell = list(image.shell)
    config.entrypoint, config.cmd = _command(config, image)
    process.command(config)
    return config


def _command(
    config: ContainerConfig, image: RunConfig
) -> tuple[list[str] | None, list[str] | None]:
    entrypoint, cmd = config.entrypoint, config.cmd
    if not entrypoint:
        cmd = cmd or list(image.cmd) or None
        if entrypoint is None:
            entrypoint = list(image.entrypoint) or None
    elif entrypoint == [""]:
        entrypoint = None  # `--entrypoint ""`: without the image's, and without its command
    return entrypoint, cmd


def _environment(asked: list[str], image: tuple[str, ...]) -> list[str]:
    known = {text.partition("=")[0] for text in asked}
    return [*asked, *(text for text in image if text.partition("=")[0] not in known)]


def _ports(config: ContainerConfig, image: RunConfig) -> dict[str, EmptyObject] | msgspec.UnsetType:
    ports = {port: EmptyObject() for port in image.exposed_ports}
    ports.update(config.exposed_ports or {})
    for port in ports:
        match = _PORT.fullmatch(port)
        if match is None or not int(match[1]) <= int(match[2] or match[1]) <= 65535:
            raise errdefs.invalid(f'invalid port specification: "{port}"')
    return ports or UNSET


def left_out(image: RunConfig) -> list[str]:
    """What the image declares and this container does not get, as warnings."""
    warnings = []
    if image.volumes:
        paths = ", ".join(sorted(image.volumes))
        warnings.append(
            f"The image declares volumes ({paths}), which are not supported yet: what is written "
            "there is kept in the container and goes with it."
        )
    check = image.healthcheck
    if check is not None and check.test and check.test[0] != "NONE":
        warnings.append("The image declares a health check, which is not supported yet.")
    return warnings
