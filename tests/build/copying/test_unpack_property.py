"""Unpacking any archive upon any tree: what a plain program does in a chroot, nothing outside."""

import io
import os

from copies import plan, whole
from copymachine import Files, Machine, RefusedError, links, names, overlaid, paths, trees
from erofslayers import write_layer
from hypothesis import given, settings
from hypothesis import strategies as st
from layertars import Member, archive, directory, file, hardlink, symlink
from memorytrees import MemoryTree

from wherry.errdefs import EngineError, Kind
from wherry.layers.files import Node
from wherry.layers.tar import TarReader

SOAK = bool(os.environ.get("WHERRY_SOAK"))

members = st.one_of(
    st.tuples(paths, st.sampled_from([b"", b"1", b"22"])).map(lambda pair: file(*pair)),
    st.tuples(paths, st.sampled_from([0o755, 0o700])).map(
        lambda pair: directory(pair[0], mode=pair[1])
    ),
    st.tuples(paths, links).map(lambda pair: symlink(*pair)),
    st.tuples(paths, paths).filter(lambda pair: pair[0] != pair[1]).map(lambda p: hardlink(*p)),
)


def unpacked(files: Files, archived: list[Member]) -> None:
    """Into the root of `files`."""
    machine = Machine(files)
    for info, data in archived:
        parent, _, last = info.name.rpartition("/")
        above = machine.real(parent)
        machine.make(above)
        path = f"{above}/{last}" if above else last
        if info.islnk():
            before, _, name = info.linkname.rpartition("/")
            above = machine.real(before)
            target = f"{above}/{name}" if above else name
            if target not in files or machine.is_directory(target):
                raise RefusedError
            if target.startswith(f"{path}/"):
                raise RefusedError
            new = files[target]
            if target == path:
                continue
        elif info.isdir():
            new = Node("dir", info.mode)
        elif info.issym():
            new = Node("symlink", 0o777, link=info.linkname.encode())
        else:
            new = data
        if not (info.isdir() and machine.is_directory(path)):
            for old in [one for one in files if one == path or one.startswith(f"{path}/")]:
                del files[old]
        files[path] = new


@settings(max_examples=3_000 if SOAK else 100, deadline=None)
@given(trees(), trees(), st.lists(members, min_size=1, max_size=6), names)
def test_the_result_is_that_of_a_chroot(
    outside: Files, inside: Files, archived: list[Member], to: str
) -> None:
    target = {f"z/{path}": what for path, what in outside.items()}
    target |= {f"{to}/{path}": what for path, what in inside.items()}
    target |= {"z": Node("dir", 0o755), to: Node("dir", 0o755)}
    expected: Files | None = dict(inside)
    assert expected is not None
    try:
        unpacked(expected, archived)
    except RefusedError:
        expected = None
    source = MemoryTree({"archive": archive(*archived)})
    made = plan(source, "archive", to=f"/{to}", upon=MemoryTree(target), unpack=True)
    try:
        tar = whole(made)
    except EngineError as error:
        refused = error
    else:
        assert expected is not None
        found = overlaid(target, tar)
        assert {path: what for path, what in found.items() if path.startswith("z")} == {
            path: what for path, what in target.items() if path.startswith("z")
        }
        below = {path[2:]: what for path, what in found.items() if path.startswith(f"{to}/")}
        assert below == expected
        return
    assert refused.kind is Kind.INVALID_ARGUMENT
    assert expected is None, refused.message


@settings(max_examples=3_000 if SOAK else 60, deadline=None)
@given(st.lists(members, min_size=1, max_size=8), trees())
def test_the_layer_is_one_that_drivers_take(
    tmp_path_factory, archived: list[Member], target: Files
) -> None:
    source = MemoryTree({"archive": archive(*archived)})
    made = plan(source, "archive", to="/", upon=MemoryTree(target), unpack=True)
    try:
        tar = whole(made)
    except EngineError:
        return
    write_layer(tar, tmp_path_factory.getbasetemp() / "unpacked.layer")


@settings(max_examples=5_000 if SOAK else 100, deadline=None)
@given(
    st.lists(members, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4),
)
def test_a_damaged_archive_is_refused_or_read(
    archived: list[Member], damage: list[tuple[int, int]]
) -> None:
    data = bytearray(archive(*archived))
    for at, byte in damage:
        data[at] = byte
    source = MemoryTree({"archive": bytes(data)})
    try:
        tar = whole(plan(source, "archive", to="/x/", upon=MemoryTree({}), unpack=True))
    except EngineError as error:
        assert error.message  # noqa: PT017
        return
    for entry in TarReader(io.BytesIO(tar)):
        assert entry.name == b"x" or entry.name.startswith(b"x/")
