"""What runs in a container: its arguments, environment, directory and terminal."""

from collections.abc import Sequence

from wherry import errdefs
from wherry.engine.host import Host
from wherry.engine.model import ContainerConfig, HostConfig
from wherry.engine.runtime_spec import ulimits
from wherry.spec import runtime as oci

# TIOCSWINSZ takes 16 bits each.
_MAX_SIZE = 65535

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def command(config: ContainerConfig) -> list[str]:
    """Entrypoint and command as one. Raises InvalidArgument if there is nothing to run."""
    arguments = [*(config.entrypoint or []), *(config.cmd or [])]
    if not arguments:
        raise errdefs.invalid("no command specified")
    return arguments


def environment(config: ContainerConfig, hostname: str) -> list[str]:
    """Docker's three, which the config's own variables override; a bare name removes one."""
    variables = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if config.tty:
        variables["TERM"] = "xterm"
    for text in config.env or []:
        name, equals, value = text.partition("=")
        if equals:
            variables[name] = value
        else:
            variables.pop(name, None)
    return [f"{name}={value}" for name, value in variables.items()]


def check_environment(variables: Sequence[str]) -> None:
    for text in variables:
        if not text.partition("=")[0] or "\0" in text:
            raise errdefs.invalid(f"invalid environment variable: {text}")


def process(
    config: ContainerConfig, host_config: HostConfig, hostname: str, host: Host
) -> oci.Process:
    """The process section, without its capabilities. Raises InvalidArgument."""
    user: oci.User = {"username": config.user}
    if host_config.group_add:
        user["additionalGroups"] = host_config.group_add
    result: oci.Process = {
        "terminal": config.tty,
        "cwd": config.working_dir or "/",
        "env": environment(config, hostname),
        "args": command(config),
        "user": user,
        "oomScoreAdj": host_config.oom_score_adj,
    }
    height, width = host_config.console_size
    if height > _MAX_SIZE or width > _MAX_SIZE:
        raise errdefs.invalid(f"no terminal has {height} rows and {width} columns")
    if config.tty and height and width:
        result["consoleSize"] = {"height": height, "width": width}
    if rlimits := ulimits.rlimits(host_config, host):
        result["rlimits"] = rlimits
    return result
