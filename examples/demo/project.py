"""A copy of examples/web: built, served, changed."""

import http.client
import json
import re
import shutil
import sys
import time
from base64 import b64decode
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

from report import claim, command, say

from engine import PATIENCE, Engine

SOURCE = Path(__file__).parent.parent / "web"
NAME = "web"
QUERY = "/?q=temporary"
SHOWN = 4
Event = Mapping[str, Any]  # docs/build.md


class Build:
    """What `wherry build` tells of its steps, of those that make a layer."""

    def __init__(self) -> None:
        self.image = ""
        self.cached: list[str] = []
        self.anew: list[str] = []
        self.output = ""
        self._names: dict[str, str] = {}

    def hear(self, event: Event) -> None:
        """Take one line of `--progress json`."""
        kind, name = event["type"], self._names.get(event.get("id", ""), "")
        if kind == "vertex-started":
            self._names[event["id"]] = " ".join(event.get("name", "").split())
        elif kind == "vertex-cached":
            self.cached.append(name)
        elif kind == "vertex-output":
            self.output += b64decode(event["data"]).decode(errors="replace")
        elif kind == "vertex-done" and event.get("layer") and name not in self.cached:
            self.anew.append(name.partition("] ")[2])
            print(f"  {name[:76]:76}   {event['seconds']:6.2f} s", flush=True)
        elif kind == "built":
            self.image = event["image"]


class Project:
    def __init__(self, engine: Engine) -> None:
        self.folder = engine.folder / NAME
        self._engine = engine
        shutil.copytree(SOURCE, self.folder, ignore=shutil.ignore_patterns("__pycache__"))

    def change(self, file: str, old: str, new: str) -> None:
        """Change a text of a file, as an editor would."""
        path = self.folder / file
        before = path.read_text()
        claim(before.count(old) == 1, f"{file} has {old!r} once")
        command("sed", "-i", f"s/{old}/{new}/", f"{NAME}/{file}")
        path.write_text(before.replace(old, new))

    def build(self) -> Build:
        """Build, and tell of each step that is done anew as it is done."""
        command("wherry", "build", "-t", NAME, "--progress", "json", NAME)
        build = Build()
        begin = time.perf_counter()
        for line in self._engine.follow(
            "build", "-t", NAME, "--progress", "json", f"{self.folder}"
        ):
            if line.startswith("{"):
                build.hear(json.loads(line))
            else:  # why it failed, in words
                sys.stderr.write(line)
        if build.cached:
            print(f"  and {len(build.cached)} steps from the cache")
        say(f"{time.perf_counter() - begin:.2f} s in all")
        claim(build.image, "the build says which image it has made")
        return build

    def serve(self, *options: str) -> str:
        """Run the image, and give what its page says, which is also printed."""
        run = ["run", "-d", "--rm", "--name", NAME, "--network=host", "--read-only", *options]
        run += ["-e", "ADDRESS=127.0.0.1:0", NAME]
        command("wherry", *run)
        begin = time.perf_counter()
        self._engine.run(*run)
        address = self._address()
        text = _visible(_fetch(address))
        seconds = time.perf_counter() - begin
        command("curl", f"http://{address}{QUERY}")
        for line in text[:SHOWN]:
            print(f"    {line}")
        begin = time.perf_counter()
        self._engine.run("stop", NAME)
        stopped = time.perf_counter() - begin
        say(f"{seconds:.2f} s from `run` to the page; stopped in {stopped:.2f} s")
        return "\n".join(text)

    def _address(self) -> str:
        """Where the service listens, which it logs."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = re.search(r"listening on http://([\d.:]+)/", self._engine.run("logs", NAME))
            if found:
                return found[1]
            time.sleep(0.02)
        claim(False, f"the service listens within {PATIENCE:.0f} s")
        return ""


def _fetch(address: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request("GET", QUERY)
        answer = connection.getresponse()
        claim(answer.status == 200, f"the service answers with a page, not {answer.status}")
        return answer.read().decode()
    finally:
        connection.close()


def _visible(page: str) -> list[str]:
    """The lines of a page without its tags."""
    body = page.partition("<h1>")[2]
    lines = (unescape(re.sub(r"<[^>]*>", " ", line)).strip() for line in body.splitlines())
    return [" ".join(line.split())[:88] for line in lines if line and line != "Search"]
