"""COPY upon any tree comes to what copying files one by one comes to."""

import io
import os
import posixpath

from copies import plan, whole
from copymachine import Files, Machine, RefusedError, overlaid, paths, trees
from hypothesis import given, settings
from hypothesis import strategies as st
from memorytrees import MemoryTree

from wherry.errdefs import EngineError, Kind
from wherry.layers.tar import TarReader

SOAK = bool(os.environ.get("WHERRY_SOAK"))


sources = st.one_of(paths, st.sampled_from([".", "/", "a/..", "../b"]))
destinations = st.tuples(paths, st.sampled_from(["", "/"])).map("".join) | st.just("/")


@settings(max_examples=3_000 if SOAK else 100, deadline=None)
@given(
    trees(),
    trees(),
    st.lists(sources, min_size=1, max_size=2),
    destinations.map(lambda to: f"/{to}"),
)
def test_the_result_is_that_of_copying_one_by_one(
    source: Files, target: Files, patterns: list[str], to: str
) -> None:
    expected: Files | None = dict(target)
    assert expected is not None
    machine = Machine(expected)
    try:
        for pattern in patterns:
            machine.copy(Machine(source), pattern, posixpath.normpath(to) + "/" * to.endswith("/"))
    except RefusedError:
        expected = None
    try:
        made = plan(MemoryTree(source), *patterns, to=to, upon=MemoryTree(target))
        found = overlaid(target, whole(made))
    except EngineError as refusal:
        error = refusal
        if "more than one source file" in error.message:
            return  # BuildKit loses all but the last
    else:
        assert found == expected
        return
    assert error.kind is Kind.INVALID_ARGUMENT
    assert expected is None, error.message


@settings(max_examples=5_000 if SOAK else 150, deadline=None)
@given(st.binary(min_size=1, max_size=40), st.binary(max_size=20), st.text(max_size=20))
def test_no_name_gets_through_that_tar_does_not_give_back(
    name: bytes, content: bytes, destination: str
) -> None:
    parts = [part for part in name.split(b"/") if part not in (b"", b".", b"..")]
    name = b"/".join(parts).replace(b"\0", b"")
    if not name or b"//" in name or name.endswith(b"/"):
        return
    try:
        tar = whole(plan(MemoryTree({name: content}), ".", to=f"{destination}/x/"))
    except EngineError as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert refused.kind is Kind.INVALID_ARGUMENT
        return
    entries = list(TarReader(io.BytesIO(tar)))
    assert entries[-1].name.endswith(b"x/" + name)
    assert (entries[-1].kind, entries[-1].size) == ("file", len(content))
