"""Servers that answer with anything: a file or a refusal comes of it, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wherry.build.context import fetch_url
from wherry.build.threads import Stop
from wherry.errdefs import EngineError

OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that says the same to everybody, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(1 << 16)
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/f"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n\r\n",
        b"\0" * 5000,
        b"HTTP/1.1 200\r\n\r\nx",
        b"HTTP/9.9 200 OK\r\n\r\nx",
        b"HTTP/1.1 999 X\r\n\r\nx",
        b"HTTP/1.1 -1 X\r\n\r\nx",
        b"HTTP/1.1 200 " + b"x" * 100_000,
        b"HTTP/1.1 404 \x1b[31m\xff\r\n\r\n",
        OK + b"a: b\r\n" * 1000 + b"\r\nx",
        OK + b"a" * 100_000 + b": b\r\n\r\n",
        OK + b"Content-Length: 5\r\n\r\nx",
        OK + b"Content-Length: -5\r\n\r\nx",
        OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nx",
        OK + "Content-Length: ²\r\n\r\nx".encode(),
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nxxxxxxxx",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nx",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\nx",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 100_000 + b"\r\nx",
        OK + b"Last-Modified: Mon, 01 Jan 99999999 00:00:00 GMT\r\nContent-Length: 1\r\n\r\nx",
        OK + b"Last-Modified: Mon, 01 Jan 9999 00:00:00 GMT\r\nContent-Length: 1\r\n\r\nx",
        OK + b"Last-Modified: Mon, 99 Foo 0 99:99:99 +9999999\r\nContent-Length: 1\r\n\r\nx",
        OK + b"Last-Modified: " + b"1" * 5000 + b"\r\nContent-Length: 1\r\n\r\nx",
        OK + b"Last-Modified: \xff\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /f\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[/f\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://u:secret@127.0.0.1:x/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:99999/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe.invalid/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://" + b"a" * 300 + b".invalid/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://a..b/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\n\r\n",
        b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\nx",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    ],
)
def test_an_answer_is_a_file_or_refused(tmp_path: Path, answer: bytes) -> None:
    with answering(answer) as url:
        try:
            fetched, message = fetch_url(url, tmp_path), ""
        except EngineError as error:
            fetched, message = None, error.message
    assert "\x1b" not in message
    assert "secret" not in message
    if fetched is not None:
        with fetched.context as context:
            node = context.tree.node(fetched.name.encode())
            assert node is not None
            assert 0 <= node.mtime_ns < 253_402_300_800 * 10**9
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("said", [b"", OK, OK + b"Content-Length: 9\r\n\r\nx"])
def test_cancelling_does_not_wait_for_a_silent_server(tmp_path: Path, said: bytes) -> None:
    stop = Stop()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def cancel() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1 << 16)
                client.sendall(said)
                stop.set()
                assert client.recv(1) == b""

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(EngineError, match="cancelled"):
            fetch_url(f"http://127.0.0.1:{listener.getsockname()[1]}/f", tmp_path, stop)
        thread.join()


def test_a_name_or_a_port_that_is_none(tmp_path: Path) -> None:
    for url in ("http://[/x", "http://a..b/", f"http://{'a' * 300}.invalid/", "http://h:99999/"):
        with pytest.raises(EngineError):
            fetch_url(url, tmp_path)
