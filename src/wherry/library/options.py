"""What can be said of a new container, and the request that it becomes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

from wherry import errdefs
from wherry.engine.model import (
    UNSET,
    CreateRequest,
    DeviceMapping,
    HostConfig,
    LogConfig,
    Mount,
    Ulimit,
)

_UNITS: Final = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_NANOS: Final = 1_000_000_000

Size = int | str
"""Bytes, or as Docker writes them: `64m`, `1.5g`."""


class Options(TypedDict, total=False):
    """What `run` and `containers.create` take beside image and command.

    What is not given is the image's, or the engine's default. `binds` are files and folders of the
    host by where they are seen in the container: `{"/data": "/srv/data", "/etc/app": "conf:ro"}`;
    relative ones begin at the current directory. `tmpfs` are paths with Docker's options, or ""
    for none. `cpus` is how many processors' time it may use, `pids` how many processes it may have.
    `network` is `none`, `host` or `container:NAME`. `ulimits` are (soft, hard), or a number for
    both. `stop_timeout` is in seconds.
    """

    entrypoint: str | Sequence[str]
    env: Mapping[str, str]
    workdir: str
    user: str
    group_add: Sequence[str]
    hostname: str
    labels: Mapping[str, str]
    tty: bool
    stdin: bool
    stop_signal: str
    stop_timeout: int

    network: str
    dns: Sequence[str]
    extra_hosts: Mapping[str, str]

    binds: Mapping[str, str | os.PathLike[str]]
    mounts: Sequence[Mount]
    tmpfs: Mapping[str, str]
    shm_size: Size
    read_only: bool
    devices: Sequence[str]

    memory: Size
    memory_swap: Size
    cpus: float
    cpuset: str
    pids: int
    ulimits: Mapping[str, int | tuple[int, int]]

    privileged: bool
    cap_add: Sequence[str]
    cap_drop: Sequence[str]
    security_opt: Sequence[str]
    sysctls: Mapping[str, str]
    ipc: str
    pid: str
    init: bool

    log_driver: str
    log_opts: Mapping[str, str]
    annotations: Mapping[str, str]


def read_request(image: str, command: Sequence[str] | str, options: Options) -> CreateRequest:
    """The request for a container. Raises InvalidArgument for an option that makes no sense."""
    unknown = options.keys() - Options.__annotations__.keys()
    if unknown:
        raise TypeError(f"a container has no option {', '.join(sorted(unknown))}")
    request = CreateRequest(
        image=image,
        cmd=_words(command) or None,
        hostname=options.get("hostname", ""),
        user=options.get("user", ""),
        working_dir=options.get("workdir", ""),
        env=[f"{name}={value}" for name, value in options.get("env", {}).items()] or None,
        labels=dict(options.get("labels", {})) or None,
        tty=options.get("tty", False),
        open_stdin=options.get("stdin", False),
        stdin_once=options.get("stdin", False),
        stop_signal=options.get("stop_signal", UNSET),
        stop_timeout=options.get("stop_timeout", UNSET),
        host_config=_host_config(options),
    )
    if "entrypoint" in options:
        # The empty one is how the API is told to forget the image's.
        request.entrypoint = _words(options["entrypoint"]) or [""]
    return request


def _host_config(options: Options) -> HostConfig:
    host = HostConfig(
        network_mode=options.get("network", ""),
        dns=_list(options.get("dns")),
        extra_hosts=[f"{name}:{at}" for name, at in options.get("extra_hosts", {}).items()] or None,
        binds=[_bind(at, source) for at, source in options.get("binds", {}).items()] or None,
        mounts=list(options.get("mounts", ())) or UNSET,
        tmpfs=dict(options.get("tmpfs", {})) or UNSET,
        readonly_rootfs=options.get("read_only", False),
        devices=[_device(text) for text in options.get("devices", ())] or None,
        ulimits=[_ulimit(name, given) for name, given in options.get("ulimits", {}).items()]
        or None,
        group_add=_list(options.get("group_add")),
        privileged=options.get("privileged", False),
        cap_add=_list(options.get("cap_add")),
        cap_drop=_list(options.get("cap_drop")),
        security_opt=_list(options.get("security_opt")),
        sysctls=dict(options.get("sysctls", {})) or UNSET,
        ipc_mode=options.get("ipc", ""),
        pid_mode=options.get("pid", ""),
        init=options.get("init", UNSET),
        annotations=dict(options.get("annotations", {})) or UNSET,
        log_config=LogConfig(
            type=options.get("log_driver", ""), config=dict(options.get("log_opts", {})) or None
        ),
    )
    _limit(host, options)
    return host


def _limit(host: HostConfig, options: Options) -> None:
    if "memory" in options:
        host.memory = read_size("memory", options["memory"])
    if "memory_swap" in options:
        host.memory_swap = read_size("memory_swap", options["memory_swap"])
    if "shm_size" in options:
        host.shm_size = read_size("shm_size", options["shm_size"])
    if "cpus" in options:
        host.nano_cpus = round(options["cpus"] * _NANOS)
    if "cpuset" in options:
        host.cpuset_cpus = options["cpuset"]
    if "pids" in options:
        host.pids_limit = options["pids"]


def read_size(name: str, size: Size) -> int:
    """Bytes. Raises InvalidArgument for what is no size."""
    if isinstance(size, int):
        return size
    text = size.lower().removesuffix("ib").removesuffix("b")
    unit = text[-1:]
    number = text[:-1] if unit in _UNITS else text
    try:
        return int(float(number) * (1 << _UNITS.get(unit, 0)))
    except (ValueError, OverflowError) as error:
        raise errdefs.invalid(f"{name}: {size!r} is no size, like 64m or 1.5g") from error


def _words(given: str | Sequence[str]) -> list[str]:
    """A string is one word: nothing here splits as a shell does."""
    return [given] if isinstance(given, str) and given else list(given)


def _list(given: Sequence[str] | None) -> list[str] | None:
    return list(given) if given else None


def _bind(target: str, source: str | os.PathLike[str]) -> str:
    path, mode = os.fspath(source), ""
    if isinstance(source, str):
        # What follows a colon is the mode; a path with a colon has to be given as a Path.
        path, colon, mode = source.rpartition(":")
        if not colon:
            path, mode = source, ""
    return ":".join(filter(None, (os.path.abspath(path), target, mode)))


def _device(text: str) -> DeviceMapping:
    """`HOST[:CONTAINER[:rwm]]`, as `--device` has it."""
    host, _, rest = text.partition(":")
    inside, _, permissions = rest.partition(":")
    if inside and set(inside) <= set("rwm"):
        inside, permissions = "", inside
    return DeviceMapping(
        path_on_host=host,
        path_in_container=inside or host,
        cgroup_permissions=permissions or "rwm",
    )


def _ulimit(name: str, given: int | tuple[int, int]) -> Ulimit:
    soft, hard = (given, given) if isinstance(given, int) else given
    return Ulimit(name=name, soft=soft, hard=hard)
