"""The fan-out of streams, without a container: pipes and sockets of the test's own."""

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from wherry.shim import streams, wire
from wherry.shim.order import Details, Order, encode, read_details, read_order
from wherry.shim.streams import Attached, Streams, Watch

ALL = {"stdin": True, "stdout": True, "stderr": True}


class Rig:
    def __init__(self, *, stdin_once: bool = True) -> None:
        self.watch = Watch()
        self.inside, stdin = os.pipe()
        os.set_blocking(stdin, False)
        self.streams = Streams(self.watch, None, stdin, stdin_once, False)
        source, self.stdout = os.pipe()
        self.streams.add_source(source, "stdout")

    def client(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.streams.attach(Attached(theirs, ALL))
        return ours

    def turn(self, until: Callable[[], bool] = lambda: True, times: int = 1000) -> None:
        for _ in range(times):
            self.watch.wait(0)
            if until():
                return
        raise AssertionError("it did not come to pass")

    def close(self) -> None:
        self.streams.abandon_sources()
        self.streams.close_clients()
        self.watch.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()
    for fd in (rig.inside, rig.stdout):
        try:
            os.close(fd)
        except OSError:
            continue


def test_output_is_framed_for_each_client(rig: Rig) -> None:
    one, two = rig.client(), rig.client()
    os.write(rig.stdout, b"hi\n")
    rig.turn()
    frame = b"\1\0\0\0\0\0\0\3hi\n"
    assert (one.recv(99), two.recv(99)) == (frame, frame)
    one.close()
    two.close()


def test_one_client_that_is_behind_pauses_the_output_and_then_gets_it_all(rig: Rig) -> None:
    slow, fast = rig.client(), rig.client()
    os.set_blocking(rig.stdout, False)
    written = heard = 0
    block = b"x" * 65536
    for _ in range(400):
        try:
            written += os.write(rig.stdout, block)
        except BlockingIOError:
            if len(rig.streams.attached[0].buffer) > streams.HIGH:
                break
        rig.watch.wait(0)
        heard += _drain(fast)
    assert len(rig.streams.attached[0].buffer) <= streams.HIGH + streams.CHUNK + 8
    with pytest.raises(BlockingIOError):
        os.write(rig.stdout, block)  # the container waits, as it would at a pipe
    late = 0
    os.close(rig.stdout)
    while rig.streams.sources or not rig.streams.flushed:
        rig.watch.wait(0)
        late += _drain(slow)
        heard += _drain(fast)
    late += _drain(slow)
    heard += _drain(fast)
    assert late == heard
    assert late > written
    slow.close()
    fast.close()


def _drain(end: socket.socket) -> int:
    total = 0
    try:
        while data := end.recv(1 << 20):
            total += len(data)
    except BlockingIOError:
        pass
    return total


def test_input_of_all_clients_is_one_stream(rig: Rig) -> None:
    one, two = rig.client(), rig.client()
    one.sendall(b"a")
    rig.turn()
    two.sendall(b"b")
    rig.turn()
    assert os.read(rig.inside, 9) == b"ab"
    one.close()
    two.close()


def test_the_first_end_of_input_is_the_end(rig: Rig) -> None:
    client = rig.client()
    client.sendall(b"last")
    client.shutdown(socket.SHUT_WR)
    rig.turn(lambda: rig.streams.stdin < 0)
    assert os.read(rig.inside, 9) == b"last"
    assert os.read(rig.inside, 9) == b""
    client.close()


def test_without_once_input_stays_open() -> None:
    rig = Rig(stdin_once=False)
    rig.client().close()
    rig.turn()
    again = rig.client()
    again.sendall(b"more")
    rig.turn()
    assert os.read(rig.inside, 9) == b"more"
    again.close()
    rig.close()
    os.close(rig.inside)
    os.close(rig.stdout)


def test_input_that_nobody_reads_is_thrown_away(rig: Rig) -> None:
    os.close(rig.inside)
    client = rig.client()
    client.sendall(b"x" * 1000)
    rig.turn(lambda: rig.streams.stdin < 0)
    client.sendall(b"y" * 1000)
    rig.turn()
    assert not rig.streams._input
    client.close()


def test_a_message_with_descriptors_crosses_the_wire() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader, writer = os.pipe()
    with left, right:
        wire.send(left, {"id": "a", "op": "attach", "n": 3}, (writer,))
        message, fds = wire.receive(right)
        assert message == {"v": wire.VERSION, "id": "a", "op": "attach", "n": 3}
        os.write(fds[0], b"through")
        assert os.read(reader, 9) == b"through"
        left.close()
        assert wire.receive(right) == (None, [])
    for fd in (reader, writer, *fds):
        os.close(fd)


def test_a_start_carries_order_details_and_filter() -> None:
    client = {"stdin": False, "stdout": True, "stderr": False}
    order = Order(
        "a",
        "/run/\udcff",
        "/wherry/a",
        terminal=True,
        open_stdin=True,
        log="/a b/log",
        log_max_size=10,
        log_max_files=3,
        attaches=[client, dict.fromkeys(client, True)],
    )
    details: Details = {"bundle": "/b", "rootfs": {"type": "bind"}, "seccomp_flags": 2}
    data = encode(order, details, b"\0\1\0filter")
    assert read_order(data) == order
    assert read_details(data) == (details, b"\0\1\0filter")
    bare = encode(Order("a", "/r", "/c", special=True), details, b"")
    assert read_order(bare) == Order("a", "/r", "/c", special=True)
    assert read_details(bare) == (details, b"")


def test_what_a_shim_says_of_a_start_is_a_message_like_others() -> None:
    message = {"op": "started", "id": "a", "pid": 7, "started_ns": 1_795_428_000_000_000_001}
    said = wire.encode_started("a", 7, 1_795_428_000_000_000_001)
    assert wire.decode(said) == wire.decode(wire.encode(message))
