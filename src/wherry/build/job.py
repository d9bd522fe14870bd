"""One build: what all of its stages and steps have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wherry.build.dockerfile import Dockerfile
from wherry.build.events import Event
from wherry.build.flights import Pins
from wherry.build.materials import Material
from wherry.build.plan import Names, Plan
from wherry.build.protocols import CacheFolders, Executor, ImageSource
from wherry.build.request import BuildRequest
from wherry.build.solver import Solver
from wherry.images.collector import Collector, Lease
from wherry.spec.platform import Platform


@dataclass(frozen=True)
class Surroundings:
    """What an engine has for all of its builds. `folder` is a directory of theirs, on the disk of
    the stores."""

    collector: Collector
    solver: Solver
    executor: Executor
    caches: CacheFolders
    images: ImageSource
    host: Platform
    folder: Path


@dataclass(frozen=True)
class Job:
    """`id` tells the build from every other; `contexts` are the build's own, "", and further ones.

    `arguments` are the ARGs that every stage may declare without saying a value: those before the
    first FROM, and those that are always there. `lease` holds all that the build makes or finds.
    `epoch` (ns since 1970) is what all times are to be: SOURCE_DATE_EPOCH.
    """

    id: str
    request: BuildRequest
    dockerfile: Dockerfile
    plan: Plan
    names: Names
    platform: Platform
    arguments: Mapping[str, str]
    contexts: Mapping[str, Material]
    around: Surroundings
    lease: Lease
    pins: Pins
    epoch: int | None
    emit: Callable[[Event], None]

    @property
    def given(self) -> dict[str, str]:
        """The build arguments that the client gave."""
        args = self.request.build_args
        return {name: value for name, value in args.items() if value is not None}

    def is_fresh(self, stage: str) -> bool:
        """Whether the steps of the stage must not come out of the cache."""
        return self.request.no_cache or stage in self.request.no_cache_filter
