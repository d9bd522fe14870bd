"""Checks and forms of single options' values. Each raises ValueError with what is wrong."""

from __future__ import annotations

from wherry.cli.units import read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def key_value(text: str) -> str:
    name, equals, _ = text.partition("=")
    if not name or not equals:
        raise ValueError("expected name=value")
    return text


def named(text: str) -> str:
    """A variable or a label: a name, and maybe a value."""
    if not text.partition("=")[0]:
        raise ValueError(f"{text!r} has no name")
    return text


def stream(text: str) -> str:
    if text.lower() not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def device_rule(text: str) -> str:
    """`c 1:3 rwm`, with `*` for any number."""
    kind, _, rest = text.partition(" ")
    numbers, _, modes = rest.partition(" ")
    major, _, minor = numbers.partition(":")
    if (
        kind not in ("a", "b", "c")
        or not all(number == "*" or number.isdecimal() for number in (major, minor))
        or not modes
        or not _is_mode(modes)
    ):
        raise ValueError(f"invalid device cgroup format {text!r} (such as 'c 1:3 rwm')")
    return text


def extra_host(text: str) -> str:
    """`name:ip` or `name=ip` as the API wants it; an IPv6 address may stand in brackets."""
    at = min((place for place in (text.find("="), text.find(":")) if place > 0), default=0)
    name, address = text[:at], text[at + 1 :]
    if not at or not address:
        raise ValueError(f"bad format for add-host: {text!r} (name:ip)")
    return f"{name}:{address.removeprefix('[').removesuffix(']')}"


def capabilities(names: Iterable[str]) -> list[str]:
    """Full names, each once: `net_admin` is CAP_NET_ADMIN, `all` is ALL."""
    full = (name.strip().upper() for name in names)
    return sorted(
        {name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}" for name in full}
    )


def mapping(pairs: Iterable[str]) -> dict[str, str]:
    """`name=value` options as a dictionary; a name alone has the empty value."""
    result: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        result[name] = value
    return result


def ulimit(text: str) -> str:
    read_ulimit(text)
    return text


def read_ulimit(text: str) -> dict[str, object]:
    """`nofile=1024:2048` or `nofile=1024` in the API's form."""
    name, equals, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    try:
        low = int(soft)
        high = int(hard) if colon else low
    except ValueError:
        raise ValueError(f"invalid ulimit argument: {text} (name=soft[:hard])") from None
    if not name or not equals:
        raise ValueError(f"invalid ulimit argument: {text} (name=soft[:hard])")
    if high != -1 and (low == -1 or low > high):
        raise ValueError(
            f"ulimit soft limit must be less than or equal to hard limit: {low} > {high}"
        )
    return {"Name": name, "Soft": low, "Hard": high}


def blkio_weight(text: str) -> str:
    read_weight(text)
    return text


def read_weight(text: str) -> dict[str, object]:
    path, _, weight = text.rpartition(":")
    if not path.startswith("/dev/") or not weight.isdecimal():
        raise ValueError(f"bad format: {text} (/dev/name:weight)")
    if weight != "0" and not 10 <= int(weight) <= 1000:
        raise ValueError(f"invalid weight for device: {text} (10 to 1000, or 0)")
    return {"Path": path, "Weight": int(weight)}


def device_rate(text: str) -> str:
    read_rate(text)
    return text


def read_rate(text: str) -> dict[str, object]:
    path, _, rate = text.rpartition(":")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format: {text} (/dev/name:rate)")
    return {"Path": path, "Rate": read_size(rate)}


def security_option(text: str) -> str:
    if text == "no-new-privileges" or "=" in text or ":" in text:
        return text
    raise ValueError(f"invalid --security-opt: {text!r} (name=value)")


def read_device(text: str) -> dict[str, object]:
    """`/dev/sda`, `/dev/sda:/dev/xvda` or `/dev/sda:/dev/xvda:rw` in the API's form."""
    host, _, rest = text.partition(":")
    inside, _, permissions = rest.partition(":")
    if inside and not permissions and _is_mode(inside):
        inside, permissions = "", inside
    permissions = permissions or "rwm"
    if not host or not _is_mode(permissions):
        raise ValueError(f"invalid device specification: {text} (host[:container[:rwm]])")
    return {"PathOnHost": host, "PathInContainer": inside or host, "CgroupPermissions": permissions}


def _is_mode(text: str) -> bool:
    return set(text) <= set("rwm") and len(set(text)) == len(text)


def read_restart(text: str) -> dict[str, object]:
    """`always`, `on-failure:3` and so on in the API's form."""
    name, colon, count = text.partition(":")
    if not name or (colon and not count.isdecimal()):
        raise ValueError("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def read_ports(text: str) -> list[tuple[int, str]]:
    """`80`, `8000-8010`, `53/udp`: each port with its protocol."""
    span, _, protocol = text.partition("/")
    low, dash, high = span.partition("-")
    if not low.isdecimal() or (dash and not high.isdecimal()):
        raise ValueError(f"invalid port: {text!r}")
    first, last = int(low), int(high or low)
    if not 0 < first <= last <= 65535:
        raise ValueError(f"invalid port range: {text!r}")
    return [(port, (protocol or "tcp").lower()) for port in range(first, last + 1)]


def read_published(text: str) -> list[tuple[str, dict[str, str]]]:
    """`[[ip:]host:]container[/protocol]` as (`80/tcp`, binding) for each port."""
    rest, _, inside = text.rpartition(":")
    ip, _, host = rest.rpartition(":")
    ports = read_ports(inside)
    binding = {"HostIp": ip.strip("[]"), "HostPort": host}
    if host and "-" in host and len(ports) > 1:
        hosts = read_ports(host)
        if len(hosts) != len(ports):
            raise ValueError(f"invalid ranges specified for container and host Ports: {text!r}")
        return [
            (f"{port}/{protocol}", {**binding, "HostPort": str(outside)})
            for (port, protocol), (outside, _) in zip(ports, hosts, strict=True)
        ]
    if host and "-" not in host:
        read_ports(host)
        if len(ports) > 1:
            raise ValueError(f"invalid ranges specified for container and host Ports: {text!r}")
    return [(f"{port}/{protocol}", dict(binding)) for port, protocol in ports]
