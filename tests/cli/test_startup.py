"""Starting fast is a feature: a command imports what it needs, and nothing that is slow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from buildserver import BuildServer

SOURCE = Path(__file__).parents[2] / "src"
SCRIPT = Path(__file__).parents[2] / "scripts" / "wherry"
REPORTING = (
    f"import sys; sys.path.append({str(SOURCE)!r}); from wherry.cli import main; "
    "code = main(sys.argv[1:]); sys.stdout.flush(); "
    "import posix; posix.write(2, ' '.join(sys.modules).encode()); posix._exit(code)"
)
# What costs more than a millisecond and can be done without.
SLOW = {
    "argparse", "asyncio", "collections", "dataclasses", "datetime", "enum", "functools",
    "http.client", "inspect", "json", "logging", "msgspec", "pathlib", "re", "selectors", "signal",
    "socket", "subprocess", "tempfile", "threading", "typing", "urllib.parse",
}  # fmt: skip


EVENT = {
    "Type": "container", "Action": "start", "Actor": {"ID": "x", "Attributes": {"name": "web"}},
    "time": 1, "timeNano": 1_000_000_000,
}  # fmt: skip


def modules_after(canned, *words: str, code: int = 0) -> set[str]:
    """The modules that are there when a command has done its work, and ended with `code`."""
    command = [sys.executable, "-I", "-S", "-c", REPORTING, "-H", f"unix://{canned.path}", *words]
    result = subprocess.run(command, capture_output=True, timeout=30)
    assert result.returncode == code, result.stderr
    return set(result.stderr.decode().splitlines()[-1].split())


def test_the_version_needs_nothing() -> None:
    command = [sys.executable, "-I", "-S", "-c", REPORTING, "--version"]
    result = subprocess.run(command, capture_output=True, timeout=30)
    assert result.stdout.startswith(b"Wherry version ")
    ours = {name for name in result.stderr.decode().split() if name.startswith("wherry")}
    assert ours == {"wherry", "wherry.cli"}


@pytest.mark.parametrize(
    ("words", "most"),
    [
        (["ps"], 55),
        (["ps", "--format", "{{.ID}}"], 65),
        (["inspect", "-f", "{{.Id}}", "x"], 65),
        (["images", "-q"], 55),
        (["images"], 55),
        (["events", "--until", "0s"], 55),
        (["events", "--format", "json"], 55),
        (["system", "df"], 58),
        (["restart", "x"], 52),
        (["rename", "x", "y"], 52),
        (["logs", "x"], 55),
        (["history", "x"], 55),
        (["tag", "x", "y"], 55),
        (["__complete", "--", "stop", ""], 57),
        (["completion", "bash"], 45),
        (["stop", "x"], 52),
        (["rm", "-f", "x"], 52),
        (["inspect", "x"], 52),
        (["run", "-d", "--network", "none", "-v", "/a:/b", "-e", "A=b", "image", "true"], 60),
    ],
)
def test_a_command_imports_little(canned, words: list[str], most: int) -> None:
    canned.answers["GET", "/containers/json"] = (200, [])
    canned.answers["GET", "/images/json"] = (200, [])
    canned.answers["GET", "/images/x/history"] = (200, [])
    canned.answers["POST", "/images/x/tag"] = (201, b"")
    canned.answers["GET", "/events"] = (200, json.dumps(EVENT).encode())
    canned.answers["GET", "/system/df"] = (200, {})
    canned.answers["GET", "/containers/x/json"] = (200, {"Id": "x", "Config": {"Tty": True}})
    canned.answers["GET", "/containers/x/logs"] = (200, b"said\n")
    canned.answers["POST", "/containers/x/restart"] = (204, b"")
    canned.answers["POST", "/containers/x/rename"] = (204, b"")
    canned.answers["POST", "/containers/x/stop"] = (204, b"")
    canned.answers["DELETE", "/containers/x"] = (204, b"")
    canned.answers["POST", "/containers/create"] = (201, {"Id": "i", "Warnings": None})
    canned.answers["POST", "/containers/i/start"] = (204, b"")
    imported = modules_after(canned, *words)
    assert not imported & SLOW
    assert len(imported) <= most, sorted(imported)


@pytest.mark.parametrize(
    ("words", "most"),
    [
        (["stop", "nothing"], 56),
        (["rm", "nothing", "nobody"], 56),
        (["inspect", "nothing"], 56),
        (["nonsense"], 40),
        (["ps", "--nonsense"], 48),
    ],
)
def test_failing_imports_little_too(canned, words: list[str], most: int) -> None:
    code = 125 if words[0] == "ps" else 1
    imported = modules_after(canned, *words, code=code)
    assert not imported & SLOW
    assert len(imported) <= most, sorted(imported)


def test_a_build_imports_little(short_path: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\n")
    server = BuildServer(short_path / "build.sock")
    try:
        imported = modules_after(server, "build", "-q", str(tmp_path))
    finally:
        server.close()
    assert not imported & SLOW
    assert len(imported) <= 67, sorted(imported)


def test_the_script_finds_the_python_beside_it(tmp_path: Path) -> None:
    """As an environment has them: `bin/python`, `lib/pythonX.Y/site-packages`; also by a link."""
    packages = tmp_path / "env/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (packages / "site-packages").mkdir(parents=True)
    (packages / "site-packages/_editable_impl_wherry.pth").write_text(f"{SOURCE}\n")
    (tmp_path / "env/bin").mkdir()
    (tmp_path / "env/bin/python").symlink_to(sys.executable)
    script = tmp_path / "env/bin/wherry"
    script.write_bytes(SCRIPT.read_bytes())
    script.chmod(0o755)
    link = tmp_path / "wherry"
    link.symlink_to(script)
    (tmp_path / "wherry-decoy").mkdir()
    for program in (script, link):
        result = subprocess.run(
            [program, "--version"], capture_output=True, cwd=tmp_path, env={**os.environ, "X": "'"}
        )
        assert result.stdout.startswith(b"Wherry version "), result.stderr
