"""What a build needs of others: somebody who runs its steps, and somebody who knows images.

The builder says *what* is to be run, upon which layers and with which mounts; the engine knows how.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from wherry.spec.digest import Digest
from wherry.spec.image import ImageConfig
from wherry.spec.platform import Platform

Output: TypeAlias = Callable[[Literal["stdout", "stderr"], bytes], None]
"""Is given what a step writes, in pieces as they come; on the loop."""

Network: TypeAlias = Literal["default", "none", "host"]
Sharing: TypeAlias = Literal["shared", "private", "locked"]


@dataclass(frozen=True, slots=True)
class LayersMount:
    """Files of a stack of layers: `RUN --mount=type=bind`.

    `source` is a normal path in the stack, "" for its root; it exists, and has no symlink in it.
    What is written (`writable`) is thrown away after the step.
    """

    target: str
    stack: tuple[Digest, ...]
    source: str = ""
    writable: bool = False


@dataclass(frozen=True, slots=True)
class CacheMount:
    """A directory that outlives builds: `RUN --mount=type=cache`.

    `folder` is a directory of the host; who holds it open and how it is shared is settled already.
    """

    target: str
    folder: Path
    writable: bool = True


@dataclass(frozen=True, slots=True)
class TmpfsMount:
    """`size` in bytes, 0 for no limit."""

    target: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class SecretMount:
    """A file with a secret, which is never written to a disk nor to a layer."""

    target: str
    content: bytes = field(repr=False)
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class SocketMount:
    """A unix socket of the host, an agent's mostly: `RUN --mount=type=ssh`."""

    target: str
    socket: Path
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


StepMount: TypeAlias = LayersMount | CacheMount | TmpfsMount | SecretMount | SocketMount


@dataclass(frozen=True, slots=True)
class Ulimit:
    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What a build's steps may use, as `docker build` has it; 0 and "" for no limit.

    Sizes in bytes, times in microseconds. `shm_size` 0 means the default.
    """

    memory: int = 0
    memory_swap: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    shm_size: int = 0
    cgroup_parent: str = ""
    ulimits: tuple[Ulimit, ...] = ()


@dataclass(frozen=True, slots=True)
class RunStep:
    """One RUN. `id` (64 hex digits) is the key of its snapshot, which the builder has prepared,
    diffs afterwards, and removes.

    `args` are executed as they are; `user` is as in USER, names are looked up inside. `hosts` are
    lines for /etc/hosts: (name, address). `insecure` is `--security=insecure`.
    """

    id: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str = ""
    hostname: str = ""
    mounts: tuple[StepMount, ...] = ()
    network: Network = "default"
    insecure: bool = False
    hosts: tuple[tuple[str, str], ...] = ()
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step ended; `reason` says in a sentence what the exit code does not."""

    exit_code: int
    out_of_memory: bool = False
    reason: str = ""


class Executor(Protocol):
    """Runs steps as the engine runs containers: same isolation, same limits, no name."""

    async def run(self, step: RunStep, output: Output) -> Ended:
        """Return when the step's program has ended and all its output was passed on.

        Raises EngineError (a StartError where the program could not be started). When it is
        cancelled, the program is killed, and nothing is left of it but the snapshot, before the
        cancellation goes on. Mount points that it has made in the root file system for `mounts`
        and /etc files are gone from the snapshot when it returns, unless they were there before.
        """


@dataclass(frozen=True, slots=True)
class CacheRequest:
    """A cache mount's folder that a step asks for.

    `stack` and `source` are what a new one begins with, none by default; `mode`, `uid` and `gid`
    are a new one's.
    """

    id: str
    sharing: Sharing = "shared"
    stack: tuple[Digest, ...] = ()
    source: str = ""
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


class CacheFolders(Protocol):
    """Keeps the folders of `RUN --mount=type=cache`."""

    def acquire(self, request: CacheRequest) -> AbstractAsyncContextManager[Path]:
        """The folder, for as long as the context lasts.

        `locked` waits for others who have it; `private` makes another while somebody has it.
        """


@dataclass(frozen=True, slots=True)
class Base:
    """An image to build upon, or to copy from. `id` is its config's digest."""

    id: Digest
    config: ImageConfig
    diff_ids: tuple[Digest, ...]
    name: str = ""


class ImageSource(Protocol):
    """Where `FROM` and `COPY --from` find images. Until images can be pulled: what is here."""

    async def resolve(self, name: str, platform: Platform, pull: bool) -> Base:
        """The image of that name, for that platform; `pull` asks for the newest.

        Raises NotFound saying the way out.
        """
