"""Images that are damaged or lie, archives of any kind: an EngineError, or what fsck accepts."""

import contextlib
import io
import os
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from erofslayers import opened, run_fsck, write_layer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layertars import archive, device, directory, file, hardlink, opaque, symlink, whiteout

from wherry.errdefs import EngineError, Kind
from wherry.layers.erofs import Image, check, read_info
from wherry.layers.erofs.format import BLOCK, DIRENT, INODE, SUPERBLOCK, SUPERBLOCK_OFFSET
from wherry.layers.erofs.layer import digest_of, seal
from wherry.layers.tar import TarReader

EXAMPLES = 20_000 if os.environ.get("WHERRY_SOAK") else 150
END = bytes(1024)


class Blob(bytes):
    """Bytes that nobody wants to see in a report."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


@pytest.fixture(scope="module")
def varied(block, pax) -> Blob:
    """An archive in which everything occurs that an image can show."""
    sparse = {b"GNU.sparse.size": b"50000", b"GNU.sparse.map": b"4096,4096,40000,300"}
    members = archive(
        directory("dir", mode=0o700, xattrs={"user.a": b"b" * 100}),
        *(file(f"dir/file{number}", b"x" * number * 99) for number in range(40)),
        symlink("short", "target"),
        symlink("long", "t" * 3000),
        hardlink("hard", "dir/file7"),
        device("null", 1, 3),
        whiteout("a/b/gone"),
        opaque("a"),
    )
    data = bytes(range(256)) * 18
    sparse_file = pax(sparse) + block(b"sparse", 4396) + data
    return Blob(members[: end_of(members)] + sparse_file + END)


def end_of(members: bytes) -> int:
    """Where the last member ends, and the archive's end begins."""
    reader = TarReader(io.BytesIO(members))
    return max(entry.offset + entry.size + -entry.size % BLOCK for entry in reader)


@pytest.fixture(scope="module")
def image(varied, tmp_path_factory) -> Blob:
    path = tmp_path_factory.mktemp("image") / "layer"
    write_layer(varied, path)
    return Blob(path.read_bytes())


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("scratch")
    yield folder / "layer"
    shutil.rmtree(folder)


def error_of(action: Callable[[], object]) -> EngineError | None:
    try:
        action()
    except EngineError as error:
        return error
    return None


def read_all(path: Path) -> None:
    """Everything that the reader can tell of an image, and only so much of each file."""
    with opened(path) as fd:
        image = Image(fd)
        for name, inode in image.walk():
            assert b".." not in name.split(b"/")
            assert len(image.read(inode, 1 << 16)) <= 1 << 16


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(EngineError) as failure:
        read_all(path)
    assert failure.value.kind is Kind.DATA_LOSS
    assert len(failure.value.message) < 1000
    return failure.value.message


def resealed(path: Path, data: bytes) -> bytes:
    """The image with a record that agrees with it, as who made it on purpose would write it."""
    path.write_bytes(data)
    with opened(path) as fd:
        info = read_info(fd)
        found = digest_of(fd, info.metadata_offset, info.metadata_size)
    fields = {name: getattr(info, name) for name in info.__slots__}
    changed = type(info)(**{**fields, "metadata_digest": found})
    filesystem = data[SUPERBLOCK_OFFSET : SUPERBLOCK_OFFSET + SUPERBLOCK.size]
    head = seal(changed, filesystem)
    return head + data[len(head) :]


# --- images -------------------------------------------------------------------------------------


def test_what_is_whole_is_read(image, scratch):
    scratch.write_bytes(image)
    read_all(scratch)
    with opened(scratch) as fd:
        check(fd)


@pytest.mark.parametrize("at", [0, 16, 40, 90, 127, 128, 1024, 1038, 1060])
def test_a_damaged_head_is_found(image, scratch, at):
    damaged = bytearray(image)
    damaged[at] ^= 4
    scratch.write_bytes(damaged)
    with opened(scratch) as fd, pytest.raises(EngineError, match="damaged") as failure:
        check(fd)
    assert failure.value.kind is Kind.DATA_LOSS


def test_damaged_metadata_are_found(image, scratch):
    with opened_bytes(scratch, image) as fd:
        start = read_info(fd).metadata_offset
    for at in range(start, len(image), 509):
        damaged = bytearray(image)
        damaged[at] ^= 1
        with opened_bytes(scratch, damaged) as fd, pytest.raises(EngineError, match="damaged"):
            check(fd)


