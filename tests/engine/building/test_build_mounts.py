"""What a RUN can have mounted, on the real kernel; and what hostile ones try with it."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
from steps import Bench, Heard, layer

from wherry.build.protocols import (
    CacheMount,
    LayersMount,
    SecretMount,
    SocketMount,
    TmpfsMount,
)
from wherry.errdefs import EngineError
from wherry.linux import cgroups
from wherry.spec.digest import Digest

pytestmark = pytest.mark.root

SECRET = b"a secret that is on no disk: 8c1f0e"


@pytest.fixture
def source(bench: Bench) -> tuple[Digest, ...]:
    """Two layers: the upper one hides a file of the lower, and has a symlink that leads out."""
    return bench.add(
        layer(
            ("src", None, 0o755),
            ("src/app", None, 0o755),
            ("src/app/main", b"print\n", 0o640),
            ("src/app/old", b"old\n", 0o644),
            ("one", b"a file\n", 0o600),
        ),
        layer(
            ("src/app/.wh.old", b"", 0o644),
            ("src/app/new", b"new\n", 0o644),
            ("out", "../../../../etc", 0o777),
            ("etc", None, 0o755),
            ("etc/inner", b"", 0o644),
        ),
    )


async def test_files_of_layers(bench: Bench, source: tuple[Digest, ...]) -> None:
    ran = await bench.run(
        "ls /whole /a/part; cat /a/part/main /x/y/file; touch /a/part/no; echo no > /x/y/file",
        mounts=(
            LayersMount("/whole", source),
            LayersMount("/a/part", source, "src/app"),
            LayersMount("/x/y/file", source, "one"),
        ),
    )
    assert ran.output == ("/a/part:\nmain\nnew\n\n/whole:\netc\none\nout\nsrc\nprint\na file\n")
    assert ran.errors.count("Read-only file system") == 2
    assert ran.layer == set()


async def test_one_layer_and_none(bench: Bench, source: tuple[Digest, ...]) -> None:
    mounts = (LayersMount("/one", source[:1]), LayersMount("/none", ()))
    ran = await bench.run("ls /one; ls -A /none; touch /none/no", mounts=mounts)
    assert ran.output == "one\nsrc\n"
    assert "Read-only" in ran.errors


async def test_what_is_written_upon_layers_is_thrown_away(
    bench: Bench, source: tuple[Digest, ...]
) -> None:
    mounts = (
        LayersMount("/rw", source, "src/app", writable=True),
        LayersMount("/file", source, "one", writable=True),
    )
    command = "echo x > /rw/main && rm /rw/new && echo y >> /file && cat /rw/main /file && ls /rw"
    ran = await bench.run(command, mounts=mounts)
    assert ran.output == "x\na file\ny\nmain\n"
    assert ran.layer == set()
    again = await bench.run("cat /rw/main /file; ls /rw", mounts=mounts)
    assert again.output == "print\na file\nmain\nnew\n"


async def test_a_source_that_leads_out_stays_inside(
    bench: Bench, source: tuple[Digest, ...]
) -> None:
    ran = await bench.run("ls /m", mounts=(LayersMount("/m", source, "out"),))
    assert ran.output == "inner\n"
    for path in ("../../etc/passwd", "nothing", "src/app/old"):
        with pytest.raises(EngineError, match=r'"/m": no such file'):
            await bench.run("ls /m", mounts=(LayersMount("/m", source, path),))


async def test_mounts_within_mounts(bench: Bench, source: tuple[Digest, ...]) -> None:
    mounts = (
        SecretMount("/t/deep/secret", SECRET),
        LayersMount("/t/deep", source, "src", writable=True),
        TmpfsMount("/t"),
    )
    ran = await bench.run("cat /t/deep/app/main; cat /t/deep/secret; ls /t", mounts=mounts)
    assert ran.output == f"print\n{SECRET.decode()}deep\n"
    assert ran.layer == set()


async def test_tmpfs(bench: Bench) -> None:
    ran = await bench.run(
        "dd if=/dev/zero of=/t/x bs=64k count=32; ls -l /t/x; stat -c %a /t",
        mounts=(TmpfsMount("/t", 1 << 20),),
    )
    assert "No space left" in ran.errors
    assert "1048576" in ran.output
    assert ran.output.endswith("1777\n")


async def test_a_cache_is_a_folder_of_the_host(bench: Bench, tmp_path: Path) -> None:
    mount = CacheMount("/root/.cache/deep", tmp_path)
    ran = await bench.run("echo x > /root/.cache/deep/file", mounts=(mount,))
    assert (ran.ended.exit_code, ran.layer) == (0, set())
    assert (tmp_path / "file").read_text() == "x\n"
    read_only = CacheMount("/c", tmp_path, writable=False)
    ran = await bench.run("cat /c/file; touch /c/no", mounts=(read_only,))
    assert ran.output == "x\n"
    assert "Read-only" in ran.errors


async def test_a_secret_is_on_no_disk(bench: Bench) -> None:
    mounts = (
        SecretMount("/run/secrets/one", SECRET, 0o440, 5, 6),
        SecretMount("/dev/pipes/script", b"#!/bin/sh\necho a script\n", 0o755),
    )
    command = "cat /run/secrets/one; stat -c '%a %u %g' /run/secrets/one; /dev/pipes/script; "
    command += (
        "echo x > /run/secrets/one; stat -f -c %T /run/secrets/one; echo $E; busybox sleep 0.1"
    )
    env = ("PATH=/bin", f"E={SECRET.decode()}")
    step = bench.step("sh", "-c", command, mounts=mounts, env=env)
    found: list[str] = []

    def look(stream: str, data: bytes) -> None:
        if stream == "stdout" and not found:
            found.append(data.decode())
            assert _holding(bench.where.data_root, SECRET) == []
            assert _holding(bench.where.exec_root, SECRET) == []

    async with bench.prepared(step):
        ended = await bench.executor.run(step, look)
        assert bench.changed(step) == set()
    assert ended.exit_code == 0
    assert found[0].startswith(SECRET.decode())
    ran = await bench.run(command, mounts=mounts, env=env)
    assert ran.output == f"{SECRET.decode()}440 5 6\na script\nramfs\n{SECRET.decode()}\n"
    assert "Read-only" in ran.errors
    assert bench.stores.snapshots.wait_until_clean(30)  # nothing goes while we look
    assert _holding(bench.where.data_root, SECRET) == []
    assert _holding(bench.where.exec_root, SECRET) == []


def _holding(folder: Path, text: bytes) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if text in path.read_bytes()]


async def test_a_large_secret(bench: Bench) -> None:
    content = os.urandom(500 * 1024)
    ran = await bench.run("busybox sha256sum /s", mounts=(SecretMount("/s", content),))
    assert ran.output.split()[0] == Digest.of(content).hex


class Agent:
    """Answers each line with itself in capitals."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def __aenter__(self) -> Path:
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self.path

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()


