"""Images become archives that give them back, equal in every byte that counts."""

import gzip
import io
import json
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.content.store import ContentStore
from wherry.errdefs import EngineError, Kind
from wherry.images import saving
from wherry.images.store import ImageStore
from wherry.metadata import Database

GZIPPED = "application/vnd.oci.image.layer.v1.tar+gzip"


def saved(world, *names: str) -> bytes:
    return b"".join(world.images.save(names))


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}


def documents(archive: bytes) -> tuple[list, dict]:
    found = members(archive)
    return json.loads(found["manifest.json"]), json.loads(found["index.json"])


@pytest.fixture
def busybox(world, archives):
    image = archives.image(archives.layer(a="1"), archives.layer(b="2"), names=["box:1", "box:2"])
    world.load(archives.tar(archives.docker24(image)))
    return image


def test_it_is_what_docker_writes(world, busybox) -> None:
    archive = saved(world, "box:1")
    blobs = [f"blobs/sha256/{layer[7:]}" for layer in busybox.diff_ids]
    manifest, index = documents(archive)
    assert manifest == [
        {"Config": f"blobs/sha256/{busybox.id[7:]}", "RepoTags": ["box:1"], "Layers": blobs}
    ]
    (descriptor,) = index["manifests"]
    assert descriptor["annotations"] == {
        "io.containerd.image.name": "docker.io/library/box:1",
        "org.opencontainers.image.ref.name": "1",
    }
    found = members(archive)
    assert json.loads(found["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads(found["repositories"]) == {"box": {"1": busybox.diff_ids[-1][7:]}}
    assert [found[name] for name in blobs] == busybox.layers
    oci = json.loads(found[f"blobs/sha256/{descriptor['digest'][7:]}"])
    assert [layer["digest"] for layer in oci["layers"]] == busybox.diff_ids
    assert oci["config"]["digest"] == busybox.id


def test_entries_have_the_images_time_and_documents_none(world, busybox) -> None:
    with tarfile.open(fileobj=io.BytesIO(saved(world, "box:1"))) as tar:
        times = {one.name: one.mtime for one in tar}
        owners = {(one.uid, one.gid, one.uname, one.mode) for one in tar if one.isfile()}
    created = world.images.resolve("box:1").created_seconds
    assert {name: time for name, time in times.items() if time} == {
        name: created for name in times if name.startswith("blobs/sha256/")
    }
    assert owners == {(0, 0, "", 0o644)}


@pytest.mark.parametrize("form", ["docker24", "docker25", "podman", "oci"])
def test_what_was_saved_loads_as_the_same_images(world, archives, tmp_path, form) -> None:
    names = ["example.com/a:1", "example.com/a:2"] if form == "oci" else ["a:1", "a:2"]
    first = archives.image(archives.layer(a="1"), names=names)
    second = archives.image(archives.layer(a="1"), archives.layer(b="2"), names=["b:1"])
    world.load(archives.tar(getattr(archives, form)(first, second)))
    archive = saved(world, names[0], names[1], second.id)
    assert saved(world, names[0], names[1], second.id) == archive

    other = another_world(tmp_path, world.snapshots)
    loaded = other.load(io.BytesIO(archive))
    assert [(one.id, one.name and one.name.familiar()) for one in loaded] == [
        (first.id, names[0]),
        (first.id, names[1]),
        (second.id, None),
    ]
    # Layers came as they are here, so the manifests are the same, too.
    for image in (first, second):
        assert other.resolve(image.id).manifest == world.images.resolve(image.id).manifest
    assert b"".join(other.save([names[0], names[1], second.id])) == archive


def another_world(path, snapshots) -> ImageStore:
    kept = type(snapshots)()
    database = Database.open(path / "other.db")
    return ImageStore(ContentStore(path / "other"), kept, database)


def test_shared_layers_are_written_once(world, archives) -> None:
    base = archives.layer(base="1")
    images = [
        archives.image(base, archives.layer(top=str(n)), base, names=[f"i:{n}"]) for n in range(3)
    ]
    world.load(archives.tar(archives.docker24(*images)))
    with tarfile.open(fileobj=io.BytesIO(saved(world, "i:0", "i:1", "i:2"))) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names))
    assert sum(name.startswith("blobs/sha256/") for name in names) == 4 + 3 + 3


@pytest.mark.parametrize(
    ("asked", "tags"),
    [
        (["box"], [["box:1", "box:2"]]),
        (["docker.io/library/box"], [["box:1", "box:2"]]),
        (["box:2", "box:1", "box:2"], [["box:2", "box:1"]]),
        (["ID"], [None]),
        (["sha256:ID"], [None]),
        (["SHORT"], [None]),
        (["SHORT", "box:1"], [["box:1"]]),
        (["other", "box:1"], [["other:latest"], ["box:1"]]),
    ],
)
def test_a_name_a_repository_and_an_id_mean_what_they_mean_in_docker(
    world, archives, busybox, asked, tags
) -> None:
    other = archives.image(archives.layer(c="3"), names=["other:latest"])
    world.load(archives.tar(archives.docker24(other)))
    bare = busybox.id[7:]
    names = [name.replace("ID", bare).replace("SHORT", bare[:12]) for name in asked]
    manifest, index = documents(saved(world, *names))
    assert [one["RepoTags"] for one in manifest] == tags
    assert len(index["manifests"]) == sum(len(of_one or [1]) for of_one in tags)


