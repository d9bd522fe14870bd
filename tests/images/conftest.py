"""A store over a snapshotter in memory, and archives as each peer writes them."""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from wherry import errdefs
from wherry.content.store import ContentStore
from wherry.images.store import ImageStore
from wherry.layers.tar import FILE, read_tar
from wherry.metadata import Database
from wherry.snapshots.protocol import Usage
from wherry.spec import media
from wherry.spec.digest import Digest
from wherry.spec.platform import Platform

HOST = Platform("amd64", "linux")


class MemorySnapshotter:
    """Layers as bytes: verified like a real driver's, and as picky about what is in use."""

    name = "memory"

    def __init__(self) -> None:
        self.keeps_tar = False
        self.kept: dict[Digest, tuple[bytes, Usage]] = {}
        self.pinned: set[Digest] = set()
        self.applied: list[Digest] = []

    def apply(self, diff_id, tar):
        data = tar.read()
        if Digest.of(data) != diff_id:
            raise errdefs.data_loss(f"the layer has the digest {Digest.of(data)}, not {diff_id}")
        return self._keep(diff_id, data)

    @contextlib.contextmanager
    def receive(self, tar):
        data = b"".join(iter(lambda: tar.read(1 << 16), b""))
        list(read_tar(io.BytesIO(data)))
        yield SimpleNamespace(
            diff_id=Digest.of(data), keep=lambda: self._keep(Digest.of(data), data)
        )

    def _keep(self, diff_id, data):
        entries = [entry for entry, _ in read_tar(io.BytesIO(data))]
        usage = Usage(sum(e.size for e in entries if e.kind == FILE), len(entries) + 1)
        self.kept[diff_id] = (data, usage)
        self.applied.append(diff_id)
        return usage

    def contains(self, diff_id):
        return diff_id in self.kept

    def layers(self):
        return sorted(self.kept)

    def usage(self, diff_id):
        return self.kept[diff_id][1]

    def open_tar(self, diff_id):
        return io.BytesIO(self.kept[diff_id][0])

    def remove_layer(self, diff_id):
        if diff_id in self.pinned:
            raise errdefs.conflict(f"layer {diff_id} is in use")
        self.kept.pop(diff_id, None)


@dataclasses.dataclass
class World:
    """All stores of a data root."""

    root: Path
    content: ContentStore
    snapshots: MemorySnapshotter
    database: Database
    images: ImageStore

    def load(self, archive: bytes, **kwargs):
        return self.images.load(io.BytesIO(archive), **kwargs)

    def facts(self) -> tuple:
        """Everything that is stored, for comparing before and after."""
        return (
            sorted(self.content.digests()),
            self.snapshots.layers(),
            self.database.read(lambda tx: (tx.images(), tx.names(), tx.layers(), tx.leases())),
            sorted(path.name for path in (self.root / "content" / "ingest").iterdir()),
        )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    # What a power cut does is another room's business; waiting for the disk is most of the time.
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    content = ContentStore(tmp_path / "content")
    snapshots = MemorySnapshotter()
    with Database.open(tmp_path / "wherry.db") as database:
        yield World(
            tmp_path, content, snapshots, database, ImageStore(content, snapshots, database, HOST)
        )


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclasses.dataclass
class Fake:
    """An image as its parts."""

    config: bytes
    layers: list[bytes]
    names: list[str]

    @property
    def id(self) -> str:
        return digest(self.config)

    @property
    def diff_ids(self) -> list[str]:
        return [digest(layer) for layer in self.layers]


