"""Images found, named and removed, in Docker's words and order."""

import io
import itertools
import threading

import pytest

from wherry.errdefs import EngineError, Kind
from wherry.images.image import ContainerUse, Deleted, Untagged
from wherry.layers.chain import chain_id
from wherry.layers.tar import TarWriter
from wherry.metadata import NameRecord
from wherry.reference import parse
from wherry.spec.digest import Digest
from wherry.spec.image import encode

EMPTY = ([], [], ([], [], [], []), [])


@pytest.fixture
def busybox(world, archives):
    """A loaded image of two layers, and the stored form of it."""
    world.load(archives.tar(archives.oci(archives.image(
        archives.layer(a="one"), archives.layer(b="two")))))  # fmt: skip
    return world.images.resolve("busybox")


def refused(call, *args, **kwargs) -> tuple[Kind, str]:
    with pytest.raises(EngineError) as caught:
        call(*args, **kwargs)
    return caught.value.kind, caught.value.message


def chains(image) -> list[Deleted]:
    """The reports of a whole stack's end, top first."""
    heights = range(len(image.diff_ids), 0, -1)
    return [Deleted(chain_id(image.diff_ids[:height])) for height in heights]


# --- finding -------------------------------------------------------------------------------------


def test_an_image_is_found_by_all_that_names_it(world, busybox) -> None:
    world.images.tag("busybox", "localhost:5000/box:1")
    stored = world.images.resolve("busybox")
    for text in (
        "busybox", "busybox:latest", "docker.io/library/busybox", "localhost:5000/box:1",
        busybox.id, busybox.id.hex, busybox.short_id, f"sha256:{busybox.short_id}",
        busybox.id.hex[:2], f"busybox@{busybox.target.digest}",
        f"busybox:other@{busybox.target.digest}",
    ):  # fmt: skip
        assert world.images.resolve(text) == stored


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("alpine", Kind.NOT_FOUND, "No such image: alpine:latest"),
        ("busybox:1", Kind.NOT_FOUND, "No such image: busybox:1"),
        ("a" * 64, Kind.NOT_FOUND, f"No such image: {'a' * 64}"),
        (f"sha256:{'a' * 64}", Kind.NOT_FOUND, f"No such image: sha256:{'a' * 64}"),
        (f"busybox@sha256:{'a' * 64}", Kind.NOT_FOUND, "No such image: busybox@sha256:aaa"),
        ("Busybox", Kind.INVALID_ARGUMENT, "(library/Busybox) must be lowercase"),
        ("", Kind.INVALID_ARGUMENT, "invalid reference format"),
        ("%", Kind.INVALID_ARGUMENT, "invalid reference format"),
    ],
)
def test_what_means_no_image_says_so(world, busybox, text, kind, says) -> None:
    found, message = refused(world.images.resolve, text)
    assert found is kind
    assert message.startswith(says) or says in message


def test_a_short_id_that_fits_several_is_ambiguous(world, archives) -> None:
    images = [archives.image(author=str(number), names=[]) for number in range(20)]
    world.load(archives.tar(archives.oci(*images)))
    ids = sorted(image.id[7:] for image in images)
    first, second = next(
        (a, b) for a, b in itertools.pairwise(ids) if a[0] == b[0] and a[:12] != b[:12]
    )
    kind, message = refused(world.images.resolve, first[0])
    assert kind is Kind.INVALID_ARGUMENT
    assert "ambiguous" in message
    assert world.images.resolve(second[:12]).id.hex == second


def test_a_name_goes_before_an_id_that_begins_alike(world, busybox, archives) -> None:
    name = busybox.id.hex[:6]
    world.load(archives.tar(archives.oci(archives.image(author="other", names=[f"{name}:latest"]))))
    assert world.images.resolve(name).id != busybox.id
    assert world.images.resolve(f"sha256:{name}").id == busybox.id


def test_images_are_listed_the_newest_first(world, archives) -> None:
    for word in ("one", "two", "three"):
        world.load(archives.tar(archives.oci(archives.image(author=word, names=[f"{word}:1"]))))
    assert [image.tags for image in world.images.list()] == [["three:1"], ["two:1"], ["one:1"]]


