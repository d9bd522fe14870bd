"""rtnetlink: links and addresses of the network namespace that a socket was made in.

A request is a message, a header before a fixed structure before attributes, and so are its
answers (rtnetlink(7), linux/netlink.h); all in host byte order, each part padded to 4 bytes:

    +----------------+-----------+-------------+-------------+
    | length type    | ifinfomsg | len type    | len type    |
    | flags seq port | or other  | value  pad  | value  pad  |
    +----------------+-----------+-------------+-------------+

Building and parsing are pure functions; `RouteSocket` sends, and waits for the kernel's word.
"""

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from wherry.closing import Closing

# --- Messages: pure ------------------------------------------------------------------------

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_ROOT, NLM_F_MATCH = 0x1, 0x4, 0x100, 0x200
NLM_F_DUMP = NLM_F_ROOT | NLM_F_MATCH
NLM_F_DUMP_INTR = 0x10
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200  # of an NLMSG_ERROR
NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF

RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 18, 20, 22
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER = 1, 3, 4, 10
IFA_ADDRESS, IFA_LOCAL = 1, 2
IFF_UP = 0x1
_NLMSGERR_ATTR_MSG = 1

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_IFINFOMSG = struct.Struct("=BxHiII")  # family, hardware type, index, flags, change
_IFADDRMSG = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_MAX_NAME = 15  # IFNAMSIZ without its NUL


class Attribute(NamedTuple):
    """A type (without its flags) and a value; nested ones are in `value`, as bytes."""

    type: int
    value: bytes


class Message(NamedTuple):
    type: int
    flags: int
    sequence: int
    payload: bytes


class Answer(NamedTuple):
    """An NLMSG_ERROR: errno 0 is success. `said` is the kernel's own sentence, often empty."""

    errno: int
    said: str


def attributes(items: Sequence[Attribute]) -> bytes:
    """Attributes as bytes, each padded. Raises ValueError for a value that 16 bits can't count."""
    parts = []
    for kind, value in items:
        length = _ATTRIBUTE.size + len(value)
        if length > 0xFFFF:
            raise ValueError(f"netlink attribute {kind} is too long: {len(value)} bytes")
        parts.append(_ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4))
    return b"".join(parts)


def parse_attributes(data: bytes) -> list[Attribute]:
    """The attributes in `data`, flags taken off their types. Raises ValueError if it is cut."""
    found = []
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            raise ValueError(f"netlink attribute at {offset} has a wrong length: {length}")
        value = data[offset + _ATTRIBUTE.size : offset + length]
        found.append(Attribute(kind & _NLA_TYPE_MASK, value))
        offset += length + -length % 4
    return found


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    length = _HEADER.size + len(payload)
    return _HEADER.pack(length, kind, flags, sequence, 0) + payload + bytes(-length % 4)


def parse_messages(data: bytes) -> Iterator[Message]:
    """The messages of one datagram, in order. Raises ValueError if one is cut."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            raise ValueError(f"netlink message at {offset} has a wrong length: {length}")
        payload = data[offset + _HEADER.size : offset + length]
        yield Message(kind, flags, sequence, payload)
        offset += length + -length % 4


def parse_answer(answer: Message) -> Answer:
    """What an NLMSG_ERROR or an NLMSG_DONE says. Raises ValueError if it is cut."""
    if len(answer.payload) < 4:
        return Answer(0, "")  # an NLMSG_DONE of old kernels
    (code,) = struct.unpack_from("=i", answer.payload)
    said = ""
    if answer.flags & NLM_F_ACK_TLVS and answer.type == NLMSG_ERROR:
        # The request follows the code: whole, or its header only if capped.
        if len(answer.payload) < 4 + _HEADER.size:
            raise ValueError("netlink answer is cut")
        (request,) = struct.unpack_from("=I", answer.payload, 4)
        skip = 4 + (_HEADER.size if answer.flags & NLM_F_CAPPED else request + -request % 4)
        said = "".join(
            value.rstrip(b"\0").decode(errors="replace")
            for kind, value in parse_attributes(answer.payload[skip:])
            if kind == _NLMSGERR_ATTR_MSG
        )
    return Answer(-code, said)


# --- Links and addresses: values ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface. `address` is its hardware address, `master` its bridge's index or 0."""

    index: int
    name: str
    flags: int
    mtu: int
    address: bytes
    master: int

    @property
    def is_up(self) -> bool:
        return bool(self.flags & IFF_UP)


@dataclass(frozen=True, slots=True)
class Address:
    """An address of the link `index`, as text: "10.0.0.1", "fe80::1"."""

    index: int
    family: int
    address: str
    prefix_length: int


