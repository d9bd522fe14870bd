"""`--network` and its companions in the API's form. ValueError says what is wrong."""

from __future__ import annotations

from wherry.cli.create.mounts import split_commas
from wherry.cli.create.values import read_ports, read_published

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.flags import Parsed


class Network:
    """One network to join, with the container's names and addresses in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.endpoint: dict[str, object] = {}
        self._addresses: dict[str, object] = {}

    def set(self, key: str, value: object) -> None:
        self.endpoint[key] = value

    def set_address(self, key: str, value: object) -> None:
        self._addresses[key] = value
        self.endpoint["IPAMConfig"] = self._addresses


def read_networks(parsed: Parsed) -> list[Network]:
    """The networks in the order given; the plain options belong to the first."""
    networks = [_read_network(text) for text in parsed.texts("network")] or [Network("")]
    first = networks[0]
    aliases = parsed.texts("network-alias")
    if aliases:
        first.set("Aliases", aliases)
    links = parsed.texts("link")
    if links and first.name not in ("", "default", "bridge"):
        first.set("Links", links)
    for option, key in (("ip", "IPv4Address"), ("ip6", "IPv6Address")):
        if parsed.text(option):
            first.set_address(key, parsed.text(option))
    if parsed.texts("link-local-ip"):
        first.set_address("LinkLocalIPs", parsed.texts("link-local-ip"))
    if parsed.text("mac-address"):
        first.set("MacAddress", parsed.text("mac-address"))
    names = [network.name for network in networks]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"network {name!r} is specified multiple times")
    return networks


def _read_network(text: str) -> Network:
    if "=" not in text:
        return Network(text)
    network = Network("")
    for item in split_commas(text):
        key, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"invalid field {item!r} must be a key=value pair")
        if not _put_option(network, key.strip().lower(), value):
            raise ValueError(f"invalid field key {key} in --network {text!r}")
    if not network.name:
        raise ValueError(f"--network {text!r} has no name")
    return network


def _put_option(network: Network, key: str, value: str) -> bool:
    if key == "name":
        network.name = value
    elif key == "alias":
        aliases = network.endpoint.setdefault("Aliases", [])
        assert isinstance(aliases, list)
        aliases.append(value)
    elif key == "driver-opt":
        options = network.endpoint.setdefault("DriverOpts", {})
        assert isinstance(options, dict)
        name, _, setting = value.partition("=")
        options[name] = setting
    elif key in ("ip", "ip6"):
        network.set_address("IPv4Address" if key == "ip" else "IPv6Address", value)
    elif key == "mac-address":
        network.set("MacAddress", value)
    elif key == "gw-priority":
        network.set("GwPriority", int(value))
    else:
        return False
    return True


def endpoints(networks: list[Network]) -> dict[str, object]:
    """The endpoints' configuration, for networks that have more than their name."""
    if len(networks) == 1 and not networks[0].endpoint:
        return {}
    return {network.name or "default": network.endpoint for network in networks}


def exposed_and_bound(parsed: Parsed) -> tuple[dict[str, object], dict[str, list[dict[str, str]]]]:
    """ExposedPorts and PortBindings."""
    exposed: dict[str, object] = {}
    bound: dict[str, list[dict[str, str]]] = {}
    for text in parsed.texts("expose"):
        for port, protocol in read_ports(text):
            exposed[f"{port}/{protocol}"] = {}
    for text in parsed.texts("publish"):
        for name, binding in read_published(text):
            exposed[name] = {}
            bound.setdefault(name, []).append(binding)
    return exposed, bound
