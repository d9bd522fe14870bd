"""Programs of the host, made an image and run: by us, and by those who take our archive."""

import shutil
import subprocess
from pathlib import Path

import pytest
from daemons import Daemon
from programs import find

pytestmark = pytest.mark.root


def test_an_image_of_programs_runs(daemon: Daemon) -> None:
    wherry = find("wherry", f"unix://{daemon.socket}")
    said = wherry.ok("image", "from-host", "-t", "tools", "--shell", "ls", "cat", "id")
    assert said == "Loaded image: tools:latest"
    try:
        ran = wherry.ok("run", "--rm", "--network", "none", "tools", "sh", "-c", "id -un; ls -d /*")
        assert ran.split()[0] == "root"
        assert "/etc" in ran
        again = wherry.ok("image", "from-host", "-q", "-t", "again", "--shell", "ls", "cat", "id")
        assert again == wherry.ok("image", "inspect", "-f", "{{.Id}}", "again")
        assert again == wherry.ok("image", "inspect", "-f", "{{.Id}}", "tools")
    finally:
        wherry.run("rmi", "-f", "tools", "again")


def test_what_changes_on_its_way_is_no_image(daemon: Daemon) -> None:
    """A file of sysfs is said to be longer than what can be read of it."""
    lying = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not lying.exists():
        pytest.skip(f"needs {lying}")
    wherry = find("wherry", f"unix://{daemon.socket}")
    before = wherry.ok("images", "-q")
    done = wherry.run("image", "from-host", "-t", "bad", "--add", f"{lying}:/x", "ls")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"wherry: {lying} became shorter while it was read\n"
    assert wherry.ok("images", "-q") == before


@pytest.mark.peer
def test_skopeo_takes_the_archive(daemon: Daemon, tmp_path: Path) -> None:
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    wherry = find("wherry", f"unix://{daemon.socket}")
    archive = tmp_path / "tools.tar"
    identity = wherry.ok("image", "from-host", "-q", "-t", "t:1", "-o", str(archive), "ls")
    subprocess.run(
        ["skopeo", "copy", "-q", f"docker-archive:{archive}:t:1", f"oci:{tmp_path}/layout:t"],
        check=True,
    )
    config = subprocess.run(
        ["skopeo", "inspect", "--config", f"docker-archive:{archive}:t:1"],
        capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    assert "wherry image from-host ls" in config
    assert identity.startswith("sha256:")