def test_a_damaged_config_says_the_way_out(world, busybox) -> None:
    world.content.delete(busybox.id)
    world.images._configs.clear()
    kind, message = refused(world.images.resolve, "busybox")
    assert kind is Kind.DATA_LOSS
    assert f"wherry rmi -f {busybox.short_id}" in message
    world.images.delete(busybox.short_id, force=True)
    assert world.facts() == EMPTY


# --- naming --------------------------------------------------------------------------------------


def test_a_tag_moves_and_leaves_the_other_image_without_a_name(world, busybox, archives) -> None:
    world.load(archives.tar(archives.oci(archives.image(author="x", names=["other:1"]))))
    world.images.tag("other:1", "busybox")
    assert world.images.resolve("busybox").tags == ["busybox:latest", "other:1"]
    assert world.images.resolve(busybox.id).tags == []
    world.images.tag("other:1", "busybox")
    world.images.tag(busybox.short_id, "again:v1")
    assert world.images.resolve("again:v1").target == busybox.target


@pytest.mark.parametrize(
    ("source", "name", "kind", "says"),
    [
        ("nothing", "x", Kind.NOT_FOUND, "No such image: nothing:latest"),
        ("busybox", "Capitals", Kind.INVALID_ARGUMENT, "must be lowercase"),
        ("busybox", f"x@sha256:{'a' * 64}", Kind.INVALID_ARGUMENT, "with a digest reference"),
        ("busybox", "sha256:abc", Kind.INVALID_ARGUMENT, "digest algorithm as name"),
    ],
)
def test_a_tag_that_cannot_be_is_refused(world, busybox, source, name, kind, says) -> None:
    before = world.facts()
    found, message = refused(world.images.tag, source, name)
    assert found is kind
    assert says in message
    assert world.facts() == before


# --- removing ------------------------------------------------------------------------------------


def test_the_last_name_takes_the_image_with_it(world, busybox) -> None:
    world.images.tag("busybox", "box:1")
    assert world.images.delete("busybox") == [Untagged("busybox:latest")]
    assert world.images.resolve("box:1").id == busybox.id
    assert world.images.delete("box:1") == [
        Untagged("box:1"),
        Deleted(busybox.id),
        *chains(busybox),
    ]
    assert world.facts() == EMPTY
    assert refused(world.images.delete, "box:1")[0] is Kind.NOT_FOUND


def test_an_id_takes_its_one_name_with_it(world, busybox) -> None:
    assert world.images.delete(busybox.short_id) == [
        Untagged("busybox:latest"),
        Deleted(busybox.id),
        *chains(busybox),
    ]
    assert world.facts() == EMPTY


def test_an_id_with_several_names_must_be_forced(world, busybox) -> None:
    world.images.tag("busybox", "box:1")
    stopped = ContainerUse("c" * 16, busybox.id, running=False)
    kind, message = refused(world.images.delete, busybox.id, uses=[stopped])
    assert kind is Kind.CONFLICT
    assert message == (
        f"conflict: unable to delete {busybox.short_id} (must be forced) - image is referenced in "
        "multiple repositories"
    )
    assert world.images.delete(busybox.id, force=True)[:3] == [
        Untagged("box:1"), Untagged("busybox:latest"), Deleted(busybox.id),
    ]  # fmt: skip
    assert world.facts() == EMPTY


def test_shared_layers_stay_and_are_not_reported(world, archives) -> None:
    base = archives.layer(base="x")
    one = archives.image(base, archives.layer(a="1"), names=["one:1"])
    two = archives.image(base, archives.layer(b="2"), names=["two:1"])
    world.load(archives.tar(archives.docker24(one, two)))
    stored = world.images.resolve("one:1")
    assert world.images.delete("one:1") == [
        Untagged("one:1"),
        Deleted(stored.id),
        Deleted(chain_id(stored.diff_ids)),
    ]
    assert world.snapshots.layers() == sorted(two.diff_ids)
    kept = world.images.resolve("two:1")
    assert set(world.content.digests()) == {kept.id, kept.manifest, *kept.diff_ids}
    world.images.delete("two:1")
    assert world.facts() == EMPTY


