"""The real programs: what dockerd, podman and skopeo save loads, and they load what is saved."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.layers.tar import read_tar

pytestmark = [
    pytest.mark.peer,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as the peers do"),
]


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """A file system of busybox alone, as a tar."""
    busybox = program("busybox")
    path = tmp_path / "rootfs.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(os.path.realpath(busybox), "bin/busybox")
        for applet in ("sh", "true", "echo"):
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(info)
    return path


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory for sockets, whose names may have 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="peer-", dir="/tmp") as directory:
        yield Path(directory)


def run(*command: object) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise AssertionError(f"{command}: {done.stderr}")
    return done.stdout.strip()


def check(world, archive: Path, image_id: str, *names: str) -> None:
    """The archive loads as the image that the peer says it is, busybox and all."""
    with archive.open("rb") as stream:
        loaded = world.images.load(stream)
    assert [one.id for one in loaded] == [f"sha256:{image_id}"] * len(loaded)
    assert sorted(one.name.familiar() for one in loaded if one.name) == sorted(names)
    stored = world.images.resolve(image_id)
    tars = [io.BytesIO(world.snapshots.kept[diff_id][0]) for diff_id in stored.diff_ids]
    files = {entry.name for tar in tars for entry, _ in read_tar(tar)}
    assert files >= {b"bin/busybox", b"bin/sh"}
    assert stored.size >= os.path.getsize(os.path.realpath(program("busybox")))


@contextlib.contextmanager
def dockerd(directory: Path) -> Iterator[str]:
    """A dockerd of its own without any network; its address."""
    address = f"unix://{directory}/docker.sock"
    command = [
        program("dockerd"), "--data-root", directory / "data", "--exec-root", directory / "exec",
        "--pidfile", directory / "pid", "-H", address, "--bridge", "none", "--iptables=false",
        "--storage-driver", "vfs",
    ]  # fmt: skip
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while subprocess.run(["docker", "-H", address, "version"], capture_output=True).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.skip(
                    f"dockerd does not start here: {(directory / 'log').read_text()[-500:]}"
                )
            time.sleep(0.05)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def test_what_docker_saves_is_loaded(world, rootfs: Path, short_path: Path) -> None:
    program("docker")
    with dockerd(short_path) as address:
        docker = ("docker", "-H", address)
        image_id = run(*docker, "import", rootfs, "box:1").removeprefix("sha256:")
        run(*docker, "tag", "box:1", "example.com:5000/team/box:2")
        run(*docker, "save", "-o", short_path / "one.tar", "box:1")
        run(*docker, "save", "-o", short_path / "two.tar", "box:1", "example.com:5000/team/box:2")
        run(*docker, "save", "-o", short_path / "id.tar", image_id)
    check(world, short_path / "one.tar", image_id, "box:1")
    check(world, short_path / "two.tar", image_id, "box:1", "example.com:5000/team/box:2")
    world.images.delete(image_id, force=True)
    check(world, short_path / "id.tar", image_id)


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_what_podman_saves_is_loaded(world, rootfs: Path, short_path: Path, form: str) -> None:
    podman = (
        program("podman"), "--root", short_path / "root", "--runroot", short_path / "run",
        "--tmpdir", short_path / "tmp", "--storage-driver", "vfs",
    )  # fmt: skip
    image_id = run(*podman, "import", "-q", rootfs, "localhost/box:1").removeprefix("sha256:")
    archive = short_path / f"{form}.tar"
    run(*podman, "save", "-q", "--format", form, "-o", archive, "localhost/box:1")
    # Podman's IDs are of its own (OCI) config; a docker-archive gets another config.
    with archive.open("rb") as stream:
        (loaded,) = world.images.load(stream)
    if form == "oci-archive":
        assert loaded.id.hex == image_id
    check(world, archive, loaded.id.hex, "localhost/box:1")


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("compressed", [False, True])
def test_what_skopeo_writes_is_loaded(
    world, archives, rootfs: Path, tmp_path: Path, form: str, compressed: bool
) -> None:
    skopeo = (program("skopeo"), "--insecure-policy", "--tmpdir", tmp_path)
    image = archives.image(rootfs.read_bytes(), names=["1"])
    layout = tmp_path / "layout"
    for name, data in archives.oci(image):
        (layout / name).parent.mkdir(parents=True, exist_ok=True)
        (layout / name).write_bytes(data)
    archive = tmp_path / "out.tar"
    how = ["--dest-compress"] if compressed and form == "oci-archive" else []
    run(*skopeo, "copy", "-q", *how, f"oci:{layout}:1", f"{form}:{archive}:example.com/box:1")
    if compressed:
        run("gzip", archive)
        archive = archive.with_name("out.tar.gz")
    with archive.open("rb") as stream:
        (loaded,) = world.images.load(stream)
    check(world, archive, loaded.id.hex, "example.com/box:1")


@pytest.fixture
def saved(world, archives, rootfs: Path, tmp_path: Path) -> tuple[Path, str]:
    """Two images that share a layer, saved; and the ID of the first."""
    base = rootfs.read_bytes()
    config = {"Cmd": ["sh", "-c", "echo it runs"], "Env": ["PATH=/bin"]}
    one = archives.image(base, names=["example.com/box:1", "example.com/box:2"], config=config)
    two = archives.image(base, archives.layer(more="1"), names=["two:latest"], config=config)
    world.load(archives.tar(archives.podman(one, two)))
    archive = tmp_path / "saved.tar"
    archive.write_bytes(b"".join(world.images.save(["example.com/box", "two"])))
    return archive, one.id


def test_docker_loads_what_is_saved(saved, short_path: Path) -> None:
    program("docker")
    archive, image_id = saved
    with dockerd(short_path) as address:
        docker = ("docker", "-H", address)
        loaded = run(*docker, "load", "-i", archive).splitlines()
        assert sorted(loaded) == [
            "Loaded image: example.com/box:1",
            "Loaded image: example.com/box:2",
            "Loaded image: two:latest",
        ]
        assert run(*docker, "inspect", "-f", "{{.Id}}", "example.com/box:2") == image_id
        made = run(*docker, "create", "--network", "none", "two")
        run(*docker, "cp", f"{made}:/more", short_path / "more")
        run(*docker, "rm", made)
    assert (short_path / "more").read_text() == "1"


def test_podman_loads_what_is_saved(saved, short_path: Path) -> None:
    archive, image_id = saved
    podman = (
        program("podman"), "--root", short_path / "root", "--runroot", short_path / "run",
        "--tmpdir", short_path / "tmp", "--storage-driver", "vfs",
    )  # fmt: skip
    run(*podman, "load", "-i", archive)
    shown = run(*podman, "image", "inspect", "-f", "{{.Id}}", "example.com/box:2")
    assert f"sha256:{shown}" == image_id
    names = run(*podman, "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert {"example.com/box:1", "example.com/box:2"} < set(names)


def test_skopeo_reads_what_is_saved_in_both_its_forms(saved, tmp_path: Path) -> None:
    archive, image_id = saved
    skopeo = (program("skopeo"), "--insecure-policy", "--tmpdir", tmp_path)
    for source in (f"docker-archive:{archive}:example.com/box:1", f"oci-archive:{archive}:1"):
        copied = tmp_path / source.partition(":")[0]
        run(*skopeo, "copy", "-q", source, f"dir:{copied}")
        config = json.loads((copied / "manifest.json").read_bytes())["config"]["digest"]
        assert config == image_id
