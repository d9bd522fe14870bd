"""Which snapshotter a data root gets."""

import io
import os
from pathlib import Path

import leaks
import pytest
from layertars import file, layer

from wherry.errdefs import EngineError, Kind
from wherry.snapshots import drivers
from wherry.spec.digest import Digest

pytestmark = pytest.mark.root


def open_blob(diff_id: Digest) -> io.BytesIO:
    return io.BytesIO(diff_id.encode())


def test_overlay_where_it_works(tmp_path: Path):
    mounts, descriptors = leaks.mounts(""), leaks.descriptors()
    snapshotter = drivers.choose(tmp_path, None, open_blob)
    assert snapshotter.name == "overlay"
    assert ("Chosen Because", "overlayfs works here") in snapshotter.status()
    assert (leaks.mounts(""), leaks.descriptors()) == (mounts, descriptors)
    assert os.listdir(tmp_path / "snapshots") == ["overlay"]


def test_native_where_overlay_does_not(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(drivers, "probe_overlay", lambda _: "no overlay in this kernel")
    snapshotter = drivers.choose(tmp_path, None, open_blob)
    assert snapshotter.name == "native"
    assert dict(snapshotter.status())["Chosen Because"].endswith("no overlay in this kernel")


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("overlay", "overlay"), ("overlay2", "overlay"), ("native", "native"), ("vfs", "native")],
)
def test_the_one_that_was_asked_for(tmp_path: Path, wanted: str, name: str):
    assert drivers.choose(tmp_path, wanted, open_blob).name == name


def test_an_unknown_one(tmp_path: Path):
    with pytest.raises(EngineError, match=r"zfs.*overlay") as failure:
        drivers.choose(tmp_path, "zfs", open_blob)
    assert failure.value.kind is Kind.INVALID_ARGUMENT
    assert os.listdir(tmp_path) == []


def test_a_driver_with_layers_stays(tmp_path: Path, monkeypatch):
    native = drivers.choose(tmp_path, "native", open_blob)
    diff_id, tar = layer(file("f"))
    native.apply(diff_id, io.BytesIO(tar))
    assert drivers.choose(tmp_path, None, open_blob).name == "native"

    overlay = drivers.choose(tmp_path, "overlay", open_blob)
    overlay.apply(diff_id, io.BytesIO(tar))
    monkeypatch.setattr(drivers, "probe_overlay", lambda _: "the module is gone")
    with pytest.raises(EngineError, match="the module is gone") as failure:
        drivers.choose(tmp_path, None, open_blob)
    assert failure.value.kind is Kind.UNAVAILABLE


def test_the_probe_says_what_the_kernel_said(tmp_path: Path):
    """An overlay's upper directory cannot be on an overlay."""
    snapshotter = drivers.choose(tmp_path, "overlay", open_blob)
    mount = snapshotter.prepare("k", []).open()
    try:
        said = drivers.probe_overlay(Path(f"/proc/self/fd/{mount}/inside"))
    finally:
        os.close(mount)
    assert said is not None
    assert said.startswith("invalid argument")
    snapshotter.remove("k")
