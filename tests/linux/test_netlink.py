"""rtnetlink: what is built is what is parsed, and the kernel understands it."""

import errno
import os
import socket
import struct
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.linux import netlink, syscalls
from wherry.linux.netlink import Attribute, Message, RouteSocket

EXAMPLES = 3000 if os.environ.get("WHERRY_SOAK") else 60

ATTRIBUTES = st.lists(
    st.builds(Attribute, st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=5
)
MESSAGES = st.lists(
    st.builds(
        Message,
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.binary(max_size=40),
    ),
    max_size=5,
)


@settings(max_examples=EXAMPLES)
@given(ATTRIBUTES)
def test_attributes_come_back(items: list[Attribute]) -> None:
    raw = netlink.attributes(items)
    assert len(raw) % 4 == 0
    assert netlink.parse_attributes(raw) == items


@settings(max_examples=EXAMPLES)
@given(MESSAGES)
def test_messages_come_back(messages: list[Message]) -> None:
    raw = b"".join(
        netlink.message(one.type, one.flags, one.sequence, one.payload) for one in messages
    )
    assert list(netlink.parse_messages(raw)) == messages


@settings(max_examples=EXAMPLES)
@given(st.binary(max_size=80))
def test_junk_is_parsed_or_refused(data: bytes) -> None:
    parsers: list[Callable[[bytes], object]] = [
        netlink.parse_attributes,
        lambda raw: list(netlink.parse_messages(raw)),
        lambda raw: netlink.parse_answer(Message(netlink.NLMSG_ERROR, 0x300, 1, raw)),
        lambda raw: netlink.parse_answer(Message(netlink.NLMSG_ERROR, 0x200, 1, raw)),
    ]
    for parse in parsers:
        try:
            parse(data)
        except ValueError:
            continue


def test_flags_are_taken_off_nested_types() -> None:
    raw = netlink.attributes([Attribute(netlink.NLA_F_NESTED | 18, b"abcd")])
    assert netlink.parse_attributes(raw) == [Attribute(18, b"abcd")]


def test_an_attribute_that_can_not_be_counted() -> None:
    with pytest.raises(ValueError, match="too long"):
        netlink.attributes([Attribute(1, bytes(70000))])


def test_the_kernels_sentence_is_found_behind_the_request() -> None:
    said = netlink.attributes([Attribute(1, b"Invalid MTU\0")])
    request = netlink.message(16, 0, 7, bytes(16))
    whole = struct.pack("=i", -errno.EINVAL) + request + said
    answer = netlink.parse_answer(Message(netlink.NLMSG_ERROR, 0x200, 7, whole))
    assert answer == (errno.EINVAL, "Invalid MTU")
    capped = struct.pack("=i", -errno.EINVAL) + request[:16] + said
    assert netlink.parse_answer(Message(netlink.NLMSG_ERROR, 0x300, 7, capped)) == answer


def test_links_and_addresses_are_values() -> None:
    raw = struct.pack("=BxHiII", 0, 1, 3, 0x1003, 0) + netlink.attributes(
        [
            Attribute(netlink.IFLA_IFNAME, b"eth0\0"),
            Attribute(netlink.IFLA_MTU, struct.pack("=I", 1500)),
            Attribute(netlink.IFLA_MASTER, struct.pack("=I", 9)),
            Attribute(netlink.IFLA_ADDRESS, b"\x02\x42\0\0\0\x01"),
        ]
    )
    link = netlink.parse_link(raw)
    assert (link.index, link.name, link.mtu, link.master, link.is_up) == (3, "eth0", 1500, 9, True)
    raw = struct.pack("=BBBBI", socket.AF_INET, 24, 0, 0, 3) + netlink.attributes(
        [
            Attribute(netlink.IFA_ADDRESS, bytes([10, 0, 0, 2])),
            Attribute(netlink.IFA_LOCAL, bytes([10, 0, 0, 1])),
        ]
    )
    assert netlink.parse_address(raw) == netlink.Address(3, socket.AF_INET, "10.0.0.1", 24)


def in_new_namespace(work: Callable[[], object]) -> None:
    """Run `work` in a child with a network namespace of its own; its failure is ours."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "it did not end"
        try:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            work()
            said = ""
        except Exception as error:  # noqa: BLE001  # told to the parent
            said = repr(error) or "unknown"
        finally:
            os.write(told, said.encode())
            os._exit(0)
    os.close(told)
    said = os.read(ready, 65536).decode()
    os.close(ready)
    os.waitpid(pid, 0)
    assert not said, said


@pytest.mark.root
def test_lo_comes_up_in_a_new_namespace() -> None:
    def work() -> None:
        with RouteSocket() as route:
            assert not route.link("lo").is_up
            assert route.addresses() == []
            route.link_up("lo")
            route.link_up(1)
            (lo,) = (link for link in route.links() if link.name == "lo")
            assert (lo.index, lo.is_up, lo.mtu) == (1, True, 65536)
            assert "127.0.0.1" in [one.address for one in route.addresses()]
            route.link_down("lo")
            assert not route.link("lo").is_up

    in_new_namespace(work)


@pytest.mark.root
def test_a_refusal_says_what_was_tried() -> None:
    def work() -> None:
        with RouteSocket() as route:
            for call, code in (
                (lambda: route.link_up("nothing"), errno.ENODEV),
                (lambda: route.link_up(4711), errno.ENODEV),
                (lambda: route.link("nothing"), errno.ENODEV),
                (lambda: route.link_up("a-name-of-17-bytes"), errno.ENODEV),
                (lambda: route.request(4242, b"", "ask for nonsense"), errno.EOPNOTSUPP),
            ):
                with pytest.raises(OSError) as refused:
                    call()
                assert refused.value.errno == code
            assert "ask for nonsense" in str(refused.value)
            route.link_up("lo")  # and the socket is in step

    in_new_namespace(work)


@pytest.mark.root
def test_lo_comes_up_fast() -> None:
    """It is on the way of every container's start."""

    def work() -> None:
        took = []
        for _ in range(5):
            before = time.perf_counter()
            with RouteSocket() as route:
                route.link_up("lo")
            took.append(time.perf_counter() - before)
        # 0.07 to 0.3 ms here; the bound leaves room for a busy machine.
        assert min(took) < 0.005, took

    in_new_namespace(work)
