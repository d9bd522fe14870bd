"""Platforms: which images can run here, and which of several fits best.

The normal forms and the order of preference are containerd's (platforms package), which Docker
and registries share.
"""

import os
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from wherry import errdefs

_ARCHITECTURES: Final = {
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armv8l": "arm",
    "armel": "arm",
    "armhf": "arm",
    "armv5l": "arm",
    "armv6l": "arm",
    "armv7l": "arm",
    "mips64el": "mips64le",
    "ppc64el": "ppc64le",
}
_VARIANTS: Final = {
    "armel": "v6",
    "armhf": "v7",
    "armv5l": "v5",
    "armv6l": "v6",
    "armv7l": "v7",
    "armv8l": "v8",
}
_SYSTEMS: Final = frozenset({
    "aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "ios", "js", "linux", "macos",
    "netbsd", "openbsd", "plan9", "solaris", "wasip1", "windows",
})  # fmt: skip
_MACHINES: Final = frozenset({
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv64", "s390x", "wasm",
})  # fmt: skip
_PART: Final = re.compile(r"[A-Za-z0-9_.-]+\Z")


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """The `platform` of a descriptor (OCI image-spec, image-index.md)."""

    architecture: str = ""
    os: str = ""
    os_version: str = msgspec.field(name="os.version", default="")
    os_features: tuple[str, ...] = msgspec.field(name="os.features", default=())
    variant: str = ""

    def __str__(self) -> str:
        """`linux/arm/v7`, which `parse` reads."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def normalized(self) -> "Platform":
        """With the architecture's and the system's one name, and without a default variant."""
        machine = self.architecture.lower()
        architecture = _ARCHITECTURES.get(machine, machine)
        variant = self.variant.lower() or _VARIANTS.get(machine, "")
        if variant.isdecimal():
            variant = f"v{variant}"
        if architecture == "arm":
            variant = variant or "v7"
        elif (architecture, variant) in (("amd64", "v1"), ("arm64", "v8"), ("386", variant)):
            variant = ""
        system = self.os.lower()
        system = {"macos": "darwin"}.get(system, system)
        return Platform(architecture, system, self.os_version, self.os_features, variant)

    def runnable(self) -> list["Platform"]:
        """What a machine of this platform runs, the best first."""
        own = self.normalized()
        return [
            Platform(architecture, own.os, variant=variant)
            for architecture, variant in _runnable(own.architecture, own.variant)
        ]

    def rank(self, candidate: "Platform") -> int | None:
        """How well `candidate` runs here: 0 is best, None is not at all."""
        wanted = candidate.normalized()
        for rank, known in enumerate(self.runnable()):
            if (known.os, known.architecture, known.variant) == (
                wanted.os,
                wanted.architecture,
                wanted.variant,
            ):
                return rank
        return None

    def best(self, candidates: Iterable["Platform"]) -> int | None:
        """The index of the candidate that fits best, the first of equals; None if none fits."""
        ranked = [
            (rank, index)
            for index, candidate in enumerate(candidates)
            if (rank := self.rank(candidate)) is not None
        ]
        return min(ranked)[1] if ranked else None


def parse(text: str) -> Platform:
    """Read `os`, `arch`, `os/arch` or `os/arch/variant`; what is missing is this machine's.

    Raises InvalidArgument.
    """
    parts = text.split("/")
    if len(parts) > 3 or not all(_PART.match(part) for part in parts):
        raise errdefs.invalid(
            f"invalid platform {text!r}: it is written os[/architecture[/variant]]"
        )
    here = host()
    if len(parts) == 1:
        word = parts[0].lower()
        if word in _SYSTEMS:
            return Platform(here.architecture, word, variant=here.variant).normalized()
        architecture = Platform(word, here.os).normalized()
        if architecture.architecture not in _MACHINES:
            raise errdefs.invalid(f"unknown operating system or architecture {text!r}")
        return architecture
    variant = parts[2] if len(parts) == 3 else ""
    return Platform(parts[1], parts[0], variant=variant).normalized()


def host() -> Platform:
    """The platform of this machine's kernel."""
    machine = os.uname().machine
    return Platform(machine, "linux").normalized()


def _runnable(architecture: str, variant: str) -> list[tuple[str, str]]:
    """Architectures and variants in the order of preference."""
    if architecture == "amd64":
        level = int(variant[1:]) if re.fullmatch(r"v[2-9]", variant) else 1
        lower = [("amd64", f"v{known}") for known in range(level, 1, -1)]
        return [*lower, ("amd64", ""), ("386", "")]
    if architecture == "arm64":
        newer = [("arm64", variant)] if variant else []
        return [*newer, ("arm64", ""), *(("arm", f"v{known}") for known in (8, 7, 6, 5))]
    if architecture == "arm" and re.fullmatch(r"v[5-9]", variant):
        return [("arm", f"v{known}") for known in range(int(variant[1:]), 4, -1)]
    return [(architecture, variant)]
