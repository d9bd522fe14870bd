"""dockerd's flags: which there are, and how they are written."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

Value = str | int | bool | list[str] | dict[str, str]


class Kind(Enum):
    """How a value is written, as a flag and in the configuration file."""

    TEXT = "string"
    NUMBER = "int"
    BOOLEAN = "bool"
    LIST = "list"
    MAP = "map"


class Flag(NamedTuple):
    """A setting. `key` is its name in the configuration file, where lists are in the plural."""

    name: str
    kind: Kind
    help: str
    short: str = ""
    key: str = ""


FLAGS = (
    Flag("cgroup-parent", Kind.TEXT, "The group above all containers' (default /wherry)"),
    Flag("config-file", Kind.TEXT, "Configuration file (default /etc/wherry/daemon.json)"),
    Flag("data-root", Kind.TEXT, "What is kept: images, containers (default /var/lib/wherry)"),
    Flag("debug", Kind.BOOLEAN, "Log what only matters when something is wrong", "D"),
    Flag("exec-opt", Kind.LIST, "native.cgroupdriver=cgroupfs is the only one", key="exec-opts"),
    Flag("exec-root", Kind.TEXT, "What lasts until the next boot (default /run/wherry)"),
    Flag("group", Kind.TEXT, "Who may use the socket (default docker, where it exists)", "G"),
    Flag("host", Kind.LIST, "unix:///path, tcp://address:port, fd://; repeatable", "H", "hosts"),
    Flag("label", Kind.LIST, "A key=value label of the daemon", key="labels"),
    Flag("live-restore", Kind.BOOLEAN, "Leave containers running at the end (default true)"),
    Flag("log-driver", Kind.TEXT, "json-file or none, where a container asks for nothing"),
    Flag("log-level", Kind.TEXT, "debug, info, warn, error or fatal (default info)", "l"),
    Flag("log-opt", Kind.MAP, "Default log options: max-size, max-file", key="log-opts"),
    Flag("pidfile", Kind.TEXT, "Where the process ID is written (default: in the exec root)", "p"),
    Flag("shutdown-timeout", Kind.NUMBER, "Seconds that requests and stops get (default 15)"),
    Flag("tls", Kind.BOOLEAN, "TLS on tcp://; by default if --tlsverify is given"),
    Flag("tlscacert", Kind.TEXT, "Whose clients to trust (default ~/.docker/ca.pem)"),
    Flag("tlscert", Kind.TEXT, "The daemon's certificate (default ~/.docker/cert.pem)"),
    Flag("tlskey", Kind.TEXT, "Its key (default ~/.docker/key.pem)"),
    Flag("tlsverify", Kind.BOOLEAN, "Let in only clients with a certificate of tlscacert"),
    Flag("storage-driver", Kind.TEXT, "erofs, overlay or native (default: what works)", "s"),
    # Of dockerd's networking; the values that ask for nothing are taken.
    Flag("bridge", Kind.TEXT, "Only none so far", "b"),
    Flag("experimental", Kind.BOOLEAN, "Only false"),
    Flag("ip-forward", Kind.BOOLEAN, "Only false so far"),
    Flag("ip-masq", Kind.BOOLEAN, "Only false so far"),
    Flag("ip6tables", Kind.BOOLEAN, "Only false so far"),
    Flag("iptables", Kind.BOOLEAN, "Only false so far"),
    Flag("ipv6", Kind.BOOLEAN, "Only false so far"),
    Flag("userland-proxy", Kind.BOOLEAN, "Only false so far"),
)


class UsageError(Exception):
    """The command line itself is wrong."""


class Given:
    """The command line, by the configuration file's keys."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.asks_for_help = False
        self.asks_for_version = False
        self.only_validates = False


def key_of(flag: Flag) -> str:
    return flag.key or flag.name


def parse(argv: Sequence[str]) -> Given:
    """`--name value`, `--name=value`, `-n value`, `-nvalue`, `-n=value`; booleans need no value.

    Raises UsageError in the words of dockerd.
    """
    given = Given()
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-") or argument in ("-", "--"):
            raise UsageError('"wherryd" accepts no arguments, only flags.')
        name, written, value = _split(argument)
        if _is_mode(name, given):
            continue
        flag = _find(name)
        if flag is None:
            raise UsageError(f"unknown flag: {argument.partition('=')[0]}")
        if flag.kind is Kind.BOOLEAN:
            text = value if written else "true"
        elif written:
            text = value
        elif rest:
            text = rest.pop(0)
        else:
            raise UsageError(f"flag needs an argument: {argument}")
        _store(given.values, flag, text)
    return given


def usage() -> str:
    lines = ["Usage:  wherryd [OPTIONS]", "", "The daemon of Wherry, a container engine.", ""]
    lines.append("Options:")
    for flag in FLAGS:
        short = f"-{flag.short}, " if flag.short else "    "
        kind = "" if flag.kind is Kind.BOOLEAN else f" {flag.kind.value}"
        lines.append(f"  {short}--{flag.name + kind:<24} {flag.help}")
    lines.append(f"      --{'help':<24} Print this")
    lines.append(f"      --{'validate':<24} Check flags and configuration file, and end")
    lines.append(f"  -v, --{'version':<24} Print the version")
    return "\n".join(lines) + "\n"


def _split(argument: str) -> tuple[str, bool, str]:
    """A flag's name, whether a value is written in the same word, and that value."""
    if argument.startswith("--"):
        name, equals, value = argument[2:].partition("=")
        return name, bool(equals), value
    name, value = argument[1], argument[2:]
    return name, bool(value), value.removeprefix("=")


def _find(name: str) -> Flag | None:
    for flag in FLAGS:
        if name in (flag.name, flag.short) and name:
            return flag
    return None


def _is_mode(name: str, given: Given) -> bool:
    if name in ("help", "h"):
        given.asks_for_help = True
    elif name in ("version", "v"):
        given.asks_for_version = True
    elif name == "validate":
        given.only_validates = True
    else:
        return False
    return True


def _store(values: dict[str, Value], flag: Flag, text: str) -> None:
    key = key_of(flag)
    if flag.kind is Kind.BOOLEAN:
        values[key] = _boolean(flag, text)
    elif flag.kind is Kind.NUMBER:
        values[key] = _number(flag, text)
    elif flag.kind is Kind.LIST:
        values[key] = [*_list(values.get(key)), text]
    elif flag.kind is Kind.MAP:
        name, equals, value = text.partition("=")
        if not equals:
            raise _invalid(flag, text, "must be key=value")
        before = values.get(key)
        values[key] = {**(before if isinstance(before, dict) else {}), name: value}
    else:
        values[key] = text


def _list(value: Value | None) -> list[str]:
    return value if isinstance(value, list) else []


def _boolean(flag: Flag, text: str) -> bool:
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise _invalid(flag, text, "must be true or false")


def _number(flag: Flag, text: str) -> int:
    if text.removeprefix("-").isdecimal() and len(text) < 12:
        return int(text)
    raise _invalid(flag, text, "must be a whole number")


def _invalid(flag: Flag, text: str, why: str) -> UsageError:
    return UsageError(f'invalid argument "{text}" for "--{flag.name}" flag: {why}')
