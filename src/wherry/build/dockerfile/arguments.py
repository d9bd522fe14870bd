"""Build arguments: those that are always there, and what ARG makes of those that were given."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final

from wherry.build.dockerfile.errors import RefusalError, located
from wherry.build.dockerfile.expansion import Lexer
from wherry.build.dockerfile.instructions import Arg, Argument
from wherry.spec.platform import Platform

PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
"""Arguments that a RUN sees without an ARG, in capitals and in small letters."""

BUILTIN: Final = frozenset(
    {
        "BUILDKIT_BUILD_NAME",
        "BUILDKIT_CACHE_MOUNT_NS",
        "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
        "BUILDKIT_DOCKERFILE_CHECK",
        "BUILDKIT_HISTORY_PROVENANCE_V1",
        "BUILDKIT_INLINE_CACHE",
        "BUILDKIT_MULTI_PLATFORM",
        "BUILDKIT_SANDBOX_HOSTNAME",
        "BUILDKIT_SBOM_SCAN_CONTEXT",
        "BUILDKIT_SBOM_SCAN_STAGE",
        "BUILDKIT_SYNTAX",
        "SOURCE_DATE_EPOCH",
    }
)
"""Arguments that tell the builder something, whether a Dockerfile declares them or not."""

NEVER_ENVIRONMENT: Final = frozenset({"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"})
"""Arguments that no command sees, even if they are declared."""


def is_predefined(name: str) -> bool:
    """Whether an argument may be given although no ARG declares it."""
    return name in BUILTIN or name.upper() in PROXIES


def proxy_environment(build_args: Mapping[str, str]) -> dict[str, str]:
    """What a RUN's environment has of the proxies that were given: each in both spellings.

    It is no part of a cache key, nor of the image.
    """
    found: dict[str, str] = {}
    for name in sorted(build_args):
        if name.upper() in PROXIES:
            found[name.upper()] = found[name.lower()] = build_args[name]
    return found


def platform_arguments(
    build: Platform, target: Platform, stage: str, build_args: Mapping[str, str]
) -> dict[str, str]:
    """The arguments of the global scope that need no ARG there; `build_args` may change them.

    `stage` is the name of the stage that is built, empty for one without.
    """
    found = {
        **_platform("BUILD", build),
        **_platform("TARGET", target),
        "TARGETSTAGE": stage or "default",
    }
    return {name: build_args.get(name, value) for name, value in found.items()}


def _platform(prefix: str, platform: Platform) -> dict[str, str]:
    parts = (platform.os, platform.architecture, platform.variant)
    return {
        f"{prefix}PLATFORM": "/".join(part for part in parts if part),
        f"{prefix}OS": platform.os,
        f"{prefix}OSVERSION": platform.os_version,
        f"{prefix}ARCH": platform.architecture,
        f"{prefix}VARIANT": platform.variant,
    }


def global_arguments(
    meta_args: Iterable[Arg],
    defaults: Mapping[str, str],
    build_args: Mapping[str, str],
    escape: str = "\\",
) -> dict[str, str]:
    """The values that FROM sees: of the ARGs before it, upon those that are always there.

    Raises DockerfileError.
    """
    found = dict(defaults)
    lexer = Lexer(found, escape)
    for arg in meta_args:
        for one in arg.arguments:
            value = build_args.get(one.name)
            if value is None and one.value is not None:
                value = _expanded(arg, one.value, lexer)
            if value is not None:
                found[one.name] = value
    return found


def resolve(
    arg: Arg,
    env: Mapping[str, str],
    global_args: Mapping[str, str],
    build_args: Mapping[str, str],
    escape: str = "\\",
) -> Arg:
    """An ARG within a stage with the values that its arguments have from here on.

    What was given goes before the default; without both it is the global scope's, else None.
    `env` is what the stage's commands see; later arguments of the line see earlier ones.
    Raises DockerfileError.
    """
    seen = dict(env)
    lexer = Lexer(seen, escape)
    resolved: list[Argument] = []
    for one in arg.arguments:
        value = build_args.get(one.name)
        if value is None and one.value is not None:
            value = _expanded(arg, one.value, lexer)
        elif value is None:
            value = global_args.get(one.name)
        if value is not None and one.name not in NEVER_ENVIRONMENT:
            seen[one.name] = value
        resolved.append(Argument(one.name, value))
    return dataclasses.replace(arg, arguments=tuple(resolved))


def _expanded(arg: Arg, text: str, lexer: Lexer) -> str:
    """`lexer` is one for all, and has what came before for its environment."""
    try:
        return lexer.text(text)
    except RefusalError as error:
        raise located(error, arg.location) from error