class Archives:
    """Writes what peers write. A member is (name, bytes), or (name, "-> target") for a link."""

    def layer(self, **files: str) -> bytes:
        return self.tar([(name, text.encode()) for name, text in files.items()])

    def image(self, *layers: bytes, names=("busybox:latest",), **config: object) -> Fake:
        document = {
            "architecture": "amd64",
            "os": "linux",
            "created": "2024-02-03T04:05:06.123456789Z",
            "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
            **config,
        }
        return Fake(json.dumps(document).encode(), list(layers), list(names))

    def tar(self, members: list[tuple[str, bytes | str]]) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, data in members:
                info = tarfile.TarInfo(name)
                if isinstance(data, str):
                    info.type = tarfile.SYMTYPE
                    info.linkname = data.removeprefix("-> ")
                    tar.addfile(info)
                else:
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        return stream.getvalue()

    def docker24(self, *images: Fake) -> list[tuple[str, bytes | str]]:
        """`docker save` up to 24; a layer that occurs again is a symlink, as in 1.10."""
        members: list[tuple[str, bytes | str]] = []
        manifest, places = [], {}
        for image in images:
            paths = []
            for depth, layer in enumerate(image.layers):
                own = hashlib.sha256(b"v1" + image.config + bytes([depth])).hexdigest()
                members += [(f"{own}/VERSION", b"1.0"), (f"{own}/json", b"{}")]
                paths.append(f"{own}/layer.tar")
                there = places.setdefault(digest(layer), paths[-1])
                members.append((paths[-1], layer if there == paths[-1] else f"-> ../{there}"))
            members.append((f"{image.id[7:]}.json", image.config))
            manifest.append(self.item(f"{image.id[7:]}.json", image.names, paths))
        members.append(("manifest.json", json.dumps(manifest).encode()))
        return [*members, ("repositories", b"{}")]

    def item(self, config: str, names, layers) -> dict[str, object]:
        return {"Config": config, "RepoTags": list(names) or None, "Layers": list(layers)}

    def podman(self, *images: Fake) -> list[tuple[str, bytes | str]]:
        """`podman save` and skopeo: layers by diffID, linked from v1 folders."""
        members: dict[str, bytes | str] = {}
        manifest = []
        for image in images:
            for layer in image.layers:
                name = digest(layer)[7:]
                members[f"{name}.tar"] = layer
                members[f"{name}/layer.tar"] = f"-> ../{name}.tar"
            members[f"{image.id[7:]}.json"] = image.config
            paths = [f"{diff_id[7:]}.tar" for diff_id in image.diff_ids]
            manifest.append(self.item(f"{image.id[7:]}.json", image.names, paths))
        return [*members.items(), ("manifest.json", json.dumps(manifest).encode())]

    def manifest(self, image: Fake, blobs: dict[str, bytes]) -> dict[str, object]:
        """The image's OCI manifest, put into `blobs` with its parts; answers its descriptor."""
        parts = [self.blob(layer, media.OCI_LAYER, blobs) for layer in image.layers]
        document = {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "config": self.blob(image.config, media.OCI_CONFIG, blobs),
            "layers": parts,
        }
        return self.blob(json.dumps(document).encode(), media.OCI_MANIFEST, blobs)

    def blob(self, data: bytes, media_type: str, blobs: dict[str, bytes]) -> dict[str, object]:
        blobs[f"blobs/sha256/{digest(data)[7:]}"] = data
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    def oci(self, *images: Fake) -> list[tuple[str, bytes | str]]:
        """An OCI archive, as podman and skopeo name its images."""
        blobs: dict[str, bytes] = {}
        listed = []
        for image in images:
            descriptor = self.manifest(image, blobs)
            for name in image.names or [None]:
                notes = {"org.opencontainers.image.ref.name": name} if name else None
                listed.append({**descriptor, "annotations": notes})
        return self.layout(blobs, listed)

    def layout(self, blobs: dict[str, bytes], listed: list) -> list[tuple[str, bytes | str]]:
        index = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": listed}
        return [
            *blobs.items(),
            ("index.json", json.dumps(index).encode()),
            ("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'),
        ]

    def index(self, parts: list[tuple[str, Fake]], blobs: dict[str, bytes]) -> dict[str, object]:
        """An index of images by platform ("linux/arm64"), put into `blobs`; its descriptor."""
        manifests = []
        for platform, image in parts:
            system, architecture = platform.split("/")
            manifests.append(
                {
                    **self.manifest(image, blobs),
                    "platform": {"os": system, "architecture": architecture},
                }
            )
        document = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": manifests}
        return self.blob(json.dumps(document).encode(), media.OCI_INDEX, blobs)

    def docker25(self, *images: Fake) -> list[tuple[str, bytes | str]]:
        """`docker save` from 25 on: an OCI layout with a manifest.json beside its index."""
        blobs: dict[str, bytes] = {}
        listed, manifest = [], []
        for image in images:
            descriptor = self.manifest(image, blobs)
            for name in image.names:
                notes = {
                    "io.containerd.image.name": f"docker.io/library/{name}",
                    "org.opencontainers.image.ref.name": name.split(":")[1],
                }
                listed.append({**descriptor, "annotations": notes})
            if not image.names:
                listed.append(descriptor)
            paths = [f"blobs/sha256/{diff_id[7:]}" for diff_id in image.diff_ids]
            manifest.append(self.item(f"blobs/sha256/{image.id[7:]}", image.names, paths))
        return [
            *self.layout(blobs, listed),
            ("manifest.json", json.dumps(manifest).encode()),
            ("repositories", b"{}"),
        ]


@pytest.fixture(scope="session")
def archives() -> Archives:
    return Archives()
