"""A whole daemon against requests that make no sense: never a 500, and nothing is left behind."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import archives
import pytest
from apispec import NEEDS_SPECIFICATION, SPECIFICATION
from daemons import Answer, Daemon, poll
from hostile import anything, create_requests, texts
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from wherry.api.routes import absent, containers, images, networks, streams, system

SOAK = bool(os.environ.get("WHERRY_SOAK"))

if not SPECIFICATION.exists():  # it says what requests there are: nothing here goes without it
    pytest.skip(NEEDS_SPECIFICATION, allow_module_level=True)

pytestmark = pytest.mark.root

_UNDER_TEST = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    if os.geteuid() != 0:
        pytest.skip("needs root and the real kernel")
    daemon = Daemon()
    try:
        daemon.start()
        empty = daemon.picture()
        assert daemon.load(archives.image("box:latest")).status == 200
        yield daemon
        daemon.clear()
        for image in daemon.get("/images/json").json:
            assert daemon.delete(f"/images/{image['Id']}?force=1").status == 200
        daemon.settled(empty)
        said = daemon.log.read_text()
        assert "unexpected" not in said, said
        assert "level=error" not in said, said
    finally:
        daemon.destroy()


def judged(answer: Answer) -> Answer:
    """501 is "not yet", 503 swarm's own answer; each error has a reason."""
    event(f"{answer.status}")
    assert answer.status < 500 or answer.status in (501, 503), answer
    if answer.status >= 400:
        assert answer.message, answer
    return answer


@given(create_requests("box", ["true"]))
@settings(_UNDER_TEST, max_examples=5000 if SOAK else 60)
def test_lives_of_containers(daemon: Daemon, body: dict[str, Any]) -> None:
    created = judged(daemon.post("/containers/create", tame(body)))
    if created.status != 201:
        return
    container = created.json["Id"]
    started = judged(daemon.post(f"/containers/{container}/start"))
    event(f"start {started.status}")
    judged(daemon.get("/containers/json?all=1&size=1"))
    removed = judged(daemon.delete(f"/containers/{container}?force=1"))
    assert removed.status in (204, 404)  # one with AutoRemove has gone by itself


def tame(body: dict[str, Any]) -> dict[str, Any]:
    """The same request, without what would change the host beyond the daemon's own folders."""
    host = body["HostConfig"]
    host.pop("CgroupParent", None)
    if isinstance(host.get("Binds"), list):
        host["Binds"] = [bind for bind in host["Binds"] if is_there(str(bind).split(":")[0])]
    for mount in host.get("Mounts") or []:
        if isinstance(mount, dict):
            mount.pop("BindOptions", None)
    return body


def is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return True  # it can't be made either


NOUNS = (absent, containers, images, networks, streams, system)
ROUTES = sorted({(method, path) for noun in NOUNS for method, path, _ in noun.ROUTES})
PARAMETERS = (
    *("all", "limit", "size", "filters", "name", "platform", "stdout", "stderr", "since", "until"),
    *("tail", "follow", "timestamps", "t", "signal", "h", "w", "force", "v", "link", "condition"),
    *("repo", "tag", "noprune", "digests", "shared-size", "detachKeys", "logs", "stream", "stdin"),
    *("fromSrc", "changes", "message", "quiet", "checkpoint", "x"),
)
FILTERS = (
    *("label", "status", "before", "since", "until", "name", "id", "exited", "ancestor", "health"),
    *("reference", "dangling", "volume", "network", "is-task", "expose"),
)
filters = st.dictionaries(
    st.sampled_from(FILTERS) | texts,
    st.lists(texts, max_size=2) | st.dictionaries(texts, st.booleans(), max_size=2) | anything,
    max_size=2,
).map(json.dumps)
queries = st.dictionaries(st.sampled_from(PARAMETERS), texts | filters, max_size=3)


@given(st.sampled_from(ROUTES), texts, queries, st.none() | anything | st.binary(max_size=30))
@settings(_UNDER_TEST, max_examples=20_000 if SOAK else 300)
def test_every_route(
    daemon: Daemon, route: tuple[str, str], ref: str, query: dict[str, str], body: object
) -> None:
    method, pattern = route
    # These wait, or take the connection over, as they should.
    query.pop("follow", None)
    if re.search(r"/(attach|wait)$", pattern):
        ref = f"no-{ref}"
    parameters = "&".join(f"{name}={escaped(value)}" for name, value in query.items())
    path = pattern.replace("{}", escaped(ref))
    judged_or_broken(daemon, method, f"{path}?{parameters}", body)


def escaped(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def judged_or_broken(daemon: Daemon, method: str, path: str, body: object) -> None:
    if method == "HEAD":
        assert daemon.request(method, path).status < 500 or "_ping" not in path
        return
    answer = daemon.request(method, path, body if isinstance(body, bytes) else in_json(body))
    if answer.status < 400 or answer.body:
        assert answer.status < 500 or answer.status in (501, 503), (method, path, answer)


def in_json(body: object) -> object:
    return None if body is None else json.dumps(body).encode()


def test_it_is_still_the_same_daemon(daemon: Daemon) -> None:
    assert daemon.process is not None
    assert daemon.process.poll() is None
    poll(daemon.answers, "it answers")
