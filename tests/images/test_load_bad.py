"""Archives that are broken or hostile: each is refused by name, and nothing of it is left."""

import gzip
import io
import json
import os
import random
import re
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.errdefs import EngineError, Kind
from wherry.images.store import ImageStore
from wherry.images.unpacking import opener
from wherry.snapshots.drivers import choose
from wherry.spec import image as spec
from wherry.spec import media

EXAMPLES = 2000 if os.environ.get("WHERRY_SOAK") else 40
NOTHING = ([], [], ([], [], [], []), [])


def refused(world, archive: bytes) -> str:
    before = world.facts()
    with pytest.raises(EngineError) as caught:
        world.load(archive)
    assert caught.value.kind is Kind.INVALID_ARGUMENT, caught.value.message
    assert world.facts() == before
    return caught.value.message


def test_what_is_no_archive_is_refused(world, archives) -> None:
    assert "empty" in refused(world, b"")
    assert "empty" in refused(world, bytes(10240))
    refused(world, b"\x7fELF" + b"not a tar" * 1000)
    refused(world, gzip.compress(b"not a tar" * 1000))
    message = refused(world, archives.tar([("etc/passwd", b"root"), ("bin/sh", b"\x7fELF")]))
    assert "neither a docker-archive nor an OCI layout" in message


@pytest.mark.parametrize("dialect", ["docker24", "docker25", "podman", "oci"])
def test_a_truncated_archive_leaves_nothing(world, archives, dialect) -> None:
    members = getattr(archives, dialect)(archives.image(archives.layer(a="x" * 5000)))
    archive = archives.tar(members)
    end = len(archive.rstrip(b"\0"))
    for size in range(1, end, 997):
        refused(world, archive[:size])
    packed = gzip.compress(archive)
    for size in range(1, len(packed), 97):
        refused(world, packed[:size])
    assert world.facts() == NOTHING


@pytest.mark.parametrize("dialect", ["docker24", "docker25", "podman", "oci"])
def test_a_layer_whose_digest_lies_is_refused_by_its_member(world, archives, dialect) -> None:
    layer = archives.layer(a="truth")
    members = getattr(archives, dialect)(archives.image(archives.layer(b="good"), layer))
    lie = archives.layer(a="false")
    lied = [(name, lie if data == layer else data) for name, data in members]
    member = next(name for name, data in members if data == layer)
    assert f"the archive's {member}" in refused(world, archives.tar(lied))


def test_a_compressed_layer_that_lies_is_refused_though_we_have_its_diff_id(
    world, archives
) -> None:
    layer = archives.layer(a="truth")
    image = archives.image(layer)
    world.load(archives.tar(archives.podman(image)))
    lie = gzip.compress(archives.layer(a="lie"))
    members = [(name, lie if data == layer else data) for name, data in archives.podman(image)]
    assert "not sha256:" in refused(world, archives.tar(members))


def test_a_corrupt_compressed_layer_is_refused_by_its_member(world, archives) -> None:
    layer = archives.layer(a="x" * 1000)
    broken = gzip.compress(layer)[:-9]
    members = [(name, broken if data == layer else data)
               for name, data in archives.podman(archives.image(layer))]  # fmt: skip
    assert ".tar: the gzip stream" in refused(world, archives.tar(members))


@pytest.mark.parametrize(
    ("dialect", "needed"),
    [
        ("docker24", r"manifest\.json|\w{64}\.json|\w{64}/layer\.tar"),
        ("docker25", r"blobs/sha256/\w{64}"),
        ("podman", r"manifest\.json|\w{64}\.json|\w{64}\.tar"),
        ("oci", r"index\.json|blobs/sha256/\w{64}"),
    ],
)
def test_a_missing_member_is_named(world, archives, dialect, needed) -> None:
    image = archives.image(archives.layer(a="1"))
    members = getattr(archives, dialect)(image)
    # docker25 has two indexes, and the manifest is needed by one of them only.
    blobs = {f"blobs/sha256/{part[7:]}" for part in (image.id, *image.diff_ids)}
    names = [name for name, _ in members if re.fullmatch(needed, name)]
    tried = [name for name in names if dialect != "docker25" or name in blobs]
    assert len(tried) >= 2
    for missing in tried:
        message = refused(world, archives.tar([item for item in members if item[0] != missing]))
        assert missing in message


