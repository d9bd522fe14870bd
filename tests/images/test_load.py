"""Loading: every dialect of archive comes out as the same images."""

import bz2
import gzip
import io
import json
import lzma
import os
import random
import sys
import tarfile

import pytest

from wherry.reference import parse
from wherry.spec import media
from wherry.spec.digest import Digest
from wherry.spec.image import Manifest, decode_manifest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DIALECTS = ["docker24", "docker25", "podman", "oci"]
COMPRESSORS = {
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_image_of_every_dialect_is_whole(world, archives, dialect) -> None:
    image = archives.image(archives.layer(a="one"), archives.layer(b="three"))
    loaded = world.load(archives.tar(getattr(archives, dialect)(image)))
    assert [line for one in loaded for line in one.messages()] == ["Loaded image: busybox:latest"]
    (stored,) = world.images.list()
    assert stored.id == image.id
    assert stored.diff_ids == tuple(image.diff_ids)
    assert stored.names == (parse("busybox:latest"),)
    assert stored.tags == ["busybox:latest"]
    assert stored.digests == []
    assert stored.size == 8
    assert stored.created_seconds == 1706933106
    assert stored.config.config.cmd == ("sh",)
    assert world.images.resolve("busybox") == stored
    assert world.snapshots.layers() == sorted(image.diff_ids)
    with world.content.open(stored.manifest) as stream:
        manifest = decode_manifest(stream.read())
    assert isinstance(manifest, Manifest)
    assert manifest.config.digest == stored.id
    # What is stored is what the manifest names, and nothing else of the archive.
    named = {stored.manifest, stored.id, *(layer.digest for layer in manifest.layers)}
    assert set(world.content.digests()) == named
    assert world.database.read(lambda tx: tx.leases()) == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_loading_twice_changes_nothing(world, archives, dialect) -> None:
    archive = archives.tar(getattr(archives, dialect)(archives.image(archives.layer(a="x"))))
    first = world.load(archive)
    before = world.facts()
    assert world.load(archive) == first
    assert world.facts() == before
    assert len(world.snapshots.applied) == 1


def test_all_dialects_of_one_image_are_one_image(world, archives) -> None:
    image = archives.image(archives.layer(a="x"), archives.layer(b="y"))
    for dialect in DIALECTS:
        world.load(archives.tar(getattr(archives, dialect)(image)))
    (stored,) = world.images.list()
    assert stored.id == image.id
    assert len(world.snapshots.applied) == 2
    world.images.delete("busybox")
    assert world.facts() == ([], [], ([], [], [], []), [])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_several_images_share_layers(world, archives, dialect) -> None:
    base = archives.layer(base="x")
    one = archives.image(base, archives.layer(a="1"), names=["one:1", "one:2"])
    two = archives.image(base, base, names=[])
    loaded = world.load(archives.tar(getattr(archives, dialect)(one, two)))
    assert [line for each in loaded for line in each.messages()] == [
        "Loaded image: one:1",
        "Loaded image: one:2",
        f"Loaded image ID: {two.id}",
    ]
    assert len(world.snapshots.applied) == 2
    assert world.images.resolve("one:2").id == one.id
    assert world.images.resolve(two.id).diff_ids == (two.diff_ids[0],) * 2


@pytest.mark.parametrize("dialect", DIALECTS)
def test_members_may_come_in_any_order(world, archives, dialect) -> None:
    image = archives.image(archives.layer(a="1"), archives.layer(b="2"), archives.layer(a="1"))
    members = getattr(archives, dialect)(image)
    for seed in range(3):
        random.Random(seed).shuffle(members)
        (loaded,) = world.load(archives.tar(members))
        assert loaded.id == image.id


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_the_whole_archive_may_be_compressed(world, archives, compression) -> None:
    image = archives.image(archives.layer(a="1"))
    (loaded,) = world.load(COMPRESSORS[compression](archives.tar(archives.docker24(image))))
    assert loaded.id == image.id


@pytest.mark.parametrize(
    ("compression", "media_type"), [("gzip", media.OCI_LAYER_GZIP), ("zstd", media.OCI_LAYER_ZSTD)]
)
def test_layers_in_it_may_be_compressed(world, archives, compression, media_type) -> None:
    layer = archives.layer(a="1")
    image = archives.image(layer)
    packed = COMPRESSORS[compression](layer)
    members = [(name, packed if data == layer else data) for name, data in archives.podman(image)]
    world.load(archives.tar(members))
    record = world.database.read(lambda tx: tx.layer(Digest(image.diff_ids[0])))
    assert record is not None
    assert (record.blob, record.media_type) == (Digest.of(packed), media_type)
    assert world.content.contains(Digest.of(packed))
    # The same layer, plain, is another blob of it; what its manifest names is kept too.
    world.load(archives.tar(archives.oci(image)))
    assert world.content.contains(Digest.of(packed))
    assert world.content.contains(Digest(image.diff_ids[0]))
    assert len(world.snapshots.applied) == 1


def test_a_stream_need_not_seek(world, archives) -> None:
    archive = archives.tar(archives.docker24(archives.image(archives.layer(a="1" * 300_000))))
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as stream:
        if os.fork() == 0:
            os.close(reader)
            with open(writer, "wb") as pipe:
                pipe.write(archive)
            os._exit(0)
        os.close(writer)
        assert len(world.images.load(stream)) == 1
    os.wait()


def test_the_platforms_image_is_taken_and_others_kept(world, archives) -> None:
    ours, theirs = (archives.image(archives.layer(a=word), names=[]) for word in ("us", "them"))
    blobs: dict[str, bytes] = {}
    index = archives.index([("linux/arm64", theirs), ("linux/amd64", ours)], blobs)
    index["annotations"] = {"io.containerd.image.name": "example.com/multi:1"}
    (loaded,) = world.load(archives.tar(archives.layout(blobs, [index])))
    assert loaded.id == ours.id
    stored = world.images.resolve("example.com/multi:1")
    assert stored.target.digest == index["digest"]
    assert world.snapshots.layers() == sorted(ours.diff_ids)
    assert set(world.content.digests()) == {Digest.of(data) for data in blobs.values()}
    assert world.images.resolve(f"example.com/multi@{index['digest']}") == stored


def test_absent_platforms_and_attestations_do_not_matter(world, archives) -> None:
    ours, theirs = (archives.image(archives.layer(a=word), names=[]) for word in ("us", "them"))
    blobs: dict[str, bytes] = {}
    archives.index([("linux/arm64", theirs)], blobs)
    absent = dict(blobs)
    index = archives.index(
        [("unknown/unknown", theirs), ("linux/arm64", theirs), ("linux/amd64", ours)], blobs
    )
    members = [item for item in archives.layout(blobs, [index]) if item[0] not in absent]
    (loaded,) = world.load(archives.tar(members))
    assert (loaded.id, loaded.name) == (ours.id, None)


def test_an_index_without_our_platform_is_refused(world, archives) -> None:
    blobs: dict[str, bytes] = {}
    theirs = archives.image(archives.layer(a="1"))
    index = archives.index([("linux/arm64", theirs), ("windows/amd64", theirs)], blobs)
    with pytest.raises(Exception, match=r"no image for linux/amd64 .* \(it has linux/arm64, wind"):
        world.load(archives.tar(archives.layout(blobs, [index])))
    assert world.facts() == ([], [], ([], [], [], []), [])


def test_platforms_that_the_index_leaves_out_are_read_in_the_configs(world, archives) -> None:
    arm = archives.image(archives.layer(a="arm"), architecture="arm64")
    ours = archives.image(archives.layer(a="amd"))
    blobs: dict[str, bytes] = {}
    manifests = [archives.manifest(image, blobs) for image in (arm, ours)]
    index = archives.blob(
        json.dumps({"schemaVersion": 2, "manifests": manifests}).encode(), media.OCI_INDEX, blobs
    )
    (loaded,) = world.load(archives.tar(archives.layout(blobs, [index])))
    assert loaded.id == ours.id


def test_a_single_image_of_another_platform_is_loaded_as_it_is(world, archives) -> None:
    image = archives.image(archives.layer(a="1"), architecture="s390x")
    for dialect in DIALECTS:
        (loaded,) = world.load(archives.tar(getattr(archives, dialect)(image)))
        assert loaded.id == image.id


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        ("localhost/x:1", "localhost/x:1"),
        ("docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox", "busybox:latest"),
        ("Not A Name", None),
        ("", None),
    ],
)
def test_names_of_oci_archives(world, archives, annotation, name) -> None:
    image = archives.image(archives.layer(a="1"), names=[annotation])
    (loaded,) = world.load(archives.tar(archives.oci(image)))
    assert (loaded.name and loaded.name.familiar()) == name


