"""Image archives around busybox, made with Python's tarfile and nothing of Wherry's."""

import functools
import gzip
import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import busybox

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
CREATED = "2026-01-02T03:04:05Z"


@functools.cache
def busybox_layer() -> bytes:
    """The tar of a root file system of busybox and its links."""
    busybox.find()
    out = io.BytesIO()
    with TemporaryDirectory() as folder:
        root = busybox.make_root(Path(folder) / "root")
        with tarfile.open(fileobj=out, mode="w") as tar:
            for path in sorted(root.rglob("*")):
                info = tar.gettarinfo(path, str(path.relative_to(root)))
                info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
                if info.isreg():
                    with path.open("rb") as file:
                        tar.addfile(info, file)
                else:
                    tar.addfile(info)
    return out.getvalue()


def config(layers: Sequence[bytes], **members: Any) -> bytes:
    """An image's config over `layers` (uncompressed); `members` are those of its "config"."""
    document = {
        "architecture": ARCHITECTURE,
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin:/usr/bin"]} | members,
        "created": CREATED,
        "history": [{"created": CREATED, "created_by": "a test"} for _ in layers],
        "os": "linux",
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers],
        },
    }
    return json.dumps(document).encode()


def docker_archive(
    names: Sequence[str], layers: Sequence[bytes], image_config: bytes | None = None
) -> bytes:
    """As `docker save` writes it, in the form that has no repositories file."""
    image_config = image_config if image_config is not None else config(layers)
    name = f"{hashlib.sha256(image_config).hexdigest()}.json"
    files = {f"layer{i}/layer.tar": layer for i, layer in enumerate(layers)}
    manifest = [{"Config": name, "RepoTags": list(names), "Layers": list(files)}]
    return pack({**files, name: image_config, "manifest.json": json.dumps(manifest).encode()})


def pack(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def image(name: str, **members: Any) -> bytes:
    """A docker-archive of a busybox image; `members` are put into its config."""
    layers = [busybox_layer()]
    return docker_archive([name], layers, config(layers, **members))


def compressed(archive: bytes) -> bytes:
    return gzip.compress(archive, 1, mtime=0)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def image_id(archive: bytes) -> str:
    """The digest of the (one) config in a docker-archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        (entry,) = json.load(manifest)
    return f"sha256:{os.path.basename(entry['Config']).removesuffix('.json')}"