def test_links_in_the_archive_stay_in_it(world, archives) -> None:
    image = archives.image(archives.layer(a="1"))
    config = f"{image.id[7:]}.json"
    listed = json.dumps([archives.item(config, [], ["l/layer.tar"])]).encode()
    for target in ("/etc/shadow", "../../etc/shadow", "../../x"):
        members = [(config, image.config), ("l/layer.tar", f"-> {target}"),
                   ("manifest.json", listed)]  # fmt: skip
        assert "outside of it" in refused(world, archives.tar(members))
    members = [(config, image.config), ("l/layer.tar", "-> ../m/layer.tar"),
               ("m/layer.tar", "-> ../l/layer.tar"), ("manifest.json", listed)]  # fmt: skip
    assert "no member 'l/layer.tar'" in refused(world, archives.tar(members))


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"{}", "Expected `array`"),
        (b"[]", "lists no images"),
        (b"[null]", "`$[0]`"),
        (b'[{"Config": 3}]', "`$[0].Config`"),
        (b'[{"Layers": []}]', "missing required field `Config`"),
        (b'[{"Config": "/etc/passwd", "Layers": []}]', "no member '/etc/passwd'"),
        (b'[{"Config": "c.json", "Layers": ["x"]}]', "no member 'c.json'"),
        (b'[{"Config": "x", "RepoTags": ["Capitals:1"]}]', "must be lowercase"),
        (b'[{"Config": "x", "RepoTags": "x:1"}]', "`$[0].RepoTags`"),
        (b" " * (spec.MANIFEST_MAX + 1), "more than the limit"),
    ],
)
def test_a_hostile_manifest_json_is_refused(world, archives, document, says) -> None:
    assert says in refused(world, archives.tar([("manifest.json", document)]))


def test_a_manifest_json_that_is_no_file_is_refused(world, archives) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    assert "not a regular file" in refused(world, stream.getvalue())


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"schemaVersion": 2, "manifests": []}, "lists no images"),
        ({"schemaVersion": 2, "manifests": None}, "schemaVersion"),
        ({"schemaVersion": 2, "manifests": [{"digest": "sha256:../../etc/passwd", "size": 1,
                                             "mediaType": media.OCI_MANIFEST}]}, "64 lower-case"),
        ({"schemaVersion": 1}, "schema 1"),
        ([], "expected a JSON object"),
    ],
)  # fmt: skip
def test_a_hostile_index_json_is_refused(world, archives, document, says) -> None:
    message = refused(world, archives.tar([("index.json", json.dumps(document).encode())]))
    assert says in message or "missing required field" in message


def test_a_config_that_is_too_large_is_refused_unread(world, archives) -> None:
    image = archives.image(archives.layer(a="1"), author="x" * (spec.CONFIG_MAX + 1))
    for dialect in ("docker24", "oci"):
        message = refused(world, archives.tar(getattr(archives, dialect)(image)))
        assert "more than the limit" in message


def test_layers_and_diff_ids_must_be_as_many(world, archives) -> None:
    image = archives.image(archives.layer(a="1"))
    image.layers.append(archives.layer(b="2"))
    for dialect in ("docker24", "docker25", "podman", "oci"):
        message = refused(world, archives.tar(getattr(archives, dialect)(image)))
        assert "lists 2 layers, but its config has 1 diff_ids" in message


def test_what_is_no_image_is_refused(world, archives) -> None:
    blobs: dict[str, bytes] = {}
    config = archives.blob(b"{}", "application/vnd.cncf.helm.config.v1+json", blobs)
    chart = {"schemaVersion": 2, "layers": [], "config": config}
    descriptor = archives.blob(json.dumps(chart).encode(), media.OCI_MANIFEST, blobs)
    assert "is not an image" in refused(world, archives.tar(archives.layout(blobs, [descriptor])))


def test_an_index_that_holds_itself_deeply_is_refused(world, archives) -> None:
    blobs: dict[str, bytes] = {}
    descriptor = archives.manifest(archives.image(), blobs)
    for _ in range(8):
        index = {"schemaVersion": 2, "manifests": [descriptor]}
        descriptor = archives.blob(json.dumps(index).encode(), media.OCI_INDEX, blobs)
    message = refused(world, archives.tar(archives.layout(blobs, [descriptor])))
    assert "deep" in message


def test_indexes_that_multiply_are_refused(world, archives) -> None:
    """A few kilobytes that ask for 200 to the power of 4 documents."""
    blobs: dict[str, bytes] = {}
    descriptor = archives.manifest(archives.image(pad="x" * 100_000), blobs)
    for _ in range(3):
        index = {"schemaVersion": 2, "manifests": [descriptor] * 200}
        descriptor = archives.blob(json.dumps(index).encode(), media.OCI_INDEX, blobs)
    message = refused(world, archives.tar(archives.layout(blobs, [descriptor])))
    assert "so often" in message


def test_a_config_that_is_named_without_end_is_refused(world, archives) -> None:
    image = archives.image(pad="x" * 1_000_000)
    manifest = json.dumps([archives.item("c.json", (), ())] * 300).encode()
    message = refused(world, archives.tar([("c.json", image.config), ("manifest.json", manifest)]))
    assert "c.json and other documents so often" in message


