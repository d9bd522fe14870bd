"""Which namespaces a container gets of its own, and whose it joins."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from wherry import errdefs
from wherry.engine.model import HostConfig
from wherry.spec import runtime as oci

# The path of a namespace of a running container: (container's reference, kind as in /proc/PID/ns).
NamespaceOf = Callable[[str, str], str]


@dataclass(frozen=True)
class Mode:
    """A parsed mode: `private`, `host`, `none`, or `container` with whose it is."""

    kind: str
    container: str = ""


def parse(text: str) -> Mode:
    kind, colon, container = text.partition(":")
    return Mode(kind, container) if colon else Mode(text or "private")


def check(config: HostConfig) -> None:
    """Refuse modes that don't exist, and by name those that aren't there yet."""
    _check_one("PID mode", config.pid_mode, ("private", "host", "container"))
    if config.ipc_mode == "shareable" or config.ipc_mode.startswith("container:"):
        raise errdefs.not_implemented(
            f"IPC mode {config.ipc_mode}: sharing /dev/shm between containers is not supported "
            "yet; private, none and host are"
        )
    _check_one("IPC mode", config.ipc_mode, ("private", "host", "none"))
    _check_one("UTS mode", config.uts_mode, ("private", "host"))
    _check_one("userns mode", config.userns_mode, ("private", "host"))
    _check_one("cgroup namespace mode", config.cgroupns_mode, ("private", "host"))


def _check_one(what: str, text: str, known: tuple[str, ...]) -> None:
    mode = parse(text)
    if mode.kind not in known or (mode.kind == "container") != bool(mode.container):
        raise errdefs.invalid(f"invalid {what}: {text}")


def namespaces(config: HostConfig, namespace_of: NamespaceOf) -> list[oci.Namespace]:
    """The namespaces to make or join; one that isn't named is the host's.

    Raises what `namespace_of` raises for a container that isn't there or isn't running.
    """
    result: list[oci.Namespace] = [{"type": "mount"}]
    network = parse(config.network_mode)
    if network.kind == "container":
        path = namespace_of(network.container, "net")
        result.append({"type": "network", "path": path})
    elif network.kind != "host":
        result.append({"type": "network"})
    pid = parse(config.pid_mode)
    if pid.kind == "container":
        result.append({"type": "pid", "path": namespace_of(pid.container, "pid")})
    elif pid.kind != "host":
        result.append({"type": "pid"})
    if parse(config.ipc_mode).kind != "host":
        result.append({"type": "ipc"})
    if parse(config.uts_mode).kind != "host":
        result.append({"type": "uts"})
    if parse(config.cgroupns_mode).kind == "private":
        result.append({"type": "cgroup"})
    return result


_IPC_SYSCTLS = re.compile(
    r"kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)"
)


def check_sysctls(config: HostConfig) -> None:
    """Only what belongs to a namespace of the container's own may be set."""
    for name in config.sysctls or {}:
        if _IPC_SYSCTLS.fullmatch(name) or name.startswith("fs.mqueue."):
            own = parse(config.ipc_mode).kind != "host"
        elif name.startswith("net."):
            own = parse(config.network_mode).kind != "host"
        elif name == "kernel.domainname":
            own = parse(config.uts_mode).kind != "host"
        else:
            raise errdefs.invalid(f'sysctl "{name}" is not in a separate kernel namespace')
        if not own or "/" in name or ".." in name:
            raise errdefs.invalid(f'sysctl "{name}" not allowed in the host\'s namespace')


def sysctls(config: HostConfig) -> dict[str, str]:
    """Docker's defaults let any user bind low ports and ping, in a network of their own."""
    result: dict[str, str] = {}
    if parse(config.network_mode).kind == "none":
        result["net.ipv4.ip_unprivileged_port_start"] = "0"
        result["net.ipv4.ping_group_range"] = "0 2147483647"
    result.update(config.sysctls or {})
    return result
