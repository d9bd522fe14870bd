"""The body of `POST /containers/create`: what was asked for, and nothing else.

A field that nobody set is not sent, so that the daemon's own defaults hold and an older daemon
meets no field that it does not know.
"""

from __future__ import annotations

from wherry.cli.create.environment import environment, labels
from wherry.cli.create.mounts import binds_and_volumes, read_mount, tmpfs
from wherry.cli.create.networks import endpoints, exposed_and_bound, read_networks
from wherry.cli.create.values import (
    capabilities,
    mapping,
    read_device,
    read_rate,
    read_restart,
    read_ulimit,
    read_weight,
)
from wherry.cli.errors import CLI_FAILED, CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.flags import Parsed

    Body = dict[str, object]

# Options whose value is the field's value.
_TEXTS = {"domainname": "Domainname", "hostname": "Hostname", "stop-signal": "StopSignal",
          "user": "User", "workdir": "WorkingDir"}  # fmt: skip
_HOST_TEXTS = {
    "cgroup-parent": "CgroupParent",
    "cgroupns": "CgroupnsMode",
    "cidfile": "ContainerIDFile",
    "cpuset-cpus": "CpusetCpus",
    "cpuset-mems": "CpusetMems",
    "ipc": "IpcMode",
    "pid": "PidMode",
    "runtime": "Runtime",
    "userns": "UsernsMode",
    "uts": "UTSMode",
    "volume-driver": "VolumeDriver",
}
_HOST_LISTS = {
    "add-host": "ExtraHosts",
    "device-cgroup-rule": "DeviceCgroupRules",
    "dns": "Dns",
    "dns-option": "DnsOptions",
    "dns-search": "DnsSearch",
    "group-add": "GroupAdd",
    "volumes-from": "VolumesFrom",
}
_HOST_SWITCHES = {
    "init": "Init",
    "oom-kill-disable": "OomKillDisable",
    "privileged": "Privileged",
    "publish-all": "PublishAllPorts",
    "read-only": "ReadonlyRootfs",
    "rm": "AutoRemove",
}
_HOST_NUMBERS = {
    "blkio-weight": "BlkioWeight",
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-rt-period": "CpuRealtimePeriod",
    "cpu-rt-runtime": "CpuRealtimeRuntime",
    "cpu-shares": "CpuShares",
    "cpus": "NanoCpus",
    "memory": "Memory",
    "memory-reservation": "MemoryReservation",
    "memory-swap": "MemorySwap",
    "memory-swappiness": "MemorySwappiness",
    "oom-score-adj": "OomScoreAdj",
    "pids-limit": "PidsLimit",
    "shm-size": "ShmSize",
}
_HOST_MAPS = {"annotation": "Annotations", "storage-opt": "StorageOpt", "sysctl": "Sysctls"}
_RATES = {
    "device-read-bps": "BlkioDeviceReadBps",
    "device-read-iops": "BlkioDeviceReadIOps",
    "device-write-bps": "BlkioDeviceWriteBps",
    "device-write-iops": "BlkioDeviceWriteIOps",
}


class Request:
    """What `run` and `create` need of their command line beside the body itself."""

    def __init__(self, body: Body, attached: tuple[bool, bool, bool]) -> None:
        self.body = body
        self.stdin, self.stdout, self.stderr = attached


def read_request(parsed: Parsed, *, detached: bool) -> Request:
    """The request that the command line means. Raises CliError for values that can't be."""
    try:
        return _request(parsed, detached)
    except ValueError as error:
        raise CliError(str(error), CLI_FAILED) from error


def _request(parsed: Parsed, detached: bool) -> Request:
    image, *command = parsed.arguments
    attached = (False, False, False) if detached else _attached(parsed)
    body: Body = {"Image": image}
    if command:
        body["Cmd"] = command
    body |= {field: parsed.text(name) for name, field in _TEXTS.items() if parsed.text(name)}
    _put_streams(body, parsed, attached)
    if parsed.given("entrypoint"):
        # The empty one is how the API is told to forget the image's.
        body["Entrypoint"] = [parsed.text("entrypoint")]
    variables = environment(parsed.texts("env-file"), parsed.texts("env"))
    if variables:
        body["Env"] = variables
    found = labels(parsed.texts("label-file"), parsed.texts("label"))
    if found:
        body["Labels"] = found
    if parsed.given("stop-timeout"):
        body["StopTimeout"] = parsed.number("stop-timeout")
    health = _health(parsed)
    if health:
        body["Healthcheck"] = health
    host = _host_config(parsed)
    _put_mounts(body, host, parsed)
    _put_networks(body, host, parsed)
    body["HostConfig"] = host
    return Request(body, attached)


def _attached(parsed: Parsed) -> tuple[bool, bool, bool]:
    names = parsed.texts("attach")
    if not names:
        return parsed.switch("interactive"), True, True
    return "stdin" in names, "stdout" in names, "stderr" in names


