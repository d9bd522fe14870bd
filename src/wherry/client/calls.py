"""What can be asked of the Engine API: each request as a value that any transport can send."""

from __future__ import annotations

from wherry.client.http import encode_query, quote
from wherry.client.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Filters = Mapping[str, Sequence[str]]

# The newest version whose meaning this client knows, and the oldest it can make itself understood.
API_VERSION = "1.51"
OLDEST_API_VERSION = "1.24"


class Call:
    """One request. `path` has no version yet; `body` is JSON unless `content_type` says else.

    `more` are further headers. `upgrade` asks for the connection itself (a hijack). `retry` says
    that asking twice is asking once, so that a connection which went stale while idle may be
    replaced unnoticed.
    """

    __slots__ = ("body", "content_type", "method", "more", "path", "query", "retry", "upgrade")

    def __init__(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        *,
        content_type: str = "application/json",
        upgrade: bool = False,
        more: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.body = body
        self.content_type = content_type
        self.upgrade = upgrade
        self.more = more
        self.retry = method in ("GET", "HEAD")

    def target(self, version: str | None) -> str:
        prefix = f"/v{version}" if version else ""
        return prefix + self.path + encode_query(self.query)

    def headers(self) -> list[tuple[str, str]]:
        """All but the body's length."""
        headers: list[tuple[str, str]] = [*self.more]
        if self.upgrade:
            headers += [("Connection", "Upgrade"), ("Upgrade", "tcp")]
        if self.body is not None or self.content_type != "application/json":
            headers.append(("Content-Type", self.content_type))
        return headers


def negotiate(server: str | None) -> str:
    """The version to speak with a daemon whose newest is `server` (None: it didn't say)."""
    if not server:
        return OLDEST_API_VERSION
    return min(server, API_VERSION, key=_version_key)


def at_least(version: str, wanted: str) -> bool:
    return _version_key(version) >= _version_key(wanted)


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


def _flags(**flags: bool) -> list[tuple[str, str]]:
    return [(name, "1") for name, given in flags.items() if given]


def _filters(filters: Filters | None) -> list[tuple[str, str]]:
    if not filters:
        return []
    return [("filters", dumps({name: list(values) for name, values in filters.items()}))]


def json_body(body: Mapping[str, object]) -> bytes:
    """JSON is UTF-8: bytes of a command line that are not become U+FFFD, as Go has it."""
    raw = dumps(dict(body)).encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "replace").encode()


def _container(ref: str, verb: str) -> str:
    return f"/containers/{quote(ref)}/{verb}"


def _image(ref: str, verb: str) -> str:
    # A name's slashes are part of the path.
    return f"/images/{quote(ref, safe=b'/:@')}{verb}"


def ping() -> Call:
    return Call("HEAD", "/_ping")


def version() -> Call:
    return Call("GET", "/version")


def info() -> Call:
    return Call("GET", "/info")


def events(since: str = "", until: str = "", filters: Filters | None = None) -> Call:
    """What happens. The bounds are the API's moments: seconds since 1970, with a fraction."""
    bounds = [(key, value) for key, value in (("since", since), ("until", until)) if value]
    return Call("GET", "/events", bounds + _filters(filters))


def disk_usage(types: Sequence[str] = ()) -> Call:
    """Of `types` only (container, image, volume, build-cache), or of all."""
    return Call("GET", "/system/df", [("type", kind) for kind in types])


def list_containers(
    all: bool = False,  # noqa: A002  the API's own word
    limit: int = 0,
    size: bool = False,
    filters: Filters | None = None,
) -> Call:
    query = _flags(all=all, size=size)
    if limit > 0:
        query.append(("limit", str(limit)))
    return Call("GET", "/containers/json", query + _filters(filters))


def create_container(body: Mapping[str, object], name: str = "", platform: str = "") -> Call:
    query = [(key, value) for key, value in (("name", name), ("platform", platform)) if value]
    return Call("POST", "/containers/create", query, json_body(body))


def start_container(ref: str, detach_keys: str = "") -> Call:
    return Call("POST", _container(ref, "start"), _detach(detach_keys))


def stop_container(ref: str, timeout: int | None = None, signal: str = "") -> Call:
    query: list[tuple[str, str]] = []
    if timeout is not None:
        query.append(("t", str(timeout)))
    if signal:
        query.append(("signal", signal))
    return Call("POST", _container(ref, "stop"), query)


def restart_container(ref: str, timeout: int | None = None, signal: str = "") -> Call:
    return Call("POST", _container(ref, "restart"), stop_container(ref, timeout, signal).query)