@pytest.fixture
def short(tmp_path: Path) -> Iterator[Path]:
    """A folder with a short name: a socket's path has 107 bytes at most."""
    path = Path(f"/tmp/wherry-test-{os.getpid()}")
    path.mkdir()
    yield path
    for left in path.iterdir():
        left.unlink()
    path.rmdir()


async def ask(bench: Bench, mount: SocketMount, question: bytes) -> tuple[str, bytes]:
    """(how the socket looks to the step, what is answered at it)."""
    command = f"stat -c '%a %u %g' {mount.target}; sleep 1000"
    step = bench.step("sh", "-c", command, mounts=(mount,), user="1234")
    heard = Heard()
    async with bench.prepared(step):
        running = asyncio.create_task(bench.executor.run(step, heard))
        await bench.until(lambda: bool(heard.stdout))
        pid = min(cgroups.detect().pids(f"{bench.where.cgroup_parent}/{step.id}"))
        reader, writer = await asyncio.open_unix_connection(f"/proc/{pid}/root{mount.target}")
        writer.write(question)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert bench.changed(step) == set()
    return heard.stdout.decode(), answer


async def test_a_socket(bench: Bench, short: Path) -> None:
    async with Agent(short / "agent") as path:
        mount = SocketMount("/run/buildkit/ssh_agent.0", path, 0o600, 1234, 77)
        lines = b"hello\n" * 50_000
        assert await ask(bench, mount, lines) == ("600 1234 77\n", lines.upper())


async def test_a_socket_that_nobody_listens_at(bench: Bench, short: Path) -> None:
    mount = SocketMount("/s", short / "nobody")
    assert await ask(bench, mount, b"") == ("600 0 0\n", b"")


async def test_a_target_that_cannot_be(bench: Bench) -> None:
    for target, words in (("/", "can't be '/'"), ("a", "must be absolute")):
        with pytest.raises(EngineError, match=words):
            await bench.run("true", mounts=(TmpfsMount(target),))


# --- Hostile ones ---------------------------------------------------------------------------------


async def test_a_target_through_a_symlink_stays_inside(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    bench.stack += bench.add(
        layer(("link", f"../../../../../..{outside}", 0o777), ("slash", "/", 0o777))
    )
    # The one has no directory to lead to, inside, so that is made; the other leads to the root.
    ran = await bench.run(f"touch /link/x/y; ls {outside}/x", mounts=(TmpfsMount("/link/x"),))
    assert ran.output == "y\n"
    assert ran.layer == set()
    ran = await bench.run("touch /slash/a/b/x; ls /a/b", mounts=(TmpfsMount("/slash/a/b"),))
    assert ran.output == "x\n"
    assert ran.layer == set()
    assert os.listdir(outside) == []


async def test_a_step_that_puts_symlinks_where_our_places_were(
    bench: Bench, tmp_path: Path
) -> None:
    """What is taken out of the snapshot afterwards is looked for through no symlink."""
    outside = tmp_path / "outside"
    (outside / "b").mkdir(parents=True)
    (outside / "hosts").touch()
    mtime = outside.stat().st_mtime_ns
    ran = await bench.run(
        f"mv /a /moved && ln -s {outside} /a && busybox umount /etc/hosts; mv /etc /etc2; "
        f"ln -s {outside} /etc",
        mounts=(TmpfsMount("/a/b"),),
    )
    assert sorted(os.listdir(outside)) == ["b", "hosts"]
    assert outside.stat().st_mtime_ns == mtime
    assert {"a", "moved/", "moved/b/"} <= ran.layer


async def test_a_place_that_has_been_used_stays(bench: Bench) -> None:
    ran = await bench.run("touch /a/kept; mkdir /a/dir", mounts=(TmpfsMount("/a/b"),))
    assert {name for name in ran.layer if ".wh." not in name} == {"a/", "a/kept", "a/dir/"}


async def test_nothing_of_the_hosts_is_seen(bench: Bench, source: tuple[Digest, ...]) -> None:
    ran = await bench.run(
        "cat /proc/self/mountinfo; ls -l /proc/self/fd",
        mounts=(LayersMount("/m", source, "src"), SecretMount("/s", SECRET)),
    )
    assert str(bench.where.data_root) not in ran.output
    assert "memfd" not in ran.output
    assert not leaks.mounts(str(bench.where.exec_root))
