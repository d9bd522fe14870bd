"""The image store: what is kept of images, and everything that is done with them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import BinaryIO, TypeAlias

from wherry import errdefs
from wherry.content.store import ContentStore
from wherry.errdefs import EngineError, Kind
from wherry.faults import fault
from wherry.images import removal, saving
from wherry.images.collector import Collector, Unheld
from wherry.images.image import ContainerUse, Deleted, Image, LoadedImage, Removed, short
from wherry.images.importing import Described, import_image
from wherry.images.load import load
from wherry.images.resolving import resolve
from wherry.images.unpacking import Progress
from wherry.metadata import Database, ImageRecord, NameRecord, Transaction
from wherry.reference import parse
from wherry.snapshots.protocol import Snapshotter
from wherry.spec import platform
from wherry.spec.digest import Digest
from wherry.spec.image import ImageConfig, decode_config, decode_descriptor
from wherry.spec.platform import Platform

Names: TypeAlias = list[NameRecord]
Images: TypeAlias = list[Image]
Digests: TypeAlias = list[Digest]
Saved: TypeAlias = list[tuple[Image, saving.Chosen]]


class ImageStore:
    """Images: loaded, found, named and removed. Methods block; any thread may call them.

    store = ImageStore(content, snapshots, database)
    store.recover()                                     # once, before anything else
    for loaded in store.load(archive):
        print(*loaded.messages(), sep="\\n")
    image = store.resolve("busybox")
    root = snapshots.prepare(container_id, image.diff_ids)
    """

    def __init__(
        self,
        content: ContentStore,
        snapshots: Snapshotter,
        database: Database,
        host: Platform | None = None,
    ) -> None:
        """`host`: whose images are taken out of an index; this machine's by default."""
        self.collector = Collector(content, snapshots, database)
        self._content = content
        self._database = database
        self._host = host or platform.host()
        self._configs: dict[Digest, ImageConfig] = {}

    def load(
        self, archive: BinaryIO, progress: Progress = lambda name, done, total: None
    ) -> list[LoadedImage]:
        """Store all images of an archive, in the order it lists them; all or none.

        Docker- and OCI-archives, plain or compressed by gzip, zstd, xz or bzip2; the stream is
        read once and need not seek. Loading one twice changes nothing. Raises InvalidArgument,
        naming the member, for an archive that is truncated, corrupt, incomplete or hostile.
        """
        return load(archive, self.collector, self._host, progress)

    def import_image(self, archive: BinaryIO, described: Described) -> Digest:
        """Make an image of a root file system's tar, plain or compressed; its ID.

        The stream is read once. A name that another image had goes to the new one. Raises
        InvalidArgument for an archive that is empty, cut off, corrupt or hostile, and for changes
        that are none.
        """
        return import_image(archive, described, self.collector)

    def save(self, texts: Sequence[str]) -> Generator[bytes]:
        """An archive of images that `load`, Docker, podman and skopeo read, in pieces.

        Nothing is done before the first piece is asked for; until the last, or until the iterator
        is closed, the images stay, whoever removes them. Equal images give equal bytes. Raises
        NotFound, before the first piece, or InvalidArgument.
        """
        with self.collector.lease("load") as lease:
            with self.collector.ordered():
                images = self._database.read(lambda tx: self._chosen(tx, texts))
                saving.hold((chosen for _, chosen in images), lease)
            yield from saving.archive(images, self.collector)

    def meant(self, texts: Sequence[str]) -> Digests:
        """The IDs of the images that `save` saves: a name without a tag means all of its tags.

        Raises NotFound, or InvalidArgument for what can be no image's name.
        """
        return self._database.read(lambda tx: [one.record.id for one in saving.choose(tx, texts)])

    def list(self, *, steps: bool = False) -> list[Image]:
        """All images, the newest first; those of builds' steps that have no name only if asked."""

        def chosen(tx: Transaction) -> Images:
            images = self._all(tx)
            hidden = set() if steps else tx.step_images()
            return [image for image in images if image.names or image.id not in hidden]

        return self._database.read(chosen)

    def resolve(self, text: str) -> Image:
        """The image that `text` means: a name, a name with a digest, an ID or its beginning.

        Raises NotFound, or InvalidArgument for no possible name and for an ambiguous ID.
        """

        def find(tx: Transaction) -> Image:
            record = resolve(tx, text).image
            return self._image(record, tx.names(record.id), tx.image_size(record.id))

        return self._database.read(find)

    def identify(self, text: str) -> Digest:
        """The ID of the image that `resolve` finds, of a damaged one too. Raises what that does."""
        return self._database.read(lambda tx: resolve(tx, text).image.id)

    def tag(self, source: str, name: str) -> None:
        """Give an image another name; an image that had it loses it, and stays.

        Raises NotFound for the source, InvalidArgument for the name.
        """
        reference = parse(name)
        if reference.digest is not None:
            raise errdefs.invalid(f"refusing to create a tag with a digest reference: {name}")
        if reference.familiar_name() == "sha256":
            raise errdefs.invalid(
                "refusing to create an ambiguous tag using digest algorithm as name"
            )

        def put(tx: Transaction) -> None:
            found = resolve(tx, source)
            target = found.names[0].target if found.names else found.image.target
            tx.put_name(NameRecord(str(reference.tagged()), found.image.id, target))

        fault("images.tag.before-commit")
        self._database.write(put)
        fault("images.tag.after-commit")

    def delete(
        self, text: str, *, force: bool = False, uses: Iterable[ContainerUse] = ()
    ) -> Removed:
        """Remove a name, and with its last name the image; or by its ID the image.

        `uses` are the containers there are. Answers what was done, in Docker's order. Raises
        NotFound, or Conflict (in Docker's words) for what is in use or has several names.
        """
        items: Removed = []

        def remove(tx: Transaction) -> Unheld:
            done = removal.remove(tx, text, uses, force)
            items.extend(done.items)
            return done.unheld

        self.collector.change(remove)
        for item in items:
            if isinstance(item, Deleted):
                self._configs.pop(item.digest, None)
        return items

    def recover(self) -> None:
        """After a start: free what was being made or removed when the last process ended."""
        self.collector.recover()

    def container_gone(self, image_id: Digest) -> None:
        """A container of that image was removed, its snapshot first. If the image had gone before
        it, by force, what it had left for the container is freed now."""
        if self._database.read(lambda tx: tx.image(image_id)) is None:
            self.collector.collect()

    def _all(self, tx: Transaction) -> Images:
        sizes = tx.image_sizes()
        names: dict[Digest, Names] = {}
        for name in tx.names():
            names.setdefault(name.image_id, []).append(name)
        return [
            self._image(record, names.get(record.id, []), sizes.get(record.id, 0))
            for record in tx.images()
        ]

    def _chosen(self, tx: Transaction, texts: Sequence[str]) -> Saved:
        return [(self._image(chosen.record, [], 0), chosen) for chosen in saving.choose(tx, texts)]

    def _image(self, record: ImageRecord, names: Names, size: int) -> Image:
        return Image(
            record.id,
            tuple(parse(name.name) for name in names),
            decode_descriptor(record.target),
            record.manifest,
            self._config(record.id),
            record.layers,
            size,
            record.added_at,
        )

    def _config(self, image_id: Digest) -> ImageConfig:
        """The config, which never changes; read from the content store once."""
        config = self._configs.get(image_id)
        if config is None:
            try:
                with self._content.open(image_id) as stream:
                    config = decode_config(stream.read(), f"config of image {image_id}")
            except EngineError as error:
                if error.kind not in (Kind.NOT_FOUND, Kind.INVALID_ARGUMENT):
                    raise
                raise errdefs.data_loss(
                    f"image {short(image_id)} is damaged: {error.message} (remove it with "
                    f"`wherry rmi -f {short(image_id)}` and load it again)"
                ) from error
            self._configs[image_id] = config
        return config
