"""`import --change`: judged by the engine, done by the store."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import BinaryIO

import pytest

from wherry import errdefs
from wherry.engine.events import Events
from wherry.engine.images import Images
from wherry.engine.model import ImportRequest
from wherry.errdefs import EngineError, Kind
from wherry.images.image import Image
from wherry.images.importing import Described


class Store:
    """One that remembers what it was told."""

    def import_image(self, archive: BinaryIO, described: Described) -> str:
        archive.read()
        self.described = described
        return "sha256:1"

    def resolve(self, text: str) -> Image:
        raise errdefs.not_found(text)


async def test_changes_are_the_image_s_configuration() -> None:
    async def archive() -> AsyncIterator[bytes]:
        yield b"a"

    store = Store()
    verbs = Images(SimpleNamespace(images=store, events=Events()), list)  # type: ignore[arg-type]
    await verbs.import_image(archive(), ImportRequest(changes=['CMD ["sh"]', "ENV A=1\nENV B=$A"]))
    assert store.described.config.cmd == ("sh",)
    assert store.described.config.env == ("A=1", "B=1")


async def test_a_bad_change_is_refused_unread() -> None:
    async def archive() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    verbs = Images(SimpleNamespace(images=Store()), list)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="run is not a valid change command") as caught:
        await verbs.import_image(archive(), ImportRequest(changes=["RUN ls"]))
    assert caught.value.kind is Kind.INVALID_ARGUMENT
