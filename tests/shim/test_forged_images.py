"""Images and specs that put something of their own where the runtime would write or look."""

import asyncio
import os
from pathlib import Path

import pytest
from bundles import CAPABILITIES, Yard

from wherry.errdefs import EngineError, Kind

pytestmark = pytest.mark.root


def forge(yard: Yard, spec: dict, path: str, target: str) -> None:
    """Let the image have a symlink at `path`."""
    bundle, _ = yard.bundle(spec, Path(spec["linux"]["cgroupsPath"]).name)
    link = bundle / "upper" / path
    link.parent.mkdir(exist_ok=True)
    os.symlink(target, link)


def without_dev(spec: dict) -> dict:
    spec["mounts"] = [each for each in spec["mounts"] if not each["destination"].startswith("/dev")]
    return spec


async def test_a_forged_null_device_masks_nothing(yard: Yard) -> None:
    """CVE-2025-31133: a mask made of the image's /dev/null would mount what that leads to."""
    spec = without_dev(yard.spec("stat", "-c", "%F %t:%T", "/proc/keys"))
    forge(yard, spec, "dev/null", "/proc/sysrq-trigger")
    ran = await yard.run(spec=spec)
    assert (ran.output, ran.errors) == ("character special file 1:3\n", "")


@pytest.mark.parametrize("change", ["chmod 666", "chown 0:0", "touch"])
async def test_the_null_device_of_a_mask_stays_as_the_host_has_it(yard: Yard, change: str) -> None:
    """Root in a container owns the host's node too, where it is bound into the container."""
    script = f"{change} /proc/keys; echo a >/proc/keys && cat /proc/keys && echo used"
    ran = await yard.run("sh", "-c", script)
    assert "Read-only file system" in ran.errors
    assert ran.output == "used\n"


async def test_a_sysctl_is_not_written_into_a_mount_upon_proc(yard: Yard) -> None:
    """CVE-2025-52881: what is written must be the kernel's own file."""
    script = "find /proc/sys/net -type f; umount /proc/sys/net && cat /proc/sys/net/ipv4/ip_unp*"
    spec = yard.spec("sh", "-c", script)
    for held in ("bounding", "effective", "permitted"):
        spec["process"]["capabilities"][held] = [*CAPABILITIES, "CAP_SYS_ADMIN"]
    spec["mounts"].append(
        {"destination": "/proc/sys/net", "type": "tmpfs", "source": "tmpfs", "options": []}
    )
    spec["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "17"}
    ran = await yard.run(spec=spec)
    assert (ran.output, ran.errors) == ("17\n", "")


async def test_a_forged_console_is_not_followed(yard: Yard) -> None:
    """CVE-2025-52565: the terminal is bound upon no place that the image leads to."""
    spec = yard.spec("true", terminal=True)
    kept = [each for each in spec["mounts"] if each["destination"] == "/dev/pts"]
    spec["mounts"] = without_dev(spec)["mounts"] + kept
    forge(yard, spec, "dev/console", "/etc/passwd")
    with pytest.raises(EngineError):
        await yard.start(spec)


async def test_a_fifo_for_the_null_device_is_not_waited_for(yard: Yard) -> None:
    """Where /dev is the user's own, somebody may have put anything there."""
    spec = without_dev(yard.spec("sh", "-c", "cat; echo over"))
    bundle, _ = yard.bundle(spec, Path(spec["linux"]["cgroupsPath"]).name)
    (bundle / "upper/dev").mkdir()
    os.mkfifo(bundle / "upper/dev/null")
    async with asyncio.timeout(20):
        ran = await yard.run(spec=spec)
    assert ran.output == "over\n"


@pytest.mark.parametrize("cwd", ["/proc/self/fd/7", "/link", "/etc/passwd", "/" + "a" * 300])
async def test_a_working_directory_that_cannot_be_is_named(yard: Yard, cwd: str) -> None:
    """CVE-2024-21626 among them: a descriptor of the host is no place to work in."""
    spec = yard.spec("pwd")
    forge(yard, spec, "link", "/proc/self/fd/5")
    spec["process"]["cwd"] = cwd
    with pytest.raises(EngineError, match="working directory /") as caught:
        await yard.start(spec)
    assert caught.value.kind is Kind.INVALID_ARGUMENT