def rename_container(ref: str, name: str) -> Call:
    return Call("POST", _container(ref, "rename"), [("name", name)])


def kill_container(ref: str, signal: str = "") -> Call:
    return Call("POST", _container(ref, "kill"), [("signal", signal)] if signal else [])


def remove_container(
    ref: str, force: bool = False, volumes: bool = False, link: bool = False
) -> Call:
    query = _flags(force=force, v=volumes, link=link)
    return Call("DELETE", f"/containers/{quote(ref)}", query)


def wait_container(ref: str, condition: str = "") -> Call:
    query = [("condition", condition)] if condition else []
    return Call("POST", _container(ref, "wait"), query)


def inspect_container(ref: str, size: bool = False) -> Call:
    return Call("GET", _container(ref, "json"), _flags(size=size))


def resize_container(ref: str, height: int, width: int) -> Call:
    return Call("POST", _container(ref, "resize"), [("h", str(height)), ("w", str(width))])


def attach_container(
    ref: str,
    *,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    logs: bool = False,
    detach_keys: str = "",
) -> Call:
    query = _flags(stream=True, stdin=stdin, stdout=stdout, stderr=stderr, logs=logs)
    return Call("POST", _container(ref, "attach"), query + _detach(detach_keys), upgrade=True)


def _detach(keys: str) -> list[tuple[str, str]]:
    return [("detachKeys", keys)] if keys else []


def container_logs(
    ref: str,
    *,
    follow: bool = False,
    since: str = "",
    until: str = "",
    tail: str = "",
    timestamps: bool = False,
    details: bool = False,
) -> Call:
    query = _flags(stdout=True, stderr=True, follow=follow, timestamps=timestamps, details=details)
    bounds = (("since", since), ("until", until), ("tail", tail))
    return Call("GET", _container(ref, "logs"), query + [pair for pair in bounds if pair[1]])


def list_images(
    all: bool = False,  # noqa: A002  the API's own word
    digests: bool = False,
    filters: Filters | None = None,
) -> Call:
    return Call("GET", "/images/json", _flags(all=all, digests=digests) + _filters(filters))


def inspect_image(ref: str) -> Call:
    return Call("GET", _image(ref, "/json"))


def image_history(ref: str) -> Call:
    return Call("GET", _image(ref, "/history"))


def load_images(quiet: bool = False) -> Call:
    return Call(
        "POST", "/images/load", [("quiet", "1" if quiet else "0")], content_type="application/x-tar"
    )


def save_images(refs: Sequence[str]) -> Call:
    return Call("GET", "/images/get", [("names", ref) for ref in refs])


def import_image(
    name: str = "", message: str = "", changes: Sequence[str] = (), platform: str = ""
) -> Call:
    """The body is the root file system's tar."""
    query = [("fromSrc", "-")]
    said = (("repo", name), ("message", message), ("platform", platform))
    query += [(key, value) for key, value in said if value]
    query += [("changes", change) for change in changes]
    return Call("POST", "/images/create", query, content_type="application/x-tar")


def build_output(path: str) -> Call:
    """`path` is what the event `built` names."""
    return Call("GET", path)


def build_cache() -> Call:
    return Call("GET", "/wherry/builds/cache")


def prune_build_cache(
    all: bool = False,  # noqa: A002  the API's own word
    reserved_space: int = 0,
    max_used_space: int = 0,
    min_free_space: int = 0,
    filters: Filters | None = None,
) -> Call:
    query = _flags(all=all)
    sizes = (
        ("reserved-space", reserved_space),
        ("max-used-space", max_used_space),
        ("min-free-space", min_free_space),
    )
    query += [(name, str(size)) for name, size in sizes if size]
    return Call("POST", "/build/prune", query + _filters(filters))


def lend_agent(session: str, name: str) -> Call:
    """One connection to an ssh agent for a build whose `ssh` says `session:SESSION` of `name`."""
    return Call("POST", f"/wherry/agents/{quote(session)}/{quote(name)}", upgrade=True)


def tag_image(ref: str, repository: str, tag: str) -> Call:
    return Call("POST", _image(ref, "/tag"), [("repo", repository), ("tag", tag)])


def remove_image(ref: str, force: bool = False, noprune: bool = False) -> Call:
    return Call("DELETE", _image(ref, ""), _flags(force=force, noprune=noprune))


def pull_image(repository: str, tag: str, platform: str = "") -> Call:
    query = [("fromImage", repository), ("tag", tag)]
    if platform:
        query.append(("platform", platform))
    return Call("POST", "/images/create", query)
