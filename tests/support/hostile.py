"""Create requests that nobody would think of, by the API's own schema."""

import functools
from typing import Any

from apispec import Schema, definitions, properties
from hypothesis import strategies as st

# Texts that mean something to one field or another, and what is almost that.
WORDS = (
    *("", "host", "none", "private", "shareable", "default", "bridge", "container:x", "a:b:c"),
    *("/", "//", "/tmp", "/tmp/../..", "relative", "/dev", "/dev/null", "/etc/passwd/x", "/proc"),
    *("/tmp:/a", "/tmp:/a:ro", "/missing-source:/a:rshared", "name:/a", "/tmp:/dev", "."),
    *("busybox", "box", "0", "-1", "1", "65536", "9" * 30, "0-1", "0,1", "1_0", "\u0663", "1e400"),
    *("SIGTERM", "RTMIN+99999", "KILL", "15", "json-file", "none", "max-size", "10m", "9" * 400),
    *("a=b", "=", "PATH", "no-new-privileges", "seccomp=unconfined", "seccomp={}", "label=disable"),
    *('seccomp={"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}', "seccomp=" + "[" * 2000),
    *("c 1:3 rwm", "a *:* m", "c 99999999999:0 r", "b 4294967296:* w", "ALL", "NET_ADMIN", "CAP_"),
    *("SYS_RESOURCE", "nofile", "memlock", "net.core.somaxconn", "kernel.sem", "net.../x"),
    *("80/tcp", "99999/udp", "1-0", "size=1m", "mode=17777", "mode=x", "exec,size=-1", "uid=x"),
    *("127.0.0.1", "::1", "fe80::1%a\nb", "x:127.0.0.1", "host:host-gateway", "x" * 65, "x" * 256),
    *("x/" * 2100, "line\nbreak", "zero\0byte", "\x1b[2J", "\u202e", "\U0001f6a2", "\ufffe", " "),
    *(
        "[",
        "[a-",
        "[]-a]",
        "\\",
        "(" * 5000,
        "a{99999999999}",
        "*",
        "(?P<x>",
        "0001-01-01T00:00:00",
    ),
    *("9999-12-31T23:59:59-23:00", "9" * 400 + "h", "nan", "inf", "-inf", "1e400", "1h", "ctrl-@"),
    *("json", "runc", "tmpfs", "bind", "volume", "image", "no", "always", "rprivate", "shared"),
)
NUMBERS = (
    *(0, 1, -1, 2, 9, 10, 100, 1000, 1001, 65535, 65536, 2**31, 2**32, 2**44, 2**53),
    *(2**63 - 1, -(2**63), 2**63, 2**64, 10**30, 262144, 262145, 6 * 2**20, 4194305),
)

texts = st.one_of(st.sampled_from(WORDS), st.text(max_size=12))
numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(-(2**65), 2**65))
anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.floats(), texts),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)


@functools.cache
def _reference(name: str) -> st.SearchStrategy[Any]:
    return st.deferred(lambda: fitting(definitions()[name]))


def fitting(schema: Schema) -> st.SearchStrategy[Any]:
    """Values of about the shape that a schema asks for; one in many is of another."""
    if "$ref" in schema:
        return _reference(schema["$ref"].rsplit("/", 1)[1])
    if known := properties(schema):
        return objects({name: fitting(part) for name, part in known.items()})
    match schema.get("type"):
        case "string":
            return st.one_of(texts, st.sampled_from([*schema.get("enum", [""])]))
        case "integer":
            return numbers
        case "boolean":
            return st.booleans()
        case "array":
            return st.lists(fitting(schema.get("items", {})), max_size=3)
        case "object":
            values = schema.get("additionalProperties")
            inner = fitting(values) if isinstance(values, dict) else anything
            return st.dictionaries(texts, inner, max_size=2)
    return anything


@st.composite
def objects(draw: st.DrawFn, members: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """Few of the members, each mostly of its own type."""
    chosen = draw(st.lists(st.sampled_from(sorted(members)), max_size=3, unique=True))
    odd = draw(st.integers(0, 30))
    return {
        name: draw(anything if odd == place else members[name]) for place, name in enumerate(chosen)
    }


def create_requests(image: str, command: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies of `POST /containers/create`. Most run `command` in an image that is there."""
    config = fitting(definitions()["ContainerConfig"])
    host = fitting(definitions()["HostConfig"])
    network = fitting(definitions()["NetworkingConfig"])

    def together(parts: tuple[Any, Any, Any, bool]) -> dict[str, Any]:
        top, below, joined, usual = parts
        body = {**top, "HostConfig": below}
        if joined:
            body["NetworkingConfig"] = joined
        if usual:
            body |= {"Image": image, "Cmd": command}
            body.pop("Entrypoint", None)
        return body

    rarely = st.one_of(st.just({}), st.just({}), st.just({}), network)
    often = st.sampled_from([True] * 9 + [False])
    return st.tuples(config, host, rarely, often).map(together)