def parse_link(payload: bytes) -> Link:
    """An RTM_NEWLINK's payload as a Link."""
    _, _, index, flags, _ = _IFINFOMSG.unpack_from(payload)
    found = dict(parse_attributes(payload[_IFINFOMSG.size :]))
    return Link(
        index=index,
        name=found.get(IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="surrogateescape"),
        flags=flags,
        mtu=int.from_bytes(found.get(IFLA_MTU, b""), sys.byteorder),
        address=found.get(IFLA_ADDRESS, b""),
        master=int.from_bytes(found.get(IFLA_MASTER, b""), sys.byteorder),
    )


def parse_address(payload: bytes) -> Address:
    """An RTM_NEWADDR's payload as an Address: this side's, where a link has two ends."""
    family, prefix_length, _, _, index = _IFADDRMSG.unpack_from(payload)
    found = dict(parse_attributes(payload[_IFADDRMSG.size :]))
    raw = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS, b"")
    return Address(index, family, socket.inet_ntop(family, raw), prefix_length)


# --- The socket -----------------------------------------------------------------------------

_SOL_NETLINK = 270
_NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 10, 11
_DATAGRAM = 65536  # the kernel fills a dump's datagrams to at most 32 KiB


class RouteSocket(Closing):
    """An rtnetlink socket: it stays in the network namespace that it was made in.

        with RouteSocket() as route:
            route.link_up("lo")

    Every method raises OSError with the kernel's errno, its sentence, and what was tried.
    For one thread at a time.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._sequence = 0
        # Sentences beside error numbers, and refusals without the request sent back.
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def link_up(self, link: int | str) -> None:
        """Bring up the link of this index or name; one that is up is fine. ENODEV: no such one."""
        self._set_link(link, IFF_UP, IFF_UP, "bring up link")

    def link_down(self, link: int | str) -> None:
        self._set_link(link, 0, IFF_UP, "take down link")

    def _set_link(self, link: int | str, flags: int, change: int, tried: str) -> None:
        index, names = (link, []) if isinstance(link, int) else (0, [_named(link)])
        body = _IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, flags, change) + attributes(names)
        self.request(RTM_NEWLINK, body, f"{tried} {link}")

    def links(self) -> list[Link]:
        """The namespace's links, by index."""
        body = _IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        found = [parse_link(raw) for raw in self.dump(RTM_GETLINK, body, "list links")]
        return sorted(found, key=lambda link: link.index)

    def link(self, name: str) -> Link:
        """One link. Raises OSError ENODEV if there is none of that name."""
        body = _IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + attributes([_named(name)])
        tried = f"look for link {name}"
        for answer in self._exchange(RTM_GETLINK, 0, body, tried):
            return parse_link(answer.payload)
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), tried)

    def addresses(self) -> list[Address]:
        """The addresses of all the namespace's links, v4 and v6."""
        body = _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        return [parse_address(raw) for raw in self.dump(RTM_GETADDR, body, "list addresses")]

    def request(self, kind: int, payload: bytes, tried: str) -> None:
        """Ask for a change, and return when the kernel has made it."""
        for _ in self._exchange(kind, NLM_F_ACK, payload, tried):
            pass

    def dump(self, kind: int, payload: bytes, tried: str) -> list[bytes]:
        """The payloads of everything of a sort; asked again when it changed while it was told."""
        while True:
            messages = list(self._exchange(kind, NLM_F_DUMP, payload, tried))
            if not any(one.flags & NLM_F_DUMP_INTR for one in messages):
                return [one.payload for one in messages]

    def _exchange(self, kind: int, flags: int, payload: bytes, tried: str) -> Iterator[Message]:
        """Send, and yield the answers to it, until the kernel says that it is done.

        Without ACK or DUMP that is after the first.
        """
        self._sequence += 1
        self._socket.send(message(kind, NLM_F_REQUEST | flags, self._sequence, payload))
        while True:
            for one in parse_messages(self._socket.recv(_DATAGRAM)):
                if one.sequence != self._sequence:
                    continue  # an answer that nobody waited for
                if one.type in (NLMSG_ERROR, NLMSG_DONE):
                    _raise(parse_answer(one), tried)
                    return
                yield one
                if not flags:
                    return


def _named(name: str) -> Attribute:
    """A link's name as an attribute. ENODEV for one that no link can have."""
    raw = os.fsencode(name)
    if not raw or len(raw) > _MAX_NAME or b"\0" in raw:
        raise OSError(errno.ENODEV, f"no link has such a name: {name!r}")
    return Attribute(IFLA_IFNAME, raw + b"\0")


def _raise(answer: Answer, tried: str) -> None:
    if answer.errno:
        said = f" ({answer.said})" if answer.said else ""
        raise OSError(answer.errno, f"{os.strerror(answer.errno)}{said}", tried)
