"""The images' verbs: what the API's `ImagesBackend` asks for."""

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import BinaryIO, Final, NamedTuple

from wherry import errdefs
from wherry.engine import image_filters, image_views
from wherry.engine.feed import reading
from wherry.engine.model import (
    ImageDeleteItem,
    ImageHistoryItem,
    ImageInspect,
    ImageSummary,
    ImportRequest,
    JSONMessage,
    ProgressDetail,
)
from wherry.engine.outflow import outflow
from wherry.engine.stores import Stores
from wherry.images.image import ContainerUse, Image, LoadedImage, Removed, Untagged
from wherry.images.importing import Described
from wherry.linux import memory
from wherry.reference import Reference, parse
from wherry.spec import platform as platforms
from wherry.spec.digest import Digest
from wherry.spec.image import RunConfig
from wherry.threads import to_thread

# Each upload has a thread that waits for its bytes. Half of the daemon's are for everything else,
# however many clients send nothing; further uploads wait for their turn.
_UPLOADS: Final = 32


class Images:
    """Images by name or ID. The store blocks, so everything goes to a worker thread."""

    def __init__(self, stores: Stores, uses: Callable[[], Sequence[ContainerUse]]) -> None:
        self._stores = stores
        self._uses = uses
        self._uploads = asyncio.Semaphore(_UPLOADS)

    async def list(
        self,
        all: bool,  # noqa: A002 - the API's own word
        filters: dict[str, list[str]],
        digests: bool,
        shared_size: bool,
    ) -> Sequence[ImageSummary]:
        images = await to_thread(self._stores.images.list, steps=all)
        chosen = image_filters.choose(images, filters)
        rows = [image_views.summary(image) for image in chosen]
        users = Counter(use.image_id for use in self._uses())
        for row, image in zip(rows, chosen, strict=True):
            row.containers = users[image.id]
        if shared_size:
            await to_thread(_add_shared_sizes, self._stores, rows, chosen, images)
        return rows

    async def inspect(self, ref: str) -> ImageInspect:
        image = await to_thread(self._stores.images.resolve, ref)
        return image_views.inspect(image, self._stores.snapshots.name)

    async def history(self, ref: str) -> Sequence[ImageHistoryItem]:
        return await to_thread(_history, self._stores, ref)

    async def tag(self, ref: str, repo: str, tag: str) -> None:
        name = f"{repo}:{tag}" if tag else repo
        image_id = await to_thread(_tag, self._stores, ref, name)
        await self._tell([image_id], "tag", parse(name).tagged().familiar())

    async def delete(self, ref: str, force: bool, noprune: bool) -> Sequence[ImageDeleteItem]:
        # `noprune` keeps untagged parents: an image here has no parent images.
        gone, removed = await to_thread(_delete, self._stores, ref, force, self._uses())
        for item in removed:
            if isinstance(item, Untagged):
                self._stores.events.image(gone.id, "untag", gone.id, gone.labels)
            elif item.digest == gone.id:
                self._stores.events.image(gone.id, "delete", gone.id, {})
        return [
            ImageDeleteItem(untagged=item.name)
            if isinstance(item, Untagged)
            else ImageDeleteItem(deleted=str(item.digest))
            for item in removed
        ]

    async def load(self, stream: AsyncIterator[bytes], quiet: bool) -> AsyncIterator[JSONMessage]:
        """See `ImagesBackend.load`. The archive is stored while it arrives."""
        loop = asyncio.get_running_loop()
        said: asyncio.Queue[JSONMessage | None] = asyncio.Queue()

        def progress(name: str, done: int, total: int) -> None:
            detail = ProgressDetail(current=done, total=total)
            message = JSONMessage(status="Loading layer", progress_detail=detail, id=name)
            loop.call_soon_threadsafe(said.put_nowait, message)

        load = functools.partial(_load, self._stores, _silent if quiet else progress)
        async with self._uploads, reading(stream, load) as work:
            work.add_done_callback(lambda _: said.put_nowait(None))
            while (message := await said.get()) is not None:
                yield message
            everything = await work
            await self._tell(dict.fromkeys(loaded.id for loaded in everything), "load")
            for loaded in everything:
                for line in loaded.messages():
                    yield JSONMessage(stream=f"{line}\n")

    def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:
        """See `ImagesBackend.save`. The archive is made while it is sent."""
        return self._save(refs)

    async def _save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:
        meant = await to_thread(self._stores.images.meant, refs)
        async with contextlib.aclosing(outflow(self._stores.images.save(refs))) as pieces:
            yield await anext(pieces)
            await self._tell(meant, "save")
            async for piece in pieces:
                yield piece

    async def import_image(self, stream: AsyncIterator[bytes], request: ImportRequest) -> str:
        """See `ImagesBackend.import_image`."""
        described = Described(
            platforms.parse(request.platform) if request.platform else platforms.host(),
            _import_name(request.repo, request.tag),
            request.message,
            await to_thread(_configured, request.changes),
        )
        make = functools.partial(_import, self._stores, described)
        async with self._uploads, reading(stream, make) as work:
            image_id = await asyncio.shield(work)
        if described.name is not None:
            await self._tell([image_id], "tag", described.name.familiar())
        await self._tell([image_id], "import")
        return str(image_id)

    async def _tell(self, image_ids: Iterable[Digest], action: str, name: str = "") -> None:
        for image_id in image_ids:
            labels = await to_thread(_labels, self._stores, image_id)
            self._stores.events.image(image_id, action, name or image_id, labels)


