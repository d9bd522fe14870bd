"""What the outcome of a step depends on.

A key is made of components that have names, so that two keys can be compared by somebody who asks
why a step was not taken from the cache::

    instruction   what is to be done, its variables replaced
    parent        the stack of layers that it is done upon
    environment   variables that a program could see: ENV, and the ARGs in scope
    user          who does it
    content       digest of the files that are copied, with mode and owner of each
    mounts        what is mounted for it
    ...

The parent is known by its content, not by how it was made: a step that makes again what it had made
before leaves the cache of all that follows as it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from wherry.layers.chain import chain_id
from wherry.spec.digest import Digest

_SCRATCH = "scratch"


@dataclass(frozen=True)
class CacheKey:
    """Components by name; those without a value are left out."""

    parts: dict[str, str]

    @cached_property
    def document(self) -> bytes:
        """The components as JSON, the same bytes for equal ones."""
        return json.dumps(self.parts, sort_keys=True, separators=(",", ":")).encode()

    @cached_property
    def digest(self) -> Digest:
        return Digest.of(self.document)


def key_of(instruction: str, layers: Sequence[Digest], **components: str) -> CacheKey:
    """The key of a step upon a stack of layers, bottom first."""
    parts = {"instruction": instruction, "parent": chain_id(layers) if layers else _SCRATCH}
    return CacheKey(parts | {name: value for name, value in components.items() if value})
