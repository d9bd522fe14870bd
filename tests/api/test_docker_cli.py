"""The stock docker CLI against the API over an engine that only pretends."""

import asyncio
import hashlib
import os
import shutil

import pytest
from fakebuilds import IMAGE

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker CLI"),
]


async def docker(
    served, *arguments: str, stdin: bytes = b"", buildkit: str = ""
) -> tuple[int, bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        "docker",
        f"--host={served.address}",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "DOCKER_BUILDKIT": buildkit},
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 30)
    assert process.returncode is not None
    return process.returncode, out, err


async def test_version_is_negotiated(served) -> None:
    code, out, _ = await docker(served, "version", "--format", "{{.Server.Version}}")
    assert (code, out) == (0, b"0.1.0\n")


async def test_run_with_input(served) -> None:
    code, out, err = await docker(served, "run", "-i", "busybox", "cat", stdin=b"through and back")
    assert (code, out, err) == (7, b"through and back", b"")


async def test_run_with_megabytes(served) -> None:
    sent = os.urandom(8 << 20)
    _, out, _ = await docker(served, "run", "-i", "busybox", "cat", stdin=sent)
    assert hashlib.sha256(out).digest() == hashlib.sha256(sent).digest()


async def test_both_streams_and_an_end_before_the_input_is_read(served) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(served.frame(1, b"out\n") + served.frame(2, b"err\n"))

    served.engine.containers.shim = speak
    code, out, err = await docker(served, "run", "-i", "busybox", "x", stdin=bytes(1 << 20))
    assert (code, out, err) == (7, b"out\n", b"err\n")


async def test_list_inspect_and_logs(served) -> None:
    await docker(served, "create", "--name", "box", "--label", "a=b", "busybox", "cat")
    code, out, _ = await docker(served, "ps", "-a", "--format", "{{.Names}} {{.State}}")
    assert (code, out) == (0, b"box created\n")
    code, out, _ = await docker(served, "inspect", "-f", "{{.Config.Labels.a}}", "box")
    assert (code, out) == (0, b"b\n")
    served.engine.containers.log_chunks = [served.frame(1, b"o\n"), served.frame(2, b"e\n")]
    code, out, err = await docker(served, "logs", "box")
    assert (code, out, err) == (0, b"o\n", b"e\n")


async def test_images_and_load(served) -> None:
    code, out, _ = await docker(served, "images", "--format", "{{.Repository}}:{{.Tag}}")
    assert (code, out) == (0, b"busybox:latest\n")
    code, out, _ = await docker(served, "load", stdin=bytes(1 << 20))
    assert code == 0
    assert b"Loaded image: busybox:latest" in out
    code, _, err = await docker(served, "load", stdin=b"bad archive")
    assert code == 1
    assert b"not an archive" in err


@pytest.mark.parametrize("quiet", [False, True])
async def test_build(served, tmp_path, quiet) -> None:
    """What the CLI shows of a build, and the image's ID that it finds in the stream."""
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN make\n")
    words = ["-q"] if quiet else []
    iid = tmp_path / "iid"
    code, out, _ = await docker(
        served, "build", *words, "-t", "app", "--iidfile", str(iid), str(tmp_path), buildkit="0"
    )
    assert code == 0
    if quiet:
        assert out.decode() == f"{IMAGE}\n"
    else:
        assert out.decode().endswith(
            "Step 2/2 : RUN make\nout 2\n"
            f" ---> {IMAGE[7:19]}\nSuccessfully built {IMAGE[7:19]}\n"
            "Successfully tagged app:latest\n"
        )
    assert iid.read_text().strip() == IMAGE


async def test_refusals_are_readable(served) -> None:
    code, _, err = await docker(served, "pull", "alpine")
    assert code == 1
    assert b"pulling images: not supported" in err
    code, _, err = await docker(served, "run", "missing")
    assert code == 125
    code, _, err = await docker(served, "service", "ls")
    assert b"not a swarm manager" in err
