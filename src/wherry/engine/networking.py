"""A container's network for now: none, the host's, or another container's. And its /etc files."""

import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from wherry import errdefs
from wherry.engine.model import ContainerConfig, EndpointSettings, HostConfig
from wherry.engine.runtime_spec import namespaces

NO_BRIDGE = (
    "Bridge networks are not supported yet: the container has no network but its own loopback "
    "(--network none). --network host gives it the host's."
)

_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


@dataclass(frozen=True)
class Etc:
    """The contents of the files that are bound over the image's own."""

    hostname: str
    hosts: str
    resolv_conf: str

    def write(self, folder: Path) -> list[tuple[str, str]]:
        """Put them into `folder`; answers (path in the container, path here) of each."""
        files = []
        for name, text in self._contents():
            here = folder / name
            here.write_text(text, encoding="utf-8")
            files.append((f"/etc/{name}", str(here)))
        return files

    def mend(self, folder: Path) -> None:
        """Put those into `folder` that are missing there, empty, or nothing but zeros: lost with
        the power. Others stay, as a container may have written to them."""
        for name, text in self._contents():
            here = folder / name
            if not here.exists() or not here.read_bytes().strip(b"\0"):
                here.write_text(text, encoding="utf-8")

    def _contents(self) -> list[tuple[str, str]]:
        return [
            ("resolv.conf", self.resolv_conf),
            ("hostname", self.hostname),
            ("hosts", self.hosts),
        ]


def network_id(name: str) -> str:
    """The ID of one of the networks that need no making: `none`, `host`."""
    return hashlib.sha256(f"network {name}".encode()).hexdigest()


def files_in(folder: str) -> list[tuple[str, str]]:
    """What `Etc.write` put there."""
    return [(f"/etc/{name}", f"{folder}/{name}") for name in ("resolv.conf", "hostname", "hosts")]


def settle_mode(
    config: ContainerConfig, host_config: HostConfig, endpoints: dict[str, EndpointSettings | None]
) -> tuple[str, list[str]]:
    """The network mode to use, and the warning that goes with it.

    Raises InvalidArgument for a network that isn't there, and for what contradicts the mode. (Not
    NotFound: to a creation's 404 clients answer by pulling the image. dockerd answers it at the
    start.)
    """
    asked = host_config.network_mode
    mode = namespaces.parse(asked)
    if config.network_disabled:
        return "none", []
    for network in endpoints:
        if network not in (asked, "default", "bridge", "none", "host"):
            raise errdefs.invalid(f"network {network} not found")
    if asked in ("", "default", "bridge"):
        return "none", [NO_BRIDGE]
    if mode.kind == "container" and mode.container:
        _check_shared(config, host_config)
        return asked, []
    if asked not in ("none", "host"):
        raise errdefs.invalid(f"network {asked} not found")
    return asked, []


def _check_shared(config: ContainerConfig, host_config: HostConfig) -> None:
    """Who shares another's network shares its name and its /etc files too."""
    for given, what in (
        (config.hostname, "hostname"),
        (config.mac_address, "mac-address"),
        (host_config.dns, "dns"),
        (host_config.extra_hosts, "custom host-to-IP mapping"),
        (config.exposed_ports, "port exposing"),
    ):
        if given:
            raise errdefs.invalid(f"conflicting options: {what} and the network mode")


def hostname(config: ContainerConfig, host_config: HostConfig, own: str, default: str) -> str:
    """What the container is called: as asked, as the host (`own`) if it shares its name."""
    shared = namespaces.parse(host_config.uts_mode).kind == "host"
    if shared and config.hostname:
        raise errdefs.invalid("conflicting options: hostname and the UTS mode")
    for name in (config.hostname, config.domainname):
        if len(name.encode()) > 64 or any(character.isspace() for character in name):
            raise errdefs.invalid(
                f"invalid hostname: {name!r} is longer than 64 bytes, or has spaces"
            )
    if config.hostname:
        return config.hostname
    return own if shared or host_config.network_mode == "host" else default


def etc(config: ContainerConfig, host_config: HostConfig, name: str) -> Etc:
    """The three files for a network of the container's own, or for the host's."""
    on_host = host_config.network_mode == "host"
    hosts = _read("/etc/hosts") if on_host else _HOSTS
    hosts += "".join(_extra_host(text) for text in host_config.extra_hosts or [])
    full = f"{name}.{config.domainname}" if config.domainname else name
    return Etc(f"{full}\n", hosts, _resolv_conf(host_config))


def _extra_host(text: str) -> str:
    name, colon, address = text.partition(":")
    if not colon or not name or len(name.split()) != 1 or name.strip() != name:
        raise errdefs.invalid(f'bad format for add-host: "{text}"')
    if address == "host-gateway":
        raise errdefs.not_implemented(
            f"HostConfig.ExtraHosts {text}: host-gateway needs a bridge network, which is not "
            "supported yet"
        )
    if not _is_address(address.removeprefix("[").removesuffix("]")):
        raise errdefs.invalid(f'invalid IP address in add-host: "{address}"')
    return f"{address}\t{name}\n"


def _resolv_conf(host_config: HostConfig) -> str:
    """The host's, with what was asked for in its place."""
    lines = _read("/etc/resolv.conf").splitlines()
    for keyword, values in (
        ("nameserver", host_config.dns),
        ("search", host_config.dns_search),
        ("options", host_config.dns_options),
    ):
        if not values:
            continue
        lines = [line for line in lines if line.split(None, 1)[:1] != [keyword]]
        if keyword == "nameserver":
            for value in values:
                _check_nameserver(value)
            lines += [f"nameserver {value}" for value in values]
        elif any("\n" in value for value in values):
            raise errdefs.invalid(f"dns {keyword} {values}: a value is one line")
        elif values != ["."]:
            lines.append(f"{keyword} {' '.join(values)}")
    return "".join(f"{line}\n" for line in lines)


def _check_nameserver(address: str) -> None:
    if not _is_address(address):
        raise errdefs.invalid(f"invalid nameserver address: {address!r}")


def _is_address(text: str) -> bool:
    """An IPv6 zone may be any text for `ipaddress`; here it would end up in a file of lines."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return text.isprintable() and not any(character.isspace() for character in text)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
