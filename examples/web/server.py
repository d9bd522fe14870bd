"""A web page that searches the index. ADDRESS says where it listens; port 0 is any that is free."""

import contextlib
import os
import sqlite3
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

HERE = Path(__file__).parent
TITLE = "The standard library, searched"
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<link rel="stylesheet" href="/style.css">
<h1>{title}</h1>
<form><input name="q" value="{query}" aria-label="words" autofocus> <button>Search</button></form>
<p>{count}</p>
<ul>
{results}
</ul>
"""


def search(words: str, limit: int = 20) -> tuple[int, list[tuple[str, str]]]:
    """How many entries have all these words, and name and first line of the best."""
    # Quoted, a word is a word, whatever FTS5 would read into it.
    quoted = " ".join('"{}"'.format(word.replace('"', '""')) for word in words.split())
    if not quoted:
        return 0, []
    found = "FROM docs WHERE docs MATCH ?"
    index = sqlite3.connect(f"file:{HERE}/index.db?mode=ro&immutable=1", uri=True)
    with contextlib.closing(index):
        count = index.execute(f"SELECT count(*) {found}", [quoted]).fetchone()[0]
        best = f"SELECT name, said {found} ORDER BY rank, name LIMIT ?"
        return count, index.execute(best, [quoted, limit]).fetchall()


def page(query: str) -> bytes:
    count, best = search(query)
    results = "\n".join(f"<li><b>{escape(name)}</b> {escape(said)}</li>" for name, said in best)
    said = f"{count} found" if query else ""
    return PAGE.format(title=TITLE, query=escape(query), count=said, results=results).encode()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/":
            query = parse_qs(url.query).get("q", [""])[0]
            self.answer(page(query), "text/html; charset=utf-8")
        elif url.path == "/style.css":
            style = (HERE / "static/style.css.gz").read_bytes()
            self.answer(style, "text/css", ("Content-Encoding", "gzip"))
        else:
            self.send_error(404)

    def answer(self, body: bytes, kind: str, *headers: tuple[str, str]) -> None:
        self.send_response(200)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    host, _, port = os.environ.get("ADDRESS", "127.0.0.1:8000").rpartition(":")
    with ThreadingHTTPServer((host, int(port)), Handler) as server:
        print(f"listening on http://{host}:{server.server_port}/", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
