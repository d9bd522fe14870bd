"""A root file system's tar becomes an image."""

import bz2
import gzip
import io
import lzma

import pytest

from wherry.errdefs import EngineError, Kind
from wherry.images.importing import Described
from wherry.reference import parse
from wherry.spec.image import RunConfig, decode_config
from wherry.spec.platform import Platform

HERE = Platform("amd64", "linux")
CONFIG = RunConfig(cmd=("sh",), env=("A=1",))


@pytest.fixture(autouse=True, params=["stored and applied", "received"])
def way(request, world) -> None:
    """Into a driver that unpacks, and into one that keeps tars."""
    world.snapshots.keeps_tar = request.param == "received"


def imported(world, archive: bytes, name: str = "", **described):
    reference = parse(name).tagged() if name else None
    described = {"platform": HERE, **described}
    return world.images.import_image(io.BytesIO(archive), Described(name=reference, **described))


def test_a_tar_becomes_an_image_of_one_layer(world, archives) -> None:
    tar = archives.layer(**{"etc/hello": "hi"})
    image_id = imported(world, tar, "mine:1", message="by hand", config=CONFIG)
    image = world.images.resolve("mine:1")
    assert image.id == image_id
    assert [world.snapshots.kept[layer][0] for layer in image.diff_ids] == [tar]
    assert image.config.config.cmd == ("sh",)
    assert image.config.config.env == ("A=1",)
    assert image.config.platform == HERE
    assert image.config.comment == "by hand"
    (step,) = image.config.history
    assert (step.comment, step.created) == ("by hand", image.created)
    assert image.created_seconds > 0


def test_its_config_is_docker_s(world, archives) -> None:
    image_id = imported(world, archives.layer(a="b"))
    with world.content.open(image_id) as stream:
        config = decode_config(stream.read())
    assert config.comment == "Imported from -"
    assert config.created.endswith("Z")
    assert len(config.created) == len("2026-11-23T12:16:48.295321304Z")
    assert world.images.resolve(image_id).names == ()


def test_a_tar_is_kept_in_one_place(world, archives) -> None:
    (layer,) = world.images.resolve(imported(world, archives.layer(a="b"))).diff_ids
    assert world.content.contains(layer) != world.snapshots.keeps_tar
    assert world.snapshots.contains(layer)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_tar_is_stored_as_it_is_inside(world, archives, compress) -> None:
    tar = archives.layer(a="b")
    image = world.images.resolve(imported(world, compress(tar)))
    assert world.snapshots.kept[image.diff_ids[0]][0] == tar


def test_its_platform_is_what_was_said(world, archives) -> None:
    other = Platform("arm", "linux", variant="v6")
    image = world.images.resolve(imported(world, archives.layer(a="b"), platform=other))
    assert image.config.platform == other


def test_a_name_goes_to_the_newer_image(world, archives) -> None:
    first = imported(world, archives.layer(a="1"), "it")
    second = imported(world, archives.layer(a="2"), "it")
    assert world.images.resolve("it").id == second
    assert world.images.resolve(first).names == ()


def test_a_tar_without_entries_is_an_empty_file_system(world) -> None:
    assert world.images.resolve(imported(world, bytes(1024))).size == 0


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (lambda tar: b"", "is empty"),
        (lambda tar: tar[:700], "ends inside"),
        (lambda tar: tar[:100], "ends inside"),
        (lambda tar: b"no tar at all" * 100, "not a tar"),
        (lambda tar: gzip.compress(tar)[:-9], "ends early"),
        (lambda tar: gzip.compress(tar) + b"x" * 40, "after its end"),
    ],
)
def test_what_is_no_tar_is_refused_and_leaves_nothing(world, archives, cut, words) -> None:
    before = world.facts()
    with pytest.raises(EngineError, match=words) as caught:
        imported(world, cut(archives.layer(a="b")), "it")
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    assert world.facts() == before


@pytest.mark.parametrize(
    ("described", "words"),
    [
        ({"platform": Platform("amd64", "windows")}, "operating system is not supported"),
    ],
)
def test_a_bad_description_is_refused_unread(world, described, words) -> None:
    class Untouched(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer) -> int:
            raise AssertionError("it was read")

    with pytest.raises(EngineError, match=words):
        world.images.import_image(
            io.BufferedReader(Untouched()), Described(**{"platform": HERE, **described})
        )


def test_importing_twice_keeps_the_layer_once(world, archives) -> None:
    tar = archives.layer(a="b")
    first, second = imported(world, tar), imported(world, tar, config=CONFIG)
    assert first != second
    assert len(world.snapshots.layers()) == 1
    for image_id in (first, second):
        world.images.delete(image_id)
    assert world.snapshots.layers() == world.content.digests() == []
