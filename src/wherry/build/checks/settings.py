"""Which checks are made: `# check=skip=A,B;error=true;experimental=all`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wherry import errdefs
from wherry.build.checks.rules import Rule
from wherry.build.dockerfile import suggestion

_ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Settings:
    """`skip` and `experimental` are names of rules in small letters, or `all`. `error`: what is
    found ends the build."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False

    def wants(self, rule: Rule) -> bool:
        name = rule.name.lower()
        if name in self.skip or _ALL in self.skip:
            return False
        return not rule.experimental or bool({name, _ALL} & self.experimental)


def parse(text: str) -> Settings:
    """What the directive `check` or the build argument BUILDKIT_DOCKERFILE_CHECK says.

    Raises InvalidArgument.
    """
    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error = False
    for part in text.split(";"):
        name, equals, value = part.strip().partition("=")
        if not part.strip():
            continue
        if not equals:
            raise errdefs.invalid(f"invalid check option {part!r}: it is written NAME=VALUE")
        if name == "skip":
            skip = _rules(value)
        elif name == "experimental":
            experimental = _rules(value)
        elif name == "error":
            error = _truth(value)
        else:
            hint = suggestion(name, ("skip", "error", "experimental"))
            raise errdefs.invalid(f"invalid check option {name!r}{hint}")
    return Settings(skip, experimental, error)


def _rules(value: str) -> frozenset[str]:
    """Names that are no rule's are let pass: they may be a newer builder's."""
    return frozenset(name.strip().lower() for name in value.split(",") if name.strip())


def _truth(value: str) -> bool:
    word = value.strip().lower()
    if word not in ("1", "t", "true", "0", "f", "false"):
        raise errdefs.invalid(f"invalid check option error={value}: it is true or false")
    return word in ("1", "t", "true")
