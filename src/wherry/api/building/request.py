"""What a client of `POST /build` asks for: the query's parameters and headers, judged."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from wherry import errdefs
from wherry.api import parameters
from wherry.api.http.messages import Request
from wherry.api.parameters import Query
from wherry.build.protocols import Limits, Ulimit
from wherry.build.request import OUTPUT_TYPES, BuildRequest, Output, OutputType

HEADER = "x-wherry-build"
DOCKERFILE = "text/x-dockerfile"
SESSION = "session:"
MAX_DOCKERFILE = 10 * 1024 * 1024

T = TypeVar("T")


class _Ulimit(Struct, rename="pascal"):
    name: str
    soft: int
    hard: int


class _ApiOutput(Struct, rename="pascal"):
    """The API's own outputs, which name BuildKit's exporters."""

    type: str
    attrs: dict[str, str] | None = None


class _Output(Struct):
    type: str
    attributes: dict[str, str] = {}


class Extras(Struct, forbid_unknown_fields=True):
    """What no parameter of the Engine API can say; see docs/build.md.

    `ssh` names sockets on this host, or `session:ID` for an agent that the client forwards.
    """

    secrets: dict[str, bytes] = {}
    ssh: dict[str, str] = {}
    contexts: dict[str, str] = {}
    outputs: list[_Output] = []
    no_cache_filter: list[str] = []
    check: bool = False


def read_request(request: Request, inline: bytes | None, step_images: bool) -> BuildRequest:
    """The build that is asked for. EngineError says which parameter is wrong, in Docker's words."""
    query = request.query
    _refuse_the_impossible(query)
    extras = _extras(request.headers.get(HEADER, ""))
    ssh = extras.ssh
    return BuildRequest(
        id=parameters.text(query, "buildid"),
        dockerfile=parameters.text(query, "dockerfile") or "Dockerfile",
        inline=inline,
        remote=parameters.text(query, "remote"),
        contexts=extras.contexts,
        tags=tuple(filter(None, query.get("t", ()))),
        labels=_json(query, "labels", dict[str, str], "error reading labels") or {},
        outputs=_outputs(query, extras),
        target=parameters.text(query, "target"),
        build_args=_json(query, "buildargs", dict[str, str | None], "error reading build args")
        or {},
        platforms=tuple(filter(None, parameters.text(query, "platform").split(","))),
        pull=parameters.flag(query, "pull"),
        no_cache=parameters.flag(query, "nocache"),
        no_cache_filter=tuple(extras.no_cache_filter),
        cache_from=tuple(_json(query, "cachefrom", list[str], "error reading cache-from") or ()),
        check=extras.check,
        step_images=step_images,
        network=parameters.text(query, "networkmode"),
        extra_hosts=tuple(_extra_host(text) for text in query.get("extrahosts", ()) if text),
        limits=_limits(query),
        secrets=extras.secrets,
        ssh={name: _socket(where) for name, where in ssh.items() if not _session(where)},
        agents={name: _session(where) for name, where in ssh.items() if _session(where)},
        registry_auth=_registry_auth(request.headers.get("x-registry-config", "")),
    )


def _refuse_the_impossible(query: Query) -> None:
    if parameters.flag(query, "squash"):
        raise errdefs.not_implemented(
            "squash: not supported by Wherry, whose images share their layers (a last stage with "
            "COPY --from gives an image with few)"
        )
    if query.get("securityopt"):
        raise errdefs.invalid("security options are not supported on linux")
    isolation = parameters.text(query, "isolation")
    if isolation.lower() not in ("", "default"):
        raise errdefs.invalid(f'unsupported isolation: "{isolation}"')
    version = parameters.text(query, "version")
    if version == "2":
        raise errdefs.not_implemented(
            "building through a BuildKit session (version=2): not supported by this version of "
            "Wherry; DOCKER_BUILDKIT=0 docker build, or wherry build, understand the same "
            "Dockerfiles"
        )
    if version not in ("", "1"):
        raise errdefs.invalid(f'invalid version: "{version}"')


def _extras(header: str) -> Extras:
    """The header's JSON, which is base64 so that it can have line breaks and any letters."""
    if not header:
        return Extras()
    try:
        return msgspec.json.decode(_from_base64(header), type=Extras)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise errdefs.invalid(f"invalid header X-Wherry-Build: {error}") from error


def _from_base64(text: str) -> bytes:
    """Either of the two alphabets, padded or not."""
    text = text.strip().rstrip("=").replace("+", "-").replace("/", "_")
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)


def _json(query: Query, name: str, wanted: type[T], complaint: str) -> T | None:
    text = parameters.text(query, name).strip()
    if text in ("", "null"):
        return None
    try:
        return msgspec.json.decode(text, type=wanted)
    except (msgspec.DecodeError, RecursionError) as error:
        raise errdefs.invalid(f"{complaint}: {error}") from error


def _outputs(query: Query, extras: Extras) -> tuple[Output, ...]:
    for given in _json(query, "outputs", list[_ApiOutput], "invalid outputs specified") or ():
        if given.type not in ("moby", "image"):
            raise errdefs.invalid(
                f'output type "{given.type}": only moby here; the header X-Wherry-Build asks for '
                "others"
            )
    return tuple(
        Output(_output_type(output.type), output.attributes) for output in extras.outputs
    ) or (Output("image"),)


def _output_type(text: str) -> OutputType:
    for known in OUTPUT_TYPES:
        if text == known:
            return known
    raise errdefs.invalid(
        f'output type "{text}": not supported by Wherry, only {", ".join(OUTPUT_TYPES)}'
    )


def _extra_host(text: str) -> tuple[str, str]:
    """`name:address`; docker-compose writes `name=address`."""
    at = min((place for place in (text.find("="), text.find(":")) if place > 0), default=0)
    name, address = text[:at], text[at + 1 :].strip("[]")
    if not at or not address:
        raise errdefs.invalid(f'bad format for add-host: "{text}"')
    return name, address


def _session(where: str) -> str:
    """The session of an agent that the client forwards; "" for a socket of this host."""
    return where.removeprefix(SESSION) if where.startswith(SESSION) else ""


def _socket(where: str) -> Path:
    if not where.startswith("/"):
        raise errdefs.invalid(
            f'ssh agent "{where}": neither an absolute path of a socket on this host nor '
            f"{SESSION}ID"
        )
    return Path(where)


def _limits(query: Query) -> Limits:
    def number(name: str) -> int:
        return parameters.number(query, name, 0) or 0

    shm_size = number("shmsize")
    if shm_size < 0:
        raise errdefs.invalid("SHM size can not be less than 0")
    ulimits = _json(query, "ulimits", list[_Ulimit], "error reading ulimit settings") or ()
    return Limits(
        memory=number("memory"),
        memory_swap=number("memswap"),
        cpu_shares=number("cpushares"),
        cpu_period=number("cpuperiod"),
        cpu_quota=number("cpuquota"),
        cpuset_cpus=parameters.text(query, "cpusetcpus"),
        cpuset_mems=parameters.text(query, "cpusetmems"),
        shm_size=shm_size,
        cgroup_parent=parameters.text(query, "cgroupparent"),
        ulimits=tuple(Ulimit(limit.name, limit.soft, limit.hard) for limit in ulimits),
    )


def _registry_auth(header: str) -> Mapping[str, Mapping[str, str]]:
    """What cannot be understood counts as nothing, as in Docker: not every build needs it."""
    if not header:
        return {}
    try:
        return msgspec.json.decode(_from_base64(header), type=dict[str, dict[str, str]])
    except (msgspec.MsgspecError, ValueError, RecursionError, binascii.Error):
        return {}
