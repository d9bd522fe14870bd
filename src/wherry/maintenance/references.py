"""Who names whom: images their parts, names their images, containers their snapshots."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from wherry.engine.document import CREATED, Document, read_document
from wherry.errdefs import EngineError, Kind
from wherry.images.image import short
from wherry.maintenance.findings import Findings, Problem
from wherry.maintenance.root import DataRoot
from wherry.metadata import ContainerRecord, ImageRecord, LayerRecord, NameRecord, Transaction
from wherry.reference import parse
from wherry.spec.digest import Digest
from wherry.spec.image import decode_config, decode_descriptor, decode_manifest

_REPAIR = "`wherry system check --repair`"


@dataclass
class Broken:
    """What the database names and can't be had."""

    images: dict[Digest, Problem] = field(default_factory=dict)
    names: dict[str, Problem] = field(default_factory=dict)
    containers: dict[str, Problem] = field(default_factory=dict)
    """Whose record can't be read, or whose snapshot is gone."""
    stacks: dict[str, tuple[list[Digest], Problem]] = field(default_factory=dict)
    """Of containers whose snapshot does not know any more, or says wrongly, what it stands on."""
    layers: set[Digest] = field(default_factory=set)
    """Rows that speak of a layer or a blob that is not there."""


@dataclass(frozen=True)
class Records:
    """All that the database says, at one moment."""

    images: list[ImageRecord]
    names: list[NameRecord]
    layers: dict[Digest, LayerRecord]
    containers: list[ContainerRecord]

    @classmethod
    def read(cls, tx: Transaction) -> "Records":
        layers = {row.diff_id: row for row in tx.layers()}
        return cls(tx.images(), tx.names(), layers, tx.containers())

    def names_of(self, image_id: Digest) -> tuple[str, ...]:
        """As people write them."""
        return tuple(_familiar(record.name) for record in self.names if record.image_id == image_id)

    def users(self, *, blob: Digest | None = None, layer: Digest | None = None) -> list[str]:
        """The images that need a blob or a layer, by a name each, or by their IDs."""
        found: list[str] = []
        for image in self.images:
            rows = [row for diff_id in image.layers if (row := self.layers.get(diff_id))]
            if layer in image.layers or (
                blob is not None and (blob in image.blobs or blob in [row.blob for row in rows])
            ):
                found.extend(self.names_of(image.id)[:1] or [short(image.id)])
        return found


