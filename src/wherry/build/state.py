"""An image in the making: what there is of it after some instruction of a stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from wherry.build.dockerfile import environment
from wherry.build.protocols import Base
from wherry.images.making import timestamp
from wherry.spec.digest import Digest
from wherry.spec.image import History, ImageConfig, RootFS, RunConfig
from wherry.spec.platform import Platform

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

COMMENT: Final = "buildkit.dockerfile.v0"
"""What a history's entry says made it; tools tell builders apart by it."""


@dataclass(frozen=True, slots=True)
class State:
    """What a stage has come to. Immutable: each instruction makes the next.

    `args` are the ARGs in scope with their values. `created` is when the newest layer was made: a
    step out of the cache has the time at which it was really done, so that building again gives
    the same image. `command_set` says that a CMD of this stage, not of its base, was seen. `told`
    counts the characters of the history: what an instruction adds to the image is told there too.
    """

    platform: Platform
    run: RunConfig = field(default_factory=RunConfig)
    layers: tuple[Digest, ...] = ()
    history: tuple[History, ...] = ()
    created: str = ""
    author: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    command_set: bool = False
    told: int = 0

    @classmethod
    def of_nothing(cls, platform: Platform, layers: tuple[Digest, ...] = ()) -> State:
        """The state after `FROM scratch`, or a context's files in its place."""
        return cls(platform, RunConfig(env=(f"PATH={DEFAULT_PATH}",), working_dir="/"), layers)

    @classmethod
    def of_image(cls, base: Base, platform: Platform) -> State:
        """The state after `FROM image`."""
        config = base.config
        return cls(
            config.platform if config.architecture else platform,
            config.config,
            base.diff_ids,
            _with_all_layers(config.history, len(base.diff_ids)),
            config.created,
            config.author,
            told=sum(len(entry.created_by) for entry in config.history),
        )

    @property
    def environment(self) -> dict[str, str]:
        """What `$NAME` stands for: the ARGs in scope, and before them ENV."""
        return {**self.args, **environment(self.run.env)}

    def with_layer(self, diff_id: Digest, created: int, history: str | None) -> State:
        """After an instruction that made a layer, at `created` (ns since 1970)."""
        when = timestamp(created)
        entry = History(when, history or "", comment=COMMENT)
        return dataclasses.replace(
            self,
            layers=(*self.layers, diff_id),
            history=(*self.history, entry),
            created=when,
            told=self.told + len(entry.created_by),
        )

    def with_history(self, history: str | None) -> State:
        """After an instruction that made no layer; some leave no entry."""
        if history is None:
            return self
        entry = History(self.created, history, comment=COMMENT, empty_layer=True)
        return dataclasses.replace(
            self, history=(*self.history, entry), told=self.told + len(history)
        )

    def config(self, now: int) -> ImageConfig:
        """The image's config. `now` (ns) counts if nothing that it stands on has a time."""
        return ImageConfig(
            RootFS("layers", self.layers),
            self.platform.architecture,
            self.platform.os,
            self.platform.os_version,
            self.platform.os_features,
            self.platform.variant,
            self.created or timestamp(now),
            self.author,
            config=self.run,
            history=self.history,
        )


def _with_all_layers(history: Sequence[History], layers: int) -> tuple[History, ...]:
    """A history that tells of as many layers as there are: other tools leave it out, or cut it."""
    told = sum(not entry.empty_layer for entry in history)
    if told > layers:
        return tuple(History() for _ in range(layers))
    return (*history, *(History() for _ in range(layers - told)))
