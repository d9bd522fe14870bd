"""Which snapshotter a data root gets."""

import io
import os
from pathlib import Path
from types import SimpleNamespace

import leaks
import pytest
from layertars import file, layer

from wherry.errdefs import EngineError, Kind
from wherry.snapshots import drivers, probing
from wherry.snapshots.protocol import Snapshotter
from wherry.spec.digest import Digest

pytestmark = pytest.mark.root


def open_blob(diff_id: Digest) -> io.BytesIO:
    return io.BytesIO(diff_id.encode())


def refuse(monkeypatch: pytest.MonkeyPatch, images: str | None, overlay: str | None) -> None:
    """Let probes of images from files and of overlays say this."""
    real = probing.why_no_images
    monkeypatch.setattr(
        probing,
        "why_no_images",
        lambda path, by_loop: images if images and not by_loop else real(path, by_loop),
    )
    if overlay:
        monkeypatch.setattr(probing, "why_no_overlay", lambda _: overlay)


def why(snapshotter: Snapshotter) -> str:
    return dict(snapshotter.status())["Chosen Because"]


def test_images_where_they_work(tmp_path: Path):
    mounts, descriptors = leaks.mounts(""), leaks.descriptors()
    snapshotter = drivers.choose(tmp_path, None, open_blob)
    assert snapshotter.name == "erofs"
    assert why(snapshotter) == "the kernel mounts images from files"
    assert dict(snapshotter.status())["Layers Mounted From"] == "files"
    assert (leaks.mounts(""), leaks.descriptors()) == (mounts, descriptors)
    assert sorted(os.listdir(tmp_path / "snapshots")) == ["driver", "erofs"]


def test_loop_devices_where_files_do_not(tmp_path: Path, monkeypatch):
    refuse(monkeypatch, "too old", None)
    snapshotter = drivers.choose(tmp_path, None, open_blob)
    assert snapshotter.name == "erofs"
    assert "loop devices, because not from files: too old" in why(snapshotter)
    assert dict(snapshotter.status())["Layers Mounted From"] == "loop devices"


def test_overlay_where_images_do_not(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(probing, "why_no_images", lambda path, by_loop: "no erofs")
    snapshotter = drivers.choose(tmp_path, None, open_blob)
    assert snapshotter.name == "overlay"
    assert why(snapshotter) == (
        "overlayfs works here; erofs does not work here: from files: no erofs; "
        "by loop devices: no erofs"
    )


def test_native_where_nothing_else_does(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(probing, "why_no_images", lambda path, by_loop: "no erofs")
    refuse(monkeypatch, None, "no overlay in this kernel")
    snapshotter = drivers.choose(tmp_path, None, open_blob)
    assert snapshotter.name == "native"
    assert why(snapshotter).endswith("overlay does not work here: no overlay in this kernel")


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.12.1-1-amd64", (6, 12, 1)),
        ("6.18", (6, 18, 0)),
        ("5.15.0-rc1+", (5, 15, 0)),
        ("6.12.2+deb13", (6, 12, 0)),  # taken for older than it may be
    ],
)
def test_the_kernels_version(monkeypatch, release: str, version: tuple[int, int, int]):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=release))
    assert probing.kernel_version() == version


def test_a_kernel_that_could_stop_is_not_tried(tmp_path: Path, monkeypatch):
    """CVE-2024-56750."""
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release="6.12.1"))
    monkeypatch.setattr(probing, "_try_images", lambda *_: pytest.fail("it was tried"))
    assert probing.why_no_images(tmp_path, by_loop=False) == "Linux 6.12.1 is older than 6.12.2"


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("erofs", "erofs"),
        ("overlay", "overlay"),
        ("overlay2", "overlay"),
        ("native", "native"),
        ("vfs", "native"),
    ],
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
    for wanted in (None, "native", "vfs"):
        assert drivers.choose(tmp_path, wanted, open_blob).name == "native"
    with pytest.raises(EngineError, match=r"layers of the storage driver native") as failure:
        drivers.choose(tmp_path, "erofs", open_blob)
    assert failure.value.kind is Kind.CONFLICT
    native.remove_layer(diff_id)
    assert drivers.choose(tmp_path, "overlay", open_blob).name == "overlay"
    assert native.wait_until_clean(30)


def test_a_driver_that_is_in_use_and_does_not_work(tmp_path: Path, monkeypatch):
    overlay = drivers.choose(tmp_path, "overlay", open_blob)
    overlay.prepare("k", [])
    refuse(monkeypatch, None, "the module is gone")
    with pytest.raises(EngineError, match="the module is gone") as failure:
        drivers.choose(tmp_path, None, open_blob)
    assert failure.value.kind is Kind.UNAVAILABLE


def test_the_probe_says_what_the_kernel_said(tmp_path: Path):
    """An overlay's upper directory cannot be on an overlay."""
    snapshotter = drivers.choose(tmp_path, "overlay", open_blob)
    mount = snapshotter.prepare("k", []).open()
    try:
        said = probing.why_no_overlay(Path(f"/proc/self/fd/{mount}/inside"))
    finally:
        os.close(mount)
    assert said is not None
    assert said.startswith("invalid argument")
    snapshotter.remove("k")
