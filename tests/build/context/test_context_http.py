"""Files and contexts from URLs, served on the loopback."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from wherry.build.context import http
from wherry.build.context.http import fetch_context, fetch_url, shown
from wherry.build.threads import Stop
from wherry.errdefs import EngineError, Kind
from wherry.layers.files import Node

MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"


def archive() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        info = tarfile.TarInfo("Dockerfile")
        info.size = 7
        tar.addfile(info, io.BytesIO(b"FROM a\n"))
    return stream.getvalue()


class _Handler(BaseHTTPRequestHandler):
    server: Served

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        status, headers, body = self.server.pages.get(self.path.partition("?")[0], (404, {}, b""))
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Served(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.host = f"127.0.0.1:{self.server_port}"
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []


@pytest.fixture
def served() -> Iterator[Served]:
    server = Served()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert os.listdir(tmp_path) == []


def refused(url: str, folder: Path) -> EngineError:
    with pytest.raises(EngineError) as caught:
        fetch_url(url, folder)
    return caught.value


def test_a_file(served: Served, folder: Path) -> None:
    served.pages["/d/a%20b.txt"] = (200, {"Last-Modified": MODIFIED}, b"x" * 300_000)
    fetched = fetch_url(f"{served.url}/d/a%20b.txt?token=t", folder)
    with fetched.context as context:
        assert fetched.name == "a b.txt"
        node = context.tree.node(b"a b.txt")
        assert node == Node("file", 0o600, mtime_ns=1_700_000_000 * 10**9, size=300_000)
        assert context.tree.open(b"a b.txt").read() == b"x" * 300_000
    assert served.asked[0][0] == "/d/a%20b.txt?token=t"
    assert served.asked[0][1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("path", ["", "/", "/d/", "/..", "/%2e%2e", "/a%2fb", "/a%00b"])
def test_a_name_that_is_none(served: Served, folder: Path, path: str) -> None:
    served.pages[path or "/"] = (200, {}, b"x")
    fetched = fetch_url(served.url + path, folder)
    with fetched.context as context:
        expected = b"b" if path == "/a%2fb" else b"__unnamed__"
        assert context.tree.names(b"") == [expected]
        node = context.tree.node(expected)
        assert node is not None
        assert node.mtime_ns == 0


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://h/x",
        "data:,x",
        "/etc/passwd",
        "",
        "http://",
        "http://h:x/",
        "gopher://h/",
    ],
)
def test_schemes_that_are_refused(folder: Path, url: str) -> None:
    error = refused(url, folder)
    assert error.kind is Kind.INVALID_ARGUMENT
    assert "http and https can" in error.message


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://h/x", "data:,x"])
def test_a_redirection_leads_nowhere_else(served: Served, folder: Path, target: str) -> None:
    served.pages["/x"] = (302, {"Location": target}, b"")
    assert refused(f"{served.url}/x", folder).kind in (Kind.INVALID_ARGUMENT, Kind.UNAVAILABLE)


def test_redirections(served: Served, folder: Path) -> None:
    served.pages["/a"] = (302, {"Location": "/b"}, b"")
    served.pages["/b"] = (200, {}, b"there")
    served.pages["/loop"] = (302, {"Location": "/loop"}, b"")
    fetched = fetch_url(f"http://me:secret@{served.host}/a", folder)
    with fetched.context as context:
        assert fetched.name == "a"
        assert context.tree.open(b"a").read() == b"there"
    assert "Authorization" in served.asked[0][1]
    assert "Authorization" not in served.asked[1][1]
    assert refused(f"{served.url}/loop", folder).kind is Kind.UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, Kind.NOT_FOUND), (401, Kind.FORBIDDEN), (403, Kind.FORBIDDEN), (500, Kind.UNAVAILABLE)],
)
def test_errors_name_the_url_without_its_secrets(
    served: Served, folder: Path, status: int, kind: Kind
) -> None:
    served.pages["/x"] = (status, {}, b"")
    error = refused(f"http://me:secret@{served.host}/x?token=hidden#f", folder)
    assert error.kind is kind
    assert f"{served.url}/x: the server answers {status}" in error.message
    assert "secret" not in error.message
    assert "hidden" not in error.message


def test_nobody_answers(folder: Path) -> None:
    error = refused("http://me:secret@127.0.0.1:1/x", folder)
    assert error.kind is Kind.UNAVAILABLE
    assert error.message == "fetching http://127.0.0.1:1/x: connection refused"


def test_what_ends_early_is_refused(served: Served, folder: Path) -> None:
    served.pages["/x"] = (200, {"Content-Length": "10"}, b"half")
    error = refused(f"{served.url}/x", folder)
    assert error.kind is Kind.UNAVAILABLE
    assert "ended after 4 of 10 bytes" in error.message


def test_what_does_not_end_is_refused(
    served: Served, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_LIMIT", 100)
    served.pages["/x"] = (200, {}, b"x" * 200)
    assert refused(f"{served.url}/x", folder).kind is Kind.INVALID_ARGUMENT


def test_contexts(served: Served, folder: Path) -> None:
    served.pages["/c.tgz"] = (200, {}, archive())
    served.pages["/Dockerfile"] = (200, {}, b"FROM b\n")
    served.pages["/bad"] = (200, {}, archive()[:40])
    with fetch_context(f"{served.url}/c.tgz", folder) as context:
        assert not context.only_dockerfile
        assert context.tree.open(b"Dockerfile").read() == b"FROM a\n"
    with fetch_context(f"{served.url}/Dockerfile", folder) as context:
        assert context.only_dockerfile
        assert context.tree.open(b"Dockerfile").read() == b"FROM b\n"
    with pytest.raises(EngineError, match=f"the build context {served.url}/bad: the gzip stream"):
        fetch_context(f"{served.url}/bad", folder)


def test_cancelling_ends_it(served: Served, folder: Path) -> None:
    served.pages["/x"] = (200, {}, b"x" * 1_000_000)
    stop = Stop()
    stop.set()
    with pytest.raises(EngineError, match="cancelled"):
        fetch_url(f"{served.url}/x", folder, stop)


def test_what_is_shown_of_a_url() -> None:
    assert shown("https://me:pw@h:8/a/b?token=x#y") == "https://h:8/a/b"