class References:
    """One look at all of them. `mendable` are damaged or missing layers that will be made anew, or
    were."""

    def __init__(
        self, root: DataRoot, records: Records, findings: Findings, mendable: Iterable[Digest]
    ) -> None:
        self._root = root
        self._records = records
        self._findings = findings
        self._blobs = set(root.content.digests()) - set(findings.blobs)
        snapshots = root.snapshots
        self._stored = set(snapshots.layers()) if snapshots else set()
        self._layers = (self._stored - set(findings.layers)) | set(mendable)
        self._keys = set(snapshots.keys()) if snapshots else set()
        self._keeps_tar = bool(snapshots and snapshots.keeps_tar)
        self.broken = Broken()

    def examine(self) -> Broken:
        for image in self._records.images:
            self._image(image)
        for name in self._records.names:
            self._name(name)
        for container in self._records.containers:
            self._container(container)
        self.broken.layers = {
            row.diff_id
            for row in self._records.layers.values()
            if row.diff_id not in self._layers or not self._has_tar(row)
        }
        return self.broken

    # --- images -----------------------------------------------------------------------------------

    def _image(self, image: ImageRecord) -> None:
        reasons = list(dict.fromkeys((*self._missing(image), *self._wrong(image))))
        if reasons:
            names = ", ".join(self._records.names_of(image.id))
            what = "; ".join(reasons[:4]) + (f"; and {len(reasons) - 4} more" * (len(reasons) > 4))
            self.broken.images[image.id] = self._findings.add(
                Problem(
                    "image",
                    f"{short(image.id)} ({names or 'without a name'})",
                    what,
                    f"{_REPAIR} removes it; then load or pull it again",
                )
            )

    def _missing(self, image: ImageRecord) -> Iterator[str]:
        for digest in sorted({image.id, image.manifest, *image.blobs}):
            if digest not in self._blobs:
                yield f"its blob {digest} is {self._fate_of_blob(digest)}"
        for diff_id in image.layers:
            if diff_id not in self._layers:
                fate = "damaged" if diff_id in self._stored else "missing"
                yield f"its layer {diff_id} is {fate}"
                continue
            row = self._records.layers.get(diff_id)
            if row is None:
                yield f"nothing is known of its layer {diff_id}"
            elif not self._has_tar(row):
                fate = self._fate_of_blob(row.blob) if row.blob else "nowhere"
                yield f"the tar of its layer {diff_id} is {fate}"

    def _wrong(self, image: ImageRecord) -> Iterator[str]:
        """What its documents say otherwise; of those that are there."""
        try:
            decode_descriptor(image.target)
            if image.id in self._blobs:
                config = decode_config(self._read(image.id), "its config")
                if config.rootfs.diff_ids != image.layers:
                    yield "its record has other layers than its config"
            if image.manifest in self._blobs:
                manifest = decode_manifest(self._read(image.manifest), "its manifest")
                if manifest.config.digest != image.id:
                    yield "its manifest is that of another image"
        except EngineError as error:
            yield error.message

    def _has_tar(self, row: LayerRecord) -> bool:
        return row.blob in self._blobs if row.blob else self._keeps_tar

    def _fate_of_blob(self, digest: Digest) -> str:
        return "damaged" if digest in self._findings.blobs else "missing"

    def _read(self, digest: Digest) -> bytes:
        with self._root.content.open(digest) as stream:
            return stream.read()

    # --- names and containers ---------------------------------------------------------------------

    def _name(self, record: NameRecord) -> None:
        try:
            parse(record.name)
            decode_descriptor(record.target)
        except EngineError as error:
            self.broken.names[record.name] = self._findings.add(
                Problem("name", record.name, error.message, f"{_REPAIR} removes it; tag it again")
            )

    def _container(self, record: ContainerRecord) -> None:
        shown = f"{record.id[:12]} ({record.name.removeprefix('/')})"
        try:
            document = read_document(record)
        except EngineError as error:
            self._unreadable(record, shown, error.message)
            return
        layers = document.diff_ids
        if self._is_made_anew(document):
            self._stands_on(shown, layers)
            return
        if record.id not in self._keys or self._root.snapshots is None:
            self.broken.containers[record.id] = self._findings.add(
                Problem(
                    "container",
                    shown,
                    "its snapshot, with all that it has written, is missing",
                    f"{_REPAIR} sets its record aside; create it again",
                )
            )
            return
        try:
            same = self._root.snapshots.stack(record.id) == layers
        except EngineError as error:
            if error.kind is not Kind.DATA_LOSS:
                raise
            same = False
        if not same and not {*layers} <= self._stored | self._records.layers.keys():
            self._unreadable(record, shown, "its record names layers that nobody knows")
            return
        if not same:
            problem = Problem(
                "container",
                shown,
                "its snapshot does not say right which layers it stands on",
                f"{_REPAIR} writes that anew",
            )
            self.broken.stacks[record.id] = layers, self._findings.add(problem)
        self._stands_on(shown, layers)

    def _is_made_anew(self, document: Document) -> bool:
        """Whether a power cut has taken a snapshot that nobody had written into: the daemon makes
        another when it starts."""
        if document.life.status != CREATED or self._root.snapshots is None:
            return False
        try:
            self._root.snapshots.stack(document.id)
        except EngineError as error:
            return error.kind is Kind.NOT_FOUND
        return False

    def _unreadable(self, record: ContainerRecord, shown: str, what: str) -> None:
        remedy = f"{_REPAIR} sets its record aside; wherryd keeps its files in set-aside/"
        self.broken.containers[record.id] = self._findings.add(
            Problem("container", shown, what, remedy)
        )

    def _stands_on(self, shown: str, layers: list[Digest]) -> None:
        missing = sorted({*layers} - self._layers)
        if missing:
            what = f"it stands on the layer {missing[0]}, which is "
            what += "damaged" if missing[0] in self._stored else "missing"
            remedy = "its files are whole; load or pull its image again, and it can be started"
            self._findings.add(Problem("container", shown, what, remedy))


def _familiar(name: str) -> str:
    try:
        return parse(name).familiar()
    except EngineError:
        return name