@pytest.mark.parametrize("what", ["manifest.json", "index.json", "oci-layout", "a config"])
def test_a_document_too_large_to_be_one_is_refused_unread(world, archives, what) -> None:
    image = archives.image(archives.layer(a="1"))
    bloated = b" " * ((8 << 20) + 1)
    members = [
        (name, bloated if name == what or (what == "a config" and data == image.config) else data)
        for name, data in archives.docker25(image)
    ]
    if what == "a config":
        manifest = json.dumps([archives.item("c.json", image.names, [])]).encode()
        members = [("c.json", bloated), ("manifest.json", manifest)]
    message = refused(world, archives.tar(members))
    assert "more than the limit of" in message
    assert (what if what != "a config" else "c.json") in message


def test_a_sparse_member_is_refused_by_its_name(world, archives) -> None:
    """One of an exabyte would be stored zero by zero."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        hole = tarfile.TarInfo("layer.tar")
        hole.pax_headers = {"GNU.sparse.size": str(1 << 60), "GNU.sparse.map": "0,0"}
        tar.addfile(hole)
    message = refused(world, stream.getvalue())
    assert "layer.tar is a sparse file" in message


def test_names_that_fill_the_memory_are_refused(world) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(4500):
            tar.addfile(member(f"{'d/' * 1990}{number}/VERSION"))
    assert "bytes of their names" in refused(world, stream.getvalue())


@pytest.mark.parametrize("bad", ["../x", "/../x", "a" * 300, "a/../../x"])
def test_a_member_whose_name_leaves_the_archive_is_refused(world, archives, bad) -> None:
    members = archives.docker24(archives.image(archives.layer(a="1")))
    refused(world, archives.tar([*members, (bad, b"x")]))


def test_a_hostile_layer_is_refused_with_its_member(world, archives) -> None:
    for name in ("../escape", "a" * 300):
        layer = archives.layer(**{name: "x"})
        message = refused(world, archives.tar(archives.docker24(archives.image(layer))))
        assert "/layer.tar: " in message


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: layers have owners and devices")
@pytest.mark.parametrize("driver", ["overlay", "native"])
@pytest.mark.parametrize(
    "entries",
    [
        [member("out", tarfile.SYMTYPE, "/tmp"), member("out/escaped")],
        [member("out", tarfile.SYMTYPE, "../../.."), member("out/escaped")],
        [member("stolen", tarfile.LNKTYPE, "etc/shadow")],
        [member("stolen", tarfile.LNKTYPE, "../../../etc/shadow")],
        [member("/../escaped")],
        [member("gone", tarfile.CHRTYPE)],
        [member("n" * 300)],
    ],
)
def test_a_layer_that_wants_out_is_refused_by_every_driver(
    world, archives, tmp_path, driver, entries
) -> None:
    try:
        snapshots = choose(tmp_path, driver, opener(world.content, world.database))
    except EngineError as error:
        pytest.skip(error.message)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.addfile(member("first"))
        for entry in entries:
            tar.addfile(entry)
    images = ImageStore(world.content, snapshots, world.database)
    archive = archives.tar(archives.docker24(archives.image(stream.getvalue())))
    with pytest.raises(EngineError, match=r"/layer\.tar: ") as caught:
        images.load(io.BytesIO(archive))
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    assert snapshots.layers() == []
    assert world.facts() == NOTHING
    assert not os.path.lexists("/tmp/escaped")
    assert not list(tmp_path.rglob("escaped"))


def test_what_was_loaded_before_survives_a_failed_load(world, archives) -> None:
    shared = archives.layer(base="x")
    world.load(archives.tar(archives.oci(archives.image(shared))))
    bad = archives.image(shared, archives.layer(a="1"), names=["busybox:latest"])
    members = archives.oci(bad)
    lied = [(name, data + b" " if data == bad.config else data) for name, data in members]
    refused(world, archives.tar(lied))
    assert world.snapshots.layers()


@given(st.data())
@settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
def test_flipped_bytes_are_refused_or_do_not_matter(world, archives, data) -> None:
    dialect = data.draw(st.sampled_from(["docker24", "docker25", "podman", "oci"]))
    archive = bytearray(
        archives.tar(getattr(archives, dialect)(archives.image(archives.layer(a="x"))))
    )
    random_ = random.Random(data.draw(st.integers(0, 1 << 30)))
    for _ in range(random_.randint(1, 4)):
        archive[random_.randrange(len(archive))] ^= 1 << random_.randrange(8)
    try:
        loaded = world.load(bytes(archive))
    except EngineError as error:
        if error.kind is not Kind.INVALID_ARGUMENT:
            raise
    else:
        for one in {one.id for one in loaded}:
            world.images.delete(one, force=True)
    assert world.facts() == NOTHING
