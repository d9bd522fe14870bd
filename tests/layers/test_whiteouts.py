import pytest

from wherry.errdefs import EngineError, Kind
from wherry.layers import whiteouts


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        (b".wh.file", b"file"),
        (b".wh..hidden", b".hidden"),
        (b".wh....", b"..."),
        (b".wh.\xff", b"\xff"),
        (b".wh..wh..opq", None),
        (b".wh..wh.plnk", None),
        (b".wh..wh.aufs", None),
        (b"file", None),
        (b".whfile", None),
        (b"x.wh.file", None),
    ],
)
def test_what_a_name_removes(name, hidden):
    assert whiteouts.hidden_name(name) == hidden
    assert whiteouts.is_whiteout(name) == name.startswith(b".wh.")
    assert whiteouts.is_opaque(name) == (name == b".wh..wh..opq")


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh..."])
def test_what_no_name_may_remove(name):
    """`.wh...` would remove the directory above."""
    with pytest.raises(EngineError, match="removes nothing") as caught:
        whiteouts.hidden_name(name)
    assert caught.value.kind is Kind.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("path", "below"),
    [
        (b".wh..wh.plnk/17.4", True),
        (b"a/.wh.b/c", True),
        (b".wh.a/b/c", True),
        (b"a/.wh.b", False),
        (b"a.wh.b/c", False),
        (b"a", False),
    ],
)
def test_below_a_whiteout(path, below):
    assert whiteouts.is_below_whiteout(path) == below


@pytest.mark.parametrize("path", [b"a", b"a/b", b"a/.hidden"])
def test_marks_for_paths_are_understood(path):
    parent, _, name = whiteouts.whiteout_for(path).rpartition(b"/")
    assert (parent, whiteouts.hidden_name(name)) == (path.rpartition(b"/")[0], path.split(b"/")[-1])
    assert whiteouts.opaque_for(path) == path + b"/.wh..wh..opq"


def test_the_root_may_be_opaque():
    assert whiteouts.opaque_for(b"") == b".wh..wh..opq"