def test_what_a_container_uses_is_protected(world, busybox) -> None:
    stopped = ContainerUse("0123456789abcdef", busybox.id, running=False)
    running = ContainerUse("fedcba9876543210", busybox.id, running=True)
    other = ContainerUse("aaaaaaaaaaaaaaaa", Digest.of(b"other"), running=True)
    before = world.facts()
    unable = f"conflict: unable to delete {busybox.short_id}"
    running_says = f"{unable} (cannot be forced) - image is being used by running container fedc"
    for text, uses, force, says in (
        (busybox.id, [other, stopped], False, f"{unable} (must be forced) - image is being used "),
        (busybox.id, [stopped, running], False, running_says),
        (busybox.id, [running], True, running_says),
        ("busybox", [stopped], False, "conflict: unable to remove repository reference "),
    ):
        kind, message = refused(world.images.delete, text, uses=uses, force=force)
        assert kind is Kind.CONFLICT
        assert message.startswith(says)
    assert message == (
        'conflict: unable to remove repository reference "busybox" (must force) - '
        f"container 0123456789ab is using its referenced image {busybox.short_id}"
    )
    assert world.facts() == before


def test_one_of_several_names_may_go_though_a_container_uses_the_image(world, busybox) -> None:
    world.images.tag("busybox", "box:1")
    uses = [ContainerUse("c" * 16, busybox.id, running=True)]
    assert world.images.delete("box:1", uses=uses) == [Untagged("box:1")]
    assert world.images.delete("busybox", uses=uses, force=True) == [Untagged("busybox:latest")]
    assert world.images.resolve(busybox.id).names == ()


def test_a_stopped_containers_layers_outlive_the_image_by_force(world, busybox) -> None:
    uses = [ContainerUse("c" * 16, busybox.id, running=False)]
    world.snapshots.pinned = set(busybox.diff_ids)
    assert world.images.delete("busybox", uses=uses, force=True) == [
        Untagged("busybox:latest"),
        Deleted(busybox.id),
    ]
    assert world.images.list() == []
    assert world.snapshots.layers() == sorted(busybox.diff_ids)
    # The tars stay too: a diff of the container may need them.
    assert set(world.content.digests()) == set(busybox.diff_ids)
    world.images.recover()
    assert world.snapshots.layers() == sorted(busybox.diff_ids)
    world.snapshots.pinned = set()
    world.images.container_gone(busybox.id)
    assert world.facts() == EMPTY


def test_names_by_digest_go_with_the_last_tag(world, busybox) -> None:
    name = parse("busybox").with_digest(busybox.target.digest)
    record = NameRecord(str(name), busybox.id, encode(busybox.target))
    world.database.write(lambda tx: tx.put_name(record))
    assert world.images.resolve("busybox").digests == [name.familiar()]
    items = world.images.delete("busybox")
    assert items[:3] == [Untagged("busybox:latest"), Untagged(name.familiar()), Deleted(busybox.id)]
    assert world.facts() == EMPTY


def test_garbage_is_found_after_a_crash_and_what_is_held_stays(world, busybox) -> None:
    before = world.facts()
    with world.content.ingest("left") as ingest:
        ingest.write(b"nobody's")
        ingest.commit()
    stream = io.BytesIO()
    TarWriter(stream).finish()
    stray = Digest.of(stream.getvalue())
    stream.seek(0)
    world.snapshots.apply(stray, stream)
    assert world.facts() != before
    world.images.recover()
    assert world.facts() == before


def test_a_blob_half_written_goes_after_a_crash(world, tmp_path) -> None:
    world.content.ingest("half").write(b"and then the power went")
    assert list(tmp_path.glob("**/ingest/*"))
    world.images.recover()
    assert not list(tmp_path.glob("**/ingest/*"))


def test_loads_and_removals_at_once_never_break_an_image(world, archives) -> None:
    layers = [archives.layer(**{f"f{number}": "x"}) for number in range(3)]
    sets = [(0, 1), (0, 2), (1, 2)]
    packed = [
        archives.tar(archives.docker25(
            archives.image(*(layers[at] for at in chosen), names=[f"image{number}:1"])))
        for number, chosen in enumerate(sets)
    ]  # fmt: skip
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(6):
                (loaded,) = world.load(packed[number])
                image = world.images.resolve(loaded.id)
                assert all(map(world.snapshots.contains, image.diff_ids))
                assert all(map(world.content.contains, (image.manifest, *image.diff_ids)))
                world.images.delete(image.id)
        except BaseException as error:  # noqa: BLE001 - judged below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert world.facts() == EMPTY