def _put_streams(body: Body, parsed: Parsed, attached: tuple[bool, bool, bool]) -> None:
    for field, value in zip(("AttachStdin", "AttachStdout", "AttachStderr"), attached, strict=True):
        body[field] = value
    if parsed.switch("tty"):
        body["Tty"] = True
    if parsed.switch("interactive"):
        body["OpenStdin"] = True
        # Whoever came first is also the last: the container's input ends with this program's.
        body["StdinOnce"] = attached[0]


def _host_config(parsed: Parsed) -> Body:
    host: Body = {}
    host |= {key: parsed.text(name) for name, key in _HOST_TEXTS.items() if parsed.text(name)}
    host |= {key: parsed.texts(name) for name, key in _HOST_LISTS.items() if parsed.texts(name)}
    host |= {key: True for name, key in _HOST_SWITCHES.items() if parsed.switch(name)}
    host |= {key: parsed.number(name) for name, key in _HOST_NUMBERS.items() if parsed.given(name)}
    _put_values(host, parsed)
    if parsed.text("restart"):
        host["RestartPolicy"] = read_restart(parsed.text("restart"))
        if parsed.switch("rm") and parsed.text("restart") != "no":
            raise ValueError("conflicting options: cannot specify both --restart and --rm")
    if parsed.text("log-driver") or parsed.texts("log-opt"):
        options = mapping(parsed.texts("log-opt"))
        host["LogConfig"] = {"Type": parsed.text("log-driver"), "Config": options}
    _put_security(host, parsed.texts("security-opt"))
    return host


def _put_values(host: Body, parsed: Parsed) -> None:
    """The lists whose elements have a form of their own in the API."""
    for name, key in (("cap-add", "CapAdd"), ("cap-drop", "CapDrop")):
        if parsed.texts(name):
            host[key] = capabilities(parsed.texts(name))
    for name, key in _HOST_MAPS.items():
        if parsed.texts(name):
            host[key] = mapping(parsed.texts(name))
    for name, key in _RATES.items():
        if parsed.texts(name):
            host[key] = [read_rate(text) for text in parsed.texts(name)]
    if parsed.texts("blkio-weight-device"):
        host["BlkioWeightDevice"] = [read_weight(t) for t in parsed.texts("blkio-weight-device")]
    if parsed.texts("ulimit"):
        host["Ulimits"] = [read_ulimit(text) for text in parsed.texts("ulimit")]
    if parsed.texts("device"):
        host["Devices"] = [read_device(text) for text in parsed.texts("device")]


def _put_security(host: Body, options: list[str]) -> None:
    kept: list[str] = []
    for option in options:
        if option == "systempaths=unconfined":
            # For the API these are lists, and empty ones mean that nothing is hidden.
            host["MaskedPaths"] = []
            host["ReadonlyPaths"] = []
            continue
        name, separator, value = option.partition("=")
        if not separator:
            name, separator, value = option.partition(":")
        if name == "seccomp" and value not in ("unconfined", "builtin"):
            option = f"seccomp={_seccomp_profile(value)}"
        kept.append(option)
    if kept:
        host["SecurityOpt"] = kept


def _seccomp_profile(path: str) -> str:
    """The file's JSON, compact: the daemon may not see this program's files."""
    from wherry.client.jsontext import dumps, loads

    try:
        with open(path, "rb") as file:
            return dumps(loads(file.read()))
    except OSError as error:
        raise ValueError(f"opening seccomp profile ({path}) failed: {error}") from error
    except ValueError as error:
        raise ValueError(f"compacting json for seccomp profile ({path}) failed: {error}") from error


def _put_mounts(body: Body, host: Body, parsed: Parsed) -> None:
    binds, anonymous = binds_and_volumes(parsed.texts("volume"))
    if binds:
        host["Binds"] = binds
    if anonymous:
        body["Volumes"] = anonymous
    if parsed.texts("mount"):
        host["Mounts"] = [read_mount(text) for text in parsed.texts("mount")]
    if parsed.texts("tmpfs"):
        host["Tmpfs"] = tmpfs(parsed.texts("tmpfs"))


def _put_networks(body: Body, host: Body, parsed: Parsed) -> None:
    networks = read_networks(parsed)
    if networks[0].name:
        host["NetworkMode"] = networks[0].name
    configured = endpoints(networks)
    if configured:
        body["NetworkingConfig"] = {"EndpointsConfig": configured}
    if parsed.texts("link") and networks[0].name in ("", "default", "bridge"):
        host["Links"] = parsed.texts("link")
    exposed, bound = exposed_and_bound(parsed)
    if exposed:
        body["ExposedPorts"] = exposed
    if bound:
        host["PortBindings"] = bound


def _health(parsed: Parsed) -> Body:
    health: Body = {}
    for name, field in (
        ("health-interval", "Interval"),
        ("health-retries", "Retries"),
        ("health-start-interval", "StartInterval"),
        ("health-start-period", "StartPeriod"),
        ("health-timeout", "Timeout"),
    ):
        if parsed.given(name):
            health[field] = parsed.number(name)
    if parsed.text("health-cmd"):
        health["Test"] = ["CMD-SHELL", parsed.text("health-cmd")]
    if parsed.switch("no-healthcheck"):
        if health:
            raise ValueError("--no-healthcheck conflicts with --health-* options")
        health["Test"] = ["NONE"]
    return health