def test_a_name_that_moves_says_so_and_leaves_the_old_image(world, archives) -> None:
    old, new = archives.image(archives.layer(a="old")), archives.image(archives.layer(a="new"))
    world.load(archives.tar(archives.docker24(old)))
    (loaded,) = world.load(archives.tar(archives.docker24(new)))
    renamed, done = loaded.messages()
    assert renamed.startswith("The image busybox:latest already exists, renaming the old one with")
    assert renamed.endswith(f"ID {old.id} to empty string")
    assert done == "Loaded image: busybox:latest"
    assert world.images.resolve(old.id).names == ()
    assert world.images.resolve("busybox").id == new.id


def test_progress_is_told_by_layer_and_only_of_new_ones(world, archives) -> None:
    big, small = archives.layer(a="x" * 3_000_000), archives.layer(b="y")
    seen: list[tuple[str, int, int]] = []
    archive = archives.tar(archives.docker25(archives.image(big, small)))
    world.load(archive, progress=lambda *args: seen.append(args))
    ids = [Digest.of(layer).hex[:12] for layer in (big, small)]
    assert {name for name, _, _ in seen} == set(ids)  # in any order: several are applied at once
    assert (ids[1], len(small), len(small)) in seen
    of_big = [done for name, done, total in seen if name == ids[0] and total == len(big)]
    assert of_big == sorted(of_big)
    assert of_big[-1] == len(big)
    assert len(of_big) >= 3
    seen.clear()
    world.load(archive, progress=lambda *args: seen.append(args))
    assert seen == []


