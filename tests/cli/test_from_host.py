"""`wherry image from-host`: what it lists, writes and sends."""

import hashlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

Archive = tuple[dict[str, object], dict[str, object], list[str]]


def opened(data: bytes) -> Archive:
    """The item of its manifest, the config, and the names in the layer."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:

        def read(name: str) -> bytes:
            file = tar.extractfile(name)
            assert file
            return file.read()

        (item,) = json.loads(read("manifest.json"))
        config = read(item["Config"])
        assert item["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
        (name,) = item["Layers"]
        layer = read(name)
    document = json.loads(config)
    assert document["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return item, document, tar.getnames()


def test_an_archive_with_all_that_was_said(wherry, tmp_path: Path) -> None:
    out = tmp_path / "out.tar"
    (tmp_path / "file").write_text("x")
    done = wherry(
        "image", "from-host", "-t", "tools:1", "-t", "other", "-o", str(out), "--shell",
        "--cmd", "ls -l '/a b'", "--entrypoint", '["/bin/sh", "-c"]', "-e", "A=b=c", "-e", "LANG",
        "-l", "x=y", "-u", "7:8", "-w", "/srv", "--add", f"{tmp_path}/file:/srv/", "ls",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    item, document, names = opened(out.read_bytes())
    assert item["RepoTags"] == ["tools:1", "other:latest"]
    config = document["config"]
    assert config.pop("Env")[1:] == ["A=b=c", "LANG=C"]
    assert config == {
        "User": "7:8", "Cmd": ["ls", "-l", "/a b"], "Entrypoint": ["/bin/sh", "-c"],
        "WorkingDir": "/srv", "Labels": {"x": "y"},
    }  # fmt: skip
    assert document["history"][0]["created_by"] == "wherry image from-host ls"
    assert {"srv/file", os.path.realpath("/bin/sh")[1:]} <= set(names)
    assert out.stat().st_mode & 0o777 == 0o600


def test_the_same_is_the_same(wherry, tmp_path: Path) -> None:
    ids = {wherry("image", "from-host", "-q", "-o", f"{tmp_path}/{n}", "-t", "x", "ls").stdout
           for n in "ab"}  # fmt: skip
    assert len(ids) == 1
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_it_is_loaded(wherry, canned) -> None:
    message = {"stream": "Loaded image: tools:latest\n"}
    canned.answers["POST", "/images/load"] = (200, message)
    done = wherry("image", "from-host", "-t", "tools", "busybox" if _busybox() else "sh")
    assert (done.returncode, done.stdout) == (0, b"Loaded image: tools:latest\n"), done.stderr
    _, document, _ = opened(canned.requests[-1][3])
    assert document["config"]["Cmd"] == (["sh"] if _busybox() else [shutil.which("sh")])
    done = wherry("image", "from-host", "-q", "-t", "tools", "ls")
    assert done.stdout.startswith(b"sha256:")


def _busybox() -> bool:
    return shutil.which("busybox") is not None


def test_a_list_of_what_and_why(wherry) -> None:
    ls = os.path.realpath(shutil.which("ls") or "")
    done = wherry("image", "from-host", "--dry-run", "ls")
    lines = done.stdout.decode().splitlines()
    assert lines[0].split() == ["PATH", "SIZE", "NEEDED", "BY"]
    assert any(line.split()[0] == ls and line.endswith("named") for line in lines)
    assert any(line.endswith(f"loader of {ls}") for line in lines)
    assert f"{len(lines) - 1} files, ".encode() in done.stderr
    done = wherry("image", "from-host", "--dry-run", "--format", "json", "ls")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    (row,) = [row for row in rows if row["Path"] == ls]
    assert (row["Why"], row["Bytes"]) == ("named", os.path.getsize(ls))


def test_a_directory_is_one_line_unless_asked(wherry, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text("12345")
    words = ("image", "from-host", "--dry-run", "--add", f"{tmp_path}:/data")
    text = wherry(*words).stdout.decode()
    (line,) = [line for line in text.splitlines() if line.startswith("/data")]
    assert line.split() == ["/data/", "(2", "files)", "10B", "added"]
    text = wherry(*words, "--no-trunc").stdout.decode()
    assert [line.split()[0] for line in text.splitlines() if "/data" in line] == [
        "/data/one", "/data/two",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ls"], "an image needs a name: -t NAME"),
        (["-t", "X", "ls"], "must be lowercase"),
        (["-t", "x"], "at least one program"),
        (["-t", "x", "no-such-program"], "this host has no program 'no-such-program'"),
        (["-t", "x", "--with", "zones,cheese", "ls"], "there is no 'cheese' to add"),
        (["-t", "x", "--add", "/etc/passwd:etc", "ls"], "etc is not an absolute path"),
        (["-t", "x", "--add", ":/etc", "ls"], "it is written FILE[:DEST]"),
        (["-t", "x", "--cmd", "'", "ls"], "--cmd ': No closing quotation"),
        (["-t", "x", "--cmd", "[1]", "ls"], "no list of strings"),
        (["-t", "x", "-o", "/no/such/file", "ls"], "write /no/such/file: no such file"),
    ],
)
def test_what_cannot_be_is_said(wherry, words: list[str], says: str) -> None:
    done = wherry("image", "from-host", *words)
    assert done.returncode == 1
    assert says in done.stderr.decode()
    assert done.stdout == b""