def test_a_file_that_is_cut_off_or_too_long(image, scratch):
    for data in (image[:-512], image[:5000], image[:1100], image[:100], b"", image + b"\0"):
        with opened_bytes(scratch, data) as fd, pytest.raises(EngineError) as failure:
            check(fd)
        assert failure.value.kind is Kind.DATA_LOSS


def opened_bytes(path: Path, data: bytes):
    path.write_bytes(data)
    return opened(path)


class TestLies:
    """Each is well-formed but for one thing."""

    @pytest.fixture
    def nodes(self, image, scratch) -> dict[bytes, tuple[int, int]]:
        """Where each inode is in the file, and where its content."""
        with opened_bytes(scratch, image) as fd:
            found = Image(fd)
            start = read_info(fd).metadata_offset
            return {
                name: (start + 32 * inode.nid, next(found.extents(inode), (0, 0))[0] or 0)
                for name, inode in found.walk()
            }

    def put(self, image: bytes, at: int, form: str, value: int) -> bytes:
        data = bytearray(image)
        struct.pack_into(form, data, at, value)
        return bytes(data)

    @pytest.mark.parametrize(
        ("offset", "form", "value", "said"),
        [
            (0, "<H", 3, "no inode"),
            (0, "<H", 0, "no inode"),
            (4, "<H", 0o140644, "no inode"),
            (4, "<H", 0o040644, "another type"),
            (44, "<I", 0, "no inode"),
            (8, "<Q", 1 << 63, "size"),
            (8, "<Q", 1 << 40, "leaves"),
            (16, "<I", 0xFFFFFFF0, "leaves"),
            (40, "<I", 10**9, "nanoseconds"),
            (2, "<H", 0xFFFF, "nothing at byte"),
            (2, "<H", 30, "xattrs"),
        ],
    )
    def test_inodes(self, image, scratch, nodes, offset, form, value, said):
        data = self.put(image, nodes[b"dir/file9"][0] + offset, form, value)
        assert said in refusal(scratch, data)

    def test_xattrs(self, image, scratch, nodes):
        at = nodes[b"dir"][0] + INODE.size
        assert "shares" in refusal(scratch, self.put(image, at + 4, "<B", 1))
        assert "xattrs" in refusal(scratch, self.put(image, at + 12 + 1, "<B", 9))
        assert "xattrs" in refusal(scratch, self.put(image, at + 12 + 2, "<H", 5000))

    def test_names(self, image, scratch, nodes):
        at = nodes[b"dir"][1]
        first = DIRENT.unpack_from(image, at)[1]
        for place, form, value, said in [
            (8, "<H", 0, "block of its names"),
            (8, "<H", first + 1, "block of its names"),
            (8, "<H", 600, "block of its names"),
            (12 + 8, "<H", first, "order|name"),
            (12 + 8, "<H", first - 1, "name"),
            (0, "<Q", 2, "leads elsewhere"),
            (first, "<B", 0x2F, "name"),
            (first + 3, "<B", 0x21, "order"),
            (24, "<Q", 1 << 50, "nothing at byte"),
            (24 + 10, "<B", 7, "another type"),
        ]:
            said_now = refusal(scratch, self.put(image, at + place, form, value))
            assert any(word in said_now for word in said.split("|")), (place, said_now)

    def test_circles(self, image, scratch, nodes):
        """A directory inside itself, and the same one in two others."""
        block = image[nodes[b"a"][1] :][:BLOCK]
        entries = list(DIRENT.iter_unpack(block[: DIRENT.unpack_from(block)[1]]))
        child = next(number for number, entry in enumerate(entries) if block[entry[1]] == ord("b"))
        at = nodes[b"a"][1] + child * DIRENT.size
        own, other = entries[0][0], (nodes[b"dir"][0] - nodes[b""][0]) // 32 + 2
        assert "two directories" in refusal(scratch, self.put(image, at, "<Q", own))
        said = refusal(scratch, self.put(image, at, "<Q", other))
        assert "two directories" in said or "leads elsewhere" in said

    def test_symlinks(self, image, scratch, nodes):
        at = nodes[b"short"][0]
        assert "size" in refusal(scratch, self.put(image, at + 8, "<Q", 5000))
        assert "crosses" in refusal(scratch, self.put(image, at + 8, "<Q", 500))

    def test_indexes(self, image, scratch, nodes):
        at = nodes[b"sparse"][0]
        assert "form" in refusal(scratch, self.put(image, at + 16, "<H", 0x20))
        assert "nothing" in refusal(scratch, self.put(image, at + 8, "<Q", 1 << 62))
        assert "leaves" in refusal(scratch, self.put(image, at + INODE.size, "<I", 0xFFFFFFF0))

    def test_a_record_that_tells_of_another_tree(self, image, scratch, nodes):
        data = self.put(image, nodes[b"dir/file9"][0] + 8, "<Q", 1)
        with (
            opened_bytes(scratch, resealed(scratch, data)) as fd,
            pytest.raises(EngineError, match="do not agree"),
        ):
            check(fd)
        data = self.put(image, nodes[b"hard"][0] + 44, "<I", 3)
        with (
            opened_bytes(scratch, resealed(scratch, data)) as fd,
            pytest.raises(EngineError, match="do not agree"),
        ):
            check(fd)