def _import_name(repo: str, tag: str) -> Reference | None:
    """The name for an imported image, in which a tag of its own goes before the name's."""
    if not repo:
        return None
    reference = parse(repo)
    if reference.digest is not None:
        raise errdefs.invalid("cannot import digest reference")
    if reference.familiar_name() == "sha256":
        raise errdefs.invalid("refusing to create an ambiguous tag using digest algorithm as name")
    return reference.with_tag(tag) if tag else reference.tagged()


def _configured(changes: Sequence[str]) -> RunConfig:
    """What `--change` asks for, refused before a byte of the archive is read."""
    if not changes:
        return RunConfig()
    from wherry.build.dockerfile import apply_changes  # not with the daemon's start

    return apply_changes(RunConfig(), changes)


def _tag(stores: Stores, ref: str, name: str) -> Digest:
    stores.images.tag(ref, name)
    return stores.images.identify(ref)


class _Gone(NamedTuple):
    """What events say of an image that can't be asked any more."""

    id: Digest
    labels: Mapping[str, str]


def _delete(
    stores: Stores, ref: str, force: bool, uses: Sequence[ContainerUse]
) -> tuple[_Gone, Removed]:
    image_id = stores.images.identify(ref)
    gone = _Gone(image_id, _labels(stores, image_id))
    return gone, stores.images.delete(ref, force=force, uses=uses)


def _labels(stores: Stores, image_id: Digest) -> Mapping[str, str]:
    """None of an image that has gone, or is damaged."""
    try:
        return stores.images.resolve(image_id).config.config.labels
    except errdefs.EngineError:
        return {}


def _import(stores: Stores, described: Described, archive: BinaryIO) -> Digest:
    try:
        return stores.images.import_image(archive, described)
    finally:
        memory.give_back()


def _history(stores: Stores, ref: str) -> list[ImageHistoryItem]:
    image = stores.images.resolve(ref)
    sizes = [stores.snapshots.usage(layer).bytes for layer in image.diff_ids]
    return image_views.history(image, sizes)


def _silent(name: str, done: int, total: int) -> None:
    """No progress is wanted."""


def _load(
    stores: Stores, progress: Callable[[str, int, int], None], archive: BinaryIO
) -> list[LoadedImage]:
    try:
        return stores.images.load(archive, progress)
    finally:
        memory.give_back()


def _add_shared_sizes(
    stores: Stores, rows: list[ImageSummary], chosen: list[Image], images: list[Image]
) -> None:
    """What an image's layers take that another image has too."""
    users = Counter(layer for image in images for layer in set(image.diff_ids))
    for row, image in zip(rows, chosen, strict=True):
        shared = {layer for layer in image.diff_ids if users[layer] > 1}
        row.shared_size = sum(stores.snapshots.usage(layer).bytes for layer in shared)