def test_an_image_without_layers_is_an_image(world, archives) -> None:
    for dialect in DIALECTS:
        world.load(archives.tar(getattr(archives, dialect)(archives.image())))
    (stored,) = world.images.list()
    assert (stored.diff_ids, stored.size) == ((), 0)


def test_a_snapshotter_that_keeps_tars_spares_the_blobs(world, archives) -> None:
    world.snapshots.keeps_tar = True
    plain, packed = archives.layer(a="1"), archives.layer(b="2")
    image = archives.image(plain, packed)
    gzipped = gzip.compress(packed)
    members = [(name, gzipped if data == packed else data)
               for name, data in archives.podman(image)]  # fmt: skip
    world.load(archives.tar(members))
    assert not world.content.contains(Digest.of(plain))
    assert world.content.contains(Digest.of(gzipped))
    world.images.recover()
    world.load(archives.tar(members))
    assert not world.content.contains(Digest.of(plain))


def test_a_hardlinked_layer_is_its_target(world, archives) -> None:
    image = archives.image(archives.layer(a="1"))
    members = archives.podman(image)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(f"./{name}")
            if isinstance(data, str):
                info.type, info.linkname = tarfile.LNKTYPE, data.removeprefix("-> ../")
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    assert world.load(stream.getvalue())[0].id == image.id