@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 8))
def test_mutated_images_are_read_or_refused(image, scratch, seed, count):
    """The fuzz target: whatever is changed after the superblock's magic, no other error comes."""
    chance = random.Random(seed)
    data = bytearray(image)
    start = SUPERBLOCK_OFFSET + 4
    metadata = struct.unpack_from("<I", image, SUPERBLOCK_OFFSET + 40)[0] * BLOCK
    for _ in range(count):
        if chance.random() < 0.9:
            at = chance.randrange(metadata, len(data))
        else:
            at = chance.randrange(start, start + 76)
        value = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        data[at : at + chance.choice([1, 1, 2, 4])] = bytes([value]) * 4
    del data[len(image) :]
    scratch.write_bytes(data)
    error = error_of(lambda: read_all(scratch))
    assert error is None or (error.kind is Kind.DATA_LOSS and len(error.message) < 1000)


# --- archives -----------------------------------------------------------------------------------


@settings(
    max_examples=EXAMPLES // 3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_mutated_archives_give_a_whole_image_or_an_error(varied, scratch, seed):
    chance = random.Random(seed)
    data = bytearray(varied)
    headers = [at for at in range(0, len(data), BLOCK) if data[at + 257 : at + 262] == b"ustar"]
    for _ in range(chance.randrange(1, 6)):
        at = chance.choice(headers)
        match chance.randrange(5):
            case 0:
                data[at + chance.randrange(BLOCK)] = chance.randrange(256)
            case 1:
                data[at + 156] = chance.choice(b"0123456")
            case 2:  # one name for another
                other = chance.choice(headers)
                data[at : at + 100] = data[other : other + 100]
            case 3:
                other = chance.choice(headers)
                data[at + 157 : at + 257] = data[other : other + 100]
            case 4:
                data[at : at + BLOCK] = data[chance.choice(headers) :][:BLOCK]
    for at in headers:
        data[at + 148 : at + 156] = b" " * 8
        data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + BLOCK])
    error = error_of(lambda: write_layer(bytes(data), scratch))
    if error:
        assert error.kind in (Kind.INVALID_ARGUMENT, Kind.RESOURCE_EXHAUSTED)
        return
    with opened(scratch) as fd:
        check(fd)
    read_all(scratch)
    if seed % 4 == 0:
        with contextlib.suppress(pytest.skip.Exception):
            run_fsck(scratch)


@pytest.mark.parametrize("count", [1, 2, 2000])
def test_sparse_files_that_ask_for_too_much(block, pax, scratch, count):
    """A small archive that describes much: refused, or small."""

    def tar(size: int) -> bytes:
        listed = b",".join(b"%d,1" % (number * (1 << 44) // count) for number in range(count))
        records = {b"GNU.sparse.size": b"%d" % size, b"GNU.sparse.map": listed}
        return pax(records) + block(b"sparse", count) + bytes(count + -count % BLOCK) + END

    error = error_of(lambda: write_layer(tar(1 << 44), scratch))
    if count > 2:
        assert error is not None
        assert error.kind is Kind.RESOURCE_EXHAUSTED
        assert "sparse" in error.message
    else:
        assert error is None
    assert scratch.stat().st_blocks * BLOCK < 16 << 20
    with pytest.raises(EngineError, match="sparse file may have"):
        write_layer(tar((1 << 44) + 1), scratch)
