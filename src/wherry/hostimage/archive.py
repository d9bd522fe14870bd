"""An image as a docker-archive, made while it is sent: the layer, its config, `manifest.json`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from wherry.hostimage.tree import HostTree
from wherry.layers.tar import Entry, encode
from wherry.linux.elf import native_architecture
from wherry.reference import parse

_EPOCH: Final = "1970-01-01T00:00:00Z"
_BLOCK: Final = 512
_LAYER: Final = b"layer.tar"


@dataclasses.dataclass(frozen=True, slots=True)
class RunConfig:
    """What a container of the image starts with, where its request says nothing else."""

    env: Mapping[str, str]
    cmd: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    user: str = ""
    working_dir: str = "/"

    def document(self) -> dict[str, object]:
        """As an image's config has it: without what is not said."""
        said: dict[str, object] = {
            "User": self.user,
            "Env": [f"{name}={value}" for name, value in self.env.items()],
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "WorkingDir": self.working_dir,
            "Labels": dict(self.labels),
        }
        return {name: value for name, value in said.items() if value}


def image_name(text: str) -> str:
    """The name that an archive gives to an image, with its tag. Raises InvalidArgument."""
    return parse(text).tagged().familiar()


class Archive:
    """One image of one layer, `names` with a tag each.

    Nothing is kept: the pieces are read from the host's files as they are taken. When the last
    has been, `image_id` is the image's.
    """

    def __init__(
        self, tree: HostTree, run: RunConfig, names: Sequence[str], created_by: str
    ) -> None:
        self._tree = tree
        self._run = run
        self._names = list(names)
        self._created_by = created_by
        self._layer_size = tree.layer_size()
        self.image_id = ""

    @property
    def size(self) -> int:
        """Of the layer, in bytes."""
        return self._layer_size

    def pieces(self) -> Iterator[bytes]:
        """The archive's bytes; the same files give the same.

        Raises Conflict for a file that changes meanwhile, and what reading raises.
        """
        yield encode(Entry(_LAYER, size=self._layer_size))
        diff_id = hashlib.sha256()
        for piece in self._tree.layer():
            diff_id.update(piece)
            yield piece
        yield _padding(self._layer_size)
        config = json.dumps(self._config(diff_id.hexdigest())).encode()
        identity = hashlib.sha256(config).hexdigest()
        self.image_id = f"sha256:{identity}"
        manifest = [
            {"Config": f"{identity}.json", "RepoTags": self._names, "Layers": [_LAYER.decode()]}
        ]
        yield _member(f"{identity}.json", config)
        yield _member("manifest.json", json.dumps(manifest).encode())
        yield bytes(2 * _BLOCK)

    def _config(self, diff_id: str) -> dict[str, object]:
        return {
            "architecture": native_architecture(),
            "os": "linux",
            "created": _EPOCH,
            "config": self._run.document(),
            "history": [{"created": _EPOCH, "created_by": self._created_by}],
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
        }


def _member(name: str, data: bytes) -> bytes:
    return encode(Entry(name.encode(), size=len(data))) + data + _padding(len(data))


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)
