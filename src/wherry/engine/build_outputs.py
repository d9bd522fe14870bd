"""What builds have made that is no image here: it waits for the client to fetch it, once.

Nothing is made before it is fetched: the image of the build holds all that is needed. Where the
client wanted no image, it is a hidden one, as those of steps are, and goes when all that was to be
fetched of such images was, unless somebody has come to want it meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from wherry import errdefs
from wherry.engine.outflow import outflow
from wherry.engine.stores import Stores
from wherry.images import saving
from wherry.images.image import ContainerUse
from wherry.images.removal import remove_hidden
from wherry.reference import Reference, parse
from wherry.spec.digest import Digest
from wherry.threads import to_thread

if TYPE_CHECKING:
    from wherry.build.events import Built, Fetchable
    from wherry.build.request import BuildRequest, Output

log = logging.getLogger("wherry.engine")

# A client fetches at once what it has asked for; one that doesn't has gone.
PATIENCE: Final = 600.0

_CHUNK: Final = 1 << 20
_FILES: Final = ("local", "tar")
_ARCHIVES: Final = ("oci", "docker")


@dataclass
class _Result:
    """One build's image, and how many of its outputs were not fetched yet."""

    image: Digest
    unwanted: bool
    waiting: int = 0


@dataclass
class _Waiting:
    """`given_up` is the timer that ends the waiting."""

    result: _Result
    output: Output
    names: tuple[Reference, ...]
    given_up: asyncio.TimerHandle = field(repr=False)


class BuildOutputs:
    """Offers results, and gives them away."""

    def __init__(self, stores: Stores, uses: Callable[[], Sequence[ContainerUse]]) -> None:
        self._stores = stores
        self._uses = uses
        self._waiting: dict[str, _Waiting] = {}
        # Builds for which the image is nothing but a means, and results of such: while there are
        # any, one of them may be about to read an image that another has done with.
        self._under_way = 0
        self._done_with: set[Digest] = set()
        self._removing = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def unwanted(self) -> AsyncIterator[None]:
        """A build whose image nobody wants, until its results are offered."""
        async with self._removing:
            self._under_way += 1
        try:
            yield
        finally:
            self._end_one()

    def images(self) -> set[Digest]:
        """Those that results are made of."""
        return {waiting.result.image for waiting in self._waiting.values()}

    def offer(self, request: BuildRequest, built: Built, unwanted: bool) -> tuple[Fetchable, ...]:
        """What the client may fetch now. `unwanted`: the image is to go after that."""
        from wherry.build.events import Fetchable

        result = _Result(Digest(built.image), unwanted)
        self._under_way += unwanted
        offered: list[Fetchable] = []
        for index, output in enumerate(request.outputs):
            if output.type not in _FILES + _ARCHIVES:
                continue
            identity = secrets.token_hex(16)
            timer = asyncio.get_running_loop().call_later(PATIENCE, self._expire, identity)
            self._waiting[identity] = _Waiting(result, output, _names(request, output), timer)
            result.waiting += 1
            path = f"/wherry/builds/{identity}/output"
            offered.append(Fetchable(index, "files" if output.type in _FILES else "image", path))
        if not offered:
            self._finish(result)
        return tuple(offered)

    async def fetch(self, identity: str) -> AsyncIterator[bytes]:
        """The bytes of one result. Raises NotFound in place of the first of them."""
        waiting = self._waiting.pop(identity, None)
        if waiting is None:
            raise errdefs.not_found(
                f"no such result of a build: {identity} (a result can be fetched once, within "
                f"{PATIENCE / 60:.0f} minutes)"
            )
        waiting.given_up.cancel()
        try:
            async for piece in outflow(self._pieces(waiting)):
                yield piece
        finally:
            self._fetched(waiting.result)

    def close(self) -> None:
        """Nobody will fetch any more."""
        for identity in list(self._waiting):
            self._expire(identity)

    def _pieces(self, waiting: _Waiting) -> Generator[bytes]:
        if waiting.output.type in _FILES:
            return _files(self._stores, waiting.result.image)
        return _archive(self._stores, waiting.result.image, waiting.names)

    def _expire(self, identity: str) -> None:
        waiting = self._waiting.pop(identity)
        waiting.given_up.cancel()
        self._fetched(waiting.result)

    def _fetched(self, result: _Result) -> None:
        result.waiting -= 1
        self._finish(result)

    def _finish(self, result: _Result) -> None:
        if result.unwanted and not result.waiting:
            self._done_with.add(result.image)
            self._end_one()

    def _end_one(self) -> None:
        self._under_way -= 1
        if self._done_with and not self._under_way:
            self._stores.in_background(self._remove())

    async def _remove(self) -> None:
        async with self._removing:
            if self._under_way:
                return
            images, self._done_with = self._done_with, set()
            used = {use.image_id for use in self._uses()}
            change = self._stores.images.collector.change
            try:
                await to_thread(change, lambda tx: remove_hidden(tx, images, used))
            except errdefs.EngineError as error:
                log.warning("a build's image stays", extra={"fields": {"error": error.message}})


def _names(request: BuildRequest, output: Output) -> tuple[Reference, ...]:
    """An archive's image has the names that the output says, or the build's."""
    own = [name.strip() for name in output.attributes.get("name", "").split(",") if name.strip()]
    return tuple(parse(name).tagged() for name in own or request.tags)


def _files(stores: Stores, image_id: Digest) -> Generator[bytes]:
    from wherry.layers.flatten import tar_of  # not with the daemon's start

    collector = stores.images.collector
    with collector.lease("build output") as lease:
        with collector.ordered():
            image = stores.images.resolve(image_id)
            for layer in image.diff_ids:
                lease.has_layer(layer)
        with stores.snapshots.browse(image.diff_ids) as tree, tar_of(tree) as tar:
            while piece := tar.read(_CHUNK):
                yield piece


def _archive(stores: Stores, image_id: Digest, names: tuple[Reference, ...]) -> Generator[bytes]:
    collector = stores.images.collector
    with collector.lease("build output") as lease:
        with collector.ordered():
            image = stores.images.resolve(image_id)
            record = stores.database.read(lambda tx: tx.image(image_id))
            if record is None:
                raise errdefs.not_found(f"no such image: {image_id}")
            chosen = saving.Chosen(record, names)
            saving.hold([chosen], lease)
        yield from saving.archive([(image, chosen)], collector)
