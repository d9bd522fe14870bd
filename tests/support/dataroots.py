"""Data roots with images and containers, of each driver, as a daemon leaves them when it ends."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import archives
import trees
from layertars import archive, directory, file, hardlink, opaque, symlink, whiteout

from wherry.content.store import ContentStore
from wherry.engine.document import Document, Life
from wherry.engine.model import ContainerConfig, HostConfig
from wherry.images.store import ImageStore
from wherry.images.unpacking import opener
from wherry.linux.mounts import RootMount
from wherry.maintenance.root import DataRoot
from wherry.metadata import Database
from wherry.snapshots import directory as snapshots_directory
from wherry.snapshots import drivers

DRIVERS = ("erofs", "native", "overlay")
BASE = archive(
    directory("bin"),
    file("bin/tool", bytes(range(256)) * 30, mode=0o4755),
    hardlink("bin/same", "bin/tool"),
    symlink("bin/sh", "tool"),
    file("etc/conf", b"base", xattrs={"user.note": b"1"}),
    file("var/lib/a", b"a"),
    file("var/lib/b", b"b"),
)
TOP = archive(
    whiteout("etc/conf"), file("etc/other", b"o" * 700), opaque("var/lib"), file("var/lib/c")
)
ZIPPED = archive(file("opt/zipped", b"z" * 3000))
CONTAINERS = {"web": 1, "idle": 2}


def oci_archive(name: str, layers: list[bytes]) -> bytes:
    """An OCI layout of one image whose layers are compressed."""
    blobs = [gzip.compress(layer, mtime=0) for layer in layers]
    config = archives.config(layers)

    def described(kind: str, data: bytes, **more: object) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return {"mediaType": kind, "digest": digest, "size": len(data), **more}

    oci = "application/vnd.oci.image"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{oci}.manifest.v1+json",
            "config": described(f"{oci}.config.v1+json", config),
            "layers": [described(f"{oci}.layer.v1.tar+gzip", blob) for blob in blobs],
        }
    ).encode()
    named = {"annotations": {"io.containerd.image.name": name}}
    index = {
        "schemaVersion": 2,
        "manifests": [described(f"{oci}.manifest.v1+json", manifest, **named)],
    }
    files = {
        f"blobs/sha256/{hashlib.sha256(data).hexdigest()}": data
        for data in (*blobs, config, manifest)
    }
    layout = json.dumps({"imageLayoutVersion": "1.0.0"}).encode()
    return archives.pack({**files, "oci-layout": layout, "index.json": json.dumps(index).encode()})


ARCHIVES = (
    archives.docker_archive(["one:1", "one:latest"], [BASE]),
    archives.docker_archive(["two:1"], [BASE, TOP]),
    oci_archive("docker.io/library/zip:1", [BASE, ZIPPED]),
)
NAMES = ["one:1", "one:latest", "two:1", "zip:1"]


@dataclass
class Stores:
    """What the engine opens of a data root."""

    database: Database
    content: ContentStore
    snapshots: snapshots_directory.DirectorySnapshotter
    images: ImageStore

    def load_all(self) -> None:
        for one in ARCHIVES:
            self.images.load(io.BytesIO(one))

    def names(self) -> list[str]:
        return sorted(tag for image in self.images.list() for tag in image.tags)


@contextmanager
def opened(root: Path, driver: str | None = None) -> Iterator[Stores]:
    """As a daemon does at its start."""
    with Database.open(root / "wherry.db") as database:
        content = ContentStore(root / "content")
        snapshots = drivers.choose(root, driver, opener(content, database))
        snapshots.recover()
        images = ImageStore(content, snapshots, database)
        images.recover()
        yield Stores(database, content, snapshots, images)
        assert snapshots.wait_until_clean(30)


@contextmanager
def mounted(mount: RootMount) -> Iterator[Path]:
    fd = mount.open()
    root = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
    os.close(fd)
    try:
        yield Path(f"/proc/self/fd/{root}")
    finally:
        os.close(root)


def change(root: Path) -> None:
    """What a container does."""
    (root / "etc/other").write_bytes(b"mine")
    (root / "bin/sh").unlink()
    (root / "new").mkdir()
    (root / "new/data").write_bytes(b"d" * 9000)
    os.setxattr(root / "new/data", "user.mine", b"1")
    (root / "var/lib/c").unlink()


def fill(root: Path, driver: str) -> None:
    root.mkdir()
    with opened(root, driver) as stores:
        stores.load_all()
        image = stores.images.resolve("two:1")
        for name, number in CONTAINERS.items():
            key = f"{number}" * 64
            mount = stores.snapshots.prepare(key, image.diff_ids)
            document = Document(
                id=key, name=name, image=str(image.id), created="", created_ns=0, hostname="h",
                layers=[str(layer) for layer in image.diff_ids], etc_of=key,
                config=ContainerConfig(), host_config=HostConfig(),
                life=Life(status="exited" if name == "web" else "created"),
            )  # fmt: skip
            stores.database.write(lambda tx, d=document: tx.put_container(d.record()))
            if name == "web":
                with mounted(mount) as top:
                    change(top)


def copy(source: Path, target: Path) -> Path:
    """With owners, times, xattrs and hardlinks; what was there goes."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", source, target], check=True)
    return target


def pictures(root: Path) -> dict[str, dict[bytes, trees.Picture]]:
    """What each container sees."""
    with closing(DataRoot.open(root)) as stores:
        assert stores.snapshots is not None
        shown = {}
        keys = stores.snapshots.keys()
        for key in keys:
            with mounted(stores.snapshots.mounts(key)) as top:
                fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    shown[key] = trees.picture(fd)
                finally:
                    os.close(fd)
        return shown
