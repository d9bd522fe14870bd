"""How a container is joined to networks, as asked for and as it is."""

from msgspec import field

from wherry.engine.model.base import UNSET, Int64, Object, UInt16, UnsetType


class PortBinding(Object):
    host_ip: str = ""
    host_port: str = ""


# From "80/tcp" to where it is published; null stands for "exposed, not published".
PortMap = dict[str, list[PortBinding] | None]


class Port(Object):
    """A port in the list of containers."""

    ip: str | UnsetType = field(default=UNSET, name="IP")
    private_port: UInt16 = 0
    public_port: UInt16 | UnsetType = UNSET
    type: str = "tcp"


class EndpointIPAMConfig(Object):
    ipv4_address: str | UnsetType = field(default=UNSET, name="IPv4Address")
    ipv6_address: str | UnsetType = field(default=UNSET, name="IPv6Address")
    link_local_ips: list[str] | UnsetType = field(default=UNSET, name="LinkLocalIPs")


class EndpointSettings(Object):
    ipam_config: EndpointIPAMConfig | None = field(default=None, name="IPAMConfig")
    links: list[str] | None = None
    aliases: list[str] | None = None
    mac_address: str = ""
    driver_opts: dict[str, str] | None = None
    gw_priority: Int64 = 0
    network_id: str = field(default="", name="NetworkID")
    endpoint_id: str = field(default="", name="EndpointID")
    gateway: str = ""
    ip_address: str = field(default="", name="IPAddress")
    ip_prefix_len: int = field(default=0, name="IPPrefixLen")
    ipv6_gateway: str = field(default="", name="IPv6Gateway")
    global_ipv6_address: str = field(default="", name="GlobalIPv6Address")
    global_ipv6_prefix_len: int = field(default=0, name="GlobalIPv6PrefixLen")
    dns_names: list[str] | None = field(default=None, name="DNSNames")


class NetworkingConfig(Object):
    endpoints_config: dict[str, EndpointSettings | None] | None = None


class Address(Object):
    addr: str = ""
    prefix_len: int = 0


class NetworkSettings(Object):
    """The networks of a container in `inspect`."""

    bridge: str = ""
    sandbox_id: str = field(default="", name="SandboxID")
    sandbox_key: str = ""
    ports: PortMap = field(default_factory=dict)
    hairpin_mode: bool = False
    link_local_ipv6_address: str = field(default="", name="LinkLocalIPv6Address")
    link_local_ipv6_prefix_len: int = field(default=0, name="LinkLocalIPv6PrefixLen")
    secondary_ip_addresses: list[Address] | None = field(default=None, name="SecondaryIPAddresses")
    secondary_ipv6_addresses: list[Address] | None = field(
        default=None, name="SecondaryIPv6Addresses"
    )
    endpoint_id: str = field(default="", name="EndpointID")
    gateway: str = ""
    global_ipv6_address: str = field(default="", name="GlobalIPv6Address")
    global_ipv6_prefix_len: int = field(default=0, name="GlobalIPv6PrefixLen")
    ip_address: str = field(default="", name="IPAddress")
    ip_prefix_len: int = field(default=0, name="IPPrefixLen")
    ipv6_gateway: str = field(default="", name="IPv6Gateway")
    mac_address: str = ""
    networks: dict[str, EndpointSettings] = field(default_factory=dict)


class SummaryNetworkSettings(Object):
    """The networks of a container in the list."""

    networks: dict[str, EndpointSettings] = field(default_factory=dict)