def test_a_name_with_a_digest_saves_without_a_tag(world, busybox) -> None:
    target = world.images.resolve("box:1").target.digest
    manifest, _ = documents(saved(world, f"box@{target}"))
    assert [one["Config"][-64:] for one in manifest] == [busybox.id[7:]]


@pytest.mark.parametrize("names", [["nothing"], ["box:1", "nothing"], ["box:9"], ["f" * 64]])
def test_an_unknown_name_is_not_found_before_the_first_byte(world, busybox, names) -> None:
    before = world.facts()
    with pytest.raises(EngineError) as caught:
        next(world.images.save(names))
    assert caught.value.kind is Kind.NOT_FOUND
    assert caught.value.message.startswith("No such image: ")
    assert world.facts() == before


def test_a_compressed_layer_is_saved_as_what_is_in_it(world, archives) -> None:
    layer = archives.layer(a="1" * 5000)
    image = archives.image(layer, names=["example.com/z:1"])
    blobs: dict[str, bytes] = {}
    descriptor = archives.manifest(image, blobs)
    document = json.loads(blobs[f"blobs/sha256/{descriptor['digest'][7:]}"])
    document["layers"] = [archives.blob(gzip.compress(layer), GZIPPED, blobs)]
    packed = archives.blob(json.dumps(document).encode(), descriptor["mediaType"], blobs)
    notes = {"org.opencontainers.image.ref.name": "example.com/z:1"}
    world.load(archives.tar(archives.layout(blobs, [{**packed, "annotations": notes}])))

    archive = saved(world, "example.com/z:1")
    (item,), index = documents(archive)
    assert members(archive)[item["Layers"][0]] == layer
    assert index["manifests"][0]["digest"] != packed["digest"]
    assert [one.id for one in world.load(archive)] == [image.id]


def test_a_layer_that_only_the_snapshotter_keeps(world, archives) -> None:
    world.snapshots.keeps_tar = True
    image = archives.image(archives.layer(a="1"), names=["kept:1"])
    world.load(archives.tar(archives.docker24(image)))
    assert image.diff_ids[0] not in world.content.digests()
    assert (
        members(saved(world, "kept:1"))[f"blobs/sha256/{image.diff_ids[0][7:]}"]
        == (image.layers[0])
    )


def test_an_image_without_layers(world, archives) -> None:
    image = archives.image(names=["void:1"])
    world.load(archives.tar(archives.docker24(image)))
    archive = saved(world, "void:1")
    assert "repositories" not in members(archive)
    assert [one.id for one in world.load(archive)] == [image.id]


def test_what_is_removed_meanwhile_stays_for_who_reads_it(world, busybox) -> None:
    expected = saved(world, "box:1")
    before = world.facts()
    pieces = world.images.save(["box:1"])
    first = next(pieces)
    world.images.delete(busybox.id, force=True)
    assert first + b"".join(pieces) == expected
    assert world.content.digests() == world.snapshots.layers() == []
    world.load(expected)
    assert world.facts()[:2] == before[:2]


def test_whoever_stops_reading_holds_nothing_any_more(world, archives, monkeypatch) -> None:
    monkeypatch.setattr(saving, "_CHUNK", 1000)
    world.load(archives.tar(archives.docker24(archives.image(archives.layer(a="1" * 5000)))))
    before = world.facts()
    pieces = world.images.save(["busybox"])
    next(pieces)
    assert world.facts() != before
    pieces.close()
    assert world.facts() == before


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0"])
def test_a_layer_of_another_length_is_noticed(world, busybox, monkeypatch, change) -> None:
    real = world.content.open
    sizes = saving._Layers.size

    def size(self, diff_id):
        self._sizes[diff_id] = len(busybox.layers[busybox.diff_ids.index(diff_id)])
        return sizes(self, diff_id)

    monkeypatch.setattr(saving._Layers, "size", size)
    monkeypatch.setattr(
        world.content,
        "open",
        lambda digest: (
            io.BytesIO(change(real(digest).read())) if digest in busybox.diff_ids else real(digest)
        ),
    )
    with pytest.raises(EngineError, match="no longer the") as caught:
        saved(world, "box:1")
    assert caught.value.kind is Kind.DATA_LOSS


def test_no_piece_is_larger_than_it_may_be(world, archives, monkeypatch) -> None:
    monkeypatch.setattr(saving, "_CHUNK", 4096)
    layer = archives.layer(a="1" * 100_000)
    world.load(archives.tar(archives.docker24(archives.image(layer))))
    pieces = list(world.images.save(["busybox"]))
    assert max(map(len, pieces)) < 3 * 4096
    assert sum(map(len, pieces)) // 4096 + 3 >= len(pieces)


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=40), max_size=30))
def test_joining_changes_no_byte(pieces) -> None:
    joined = list(saving._joined(iter(pieces)))
    assert b"".join(joined) == b"".join(pieces)


def test_nothing_that_is_no_name_is_saved(world) -> None:
    with pytest.raises(EngineError) as caught:
        saved(world, "UPPER")
    assert caught.value.kind is Kind.INVALID_ARGUMENT
