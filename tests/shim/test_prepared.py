"""A container that was prepared for is no other than one that was not."""

import copy
import os
from collections.abc import Callable
from typing import Any

import pytest
from bundles import Yard
from daemons import poll

from wherry.linux import cgroups

pytestmark = pytest.mark.root

# What a container can see of how it was made. Numbers that differ between any two are left out.
LOOK = """
sed 's/^[0-9]* [0-9]* [0-9]*:[0-9]* //; s/ shared:[0-9]*//; s/ master:[0-9]*//; \
     s,fd/[0-9]*,fd/N,g' \
    /proc/self/mountinfo
cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range
cat /proc/self/status | grep -E '^(Seccomp|Cap|NoNewPrivs|Groups|Umask)'
ls -ln /dev /dev/pts /dev/shm /dev/mqueue | sed 's/ [A-Z][a-z][a-z] .*:[0-9][0-9] / /; s/^total.*//'
ip link | grep -v link/
ls /proc/self/fd; id; hostname; pwd; umask; ulimit -a
for path in /proc/acpi /proc/kcore /proc/keys /proc/sys /proc/irq /sys/firmware; do
    ls -d $path; head -c 1 $path; echo > $path/x
done 2>&1
echo $$ $(ls -d /proc/[0-9]*)
"""
MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/not-there", "/sys/firmware"]
READ_ONLY = ["/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
SYSCTL = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}


def usual(yard: Yard) -> dict[str, Any]:
    spec = yard.spec("sh", "-c", LOOK)
    spec["linux"] |= {"maskedPaths": MASKED, "readonlyPaths": READ_ONLY, "sysctl": dict(SYSCTL)}
    return spec


def with_other_shm(spec: dict[str, Any]) -> None:
    for mount in spec["mounts"]:
        if mount["destination"] == "/dev/shm":
            mount["options"] = ["nosuid", "size=4096k"]


def with_host_network(spec: dict[str, Any]) -> None:
    kept = [one for one in spec["linux"]["namespaces"] if one["type"] != "network"]
    spec["linux"] |= {"namespaces": kept, "sysctl": {}}


def with_host_ipc_and_name(spec: dict[str, Any]) -> None:
    kept = [one for one in spec["linux"]["namespaces"] if one["type"] not in ("ipc", "uts")]
    spec["linux"]["namespaces"] = kept


def with_joined_network(spec: dict[str, Any]) -> None:
    for namespace in spec["linux"]["namespaces"]:
        if namespace["type"] == "network":
            namespace["path"] = f"/proc/{os.getpid()}/ns/net"
    spec["linux"]["sysctl"] = {}


def with_host_pids(spec: dict[str, Any]) -> None:
    kept = [one for one in spec["linux"]["namespaces"] if one["type"] != "pid"]
    spec["linux"]["namespaces"] = kept
    spec["process"]["args"][2] = LOOK.replace("echo $$ $(ls -d /proc/[0-9]*)", "").replace(
        "ls /proc/self/fd", ""
    )


def with_a_device(spec: dict[str, Any]) -> None:
    device = {"path": "/dev/more", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600}
    spec["linux"]["devices"] = [device]


def unmasked(spec: dict[str, Any]) -> None:
    spec["linux"] |= {"maskedPaths": [], "readonlyPaths": []}


def with_another_sysctl(spec: dict[str, Any]) -> None:
    spec["linux"]["sysctl"]["net.ipv4.ip_unprivileged_port_start"] = "80"


def without_a_sysctl(spec: dict[str, Any]) -> None:
    spec["linux"]["sysctl"] = {"kernel.shm_rmid_forced": "1"}


def with_mounts_within(spec: dict[str, Any]) -> None:
    spec["mounts"] += [
        {"destination": "/dev/own", "type": "tmpfs", "source": "tmpfs", "options": ["size=4k"]},
        {"destination": "/proc/tty", "type": "tmpfs", "source": "tmpfs", "options": ["size=4k"]},
        {"destination": "/sys/fs", "type": "tmpfs", "source": "tmpfs", "options": ["size=4k"]},
    ]


def with_a_terminal(spec: dict[str, Any]) -> None:
    spec["process"]["terminal"] = True


def read_only(spec: dict[str, Any]) -> None:
    spec["root"]["readonly"] = True


CHANGES: list[Callable[[dict[str, Any]], None]] = [
    with_other_shm, with_host_network, with_host_ipc_and_name, with_joined_network, with_host_pids,
    with_a_device, unmasked, with_another_sysctl, without_a_sysctl, with_mounts_within,
    with_a_terminal, read_only,
]  # fmt: skip


def unchanged(spec: dict[str, Any]) -> None:
    pass


async def look(yard: Yard, spec: dict[str, Any]) -> str:
    other = copy.deepcopy(spec)
    fresh = yard.spec("true")
    other["linux"]["cgroupsPath"] = fresh["linux"]["cgroupsPath"]
    own = other["linux"]["cgroupsPath"].rpartition("/")[2]
    ran = await yard.run(spec=other)
    lines = (ran.output + ran.errors).replace(own, "ID").replace(own[:12], "ID").splitlines()
    return "\n".join(sorted(lines))


@pytest.mark.parametrize("change", [unchanged, *CHANGES], ids=lambda change: change.__name__)
async def test_it_makes_no_difference(yard: Yard, change: Callable[[dict[str, Any]], None]) -> None:
    spec = usual(yard)
    change(spec)
    plain = await look(yard, spec)
    yard.runtime.foresee(usual(yard))
    await yard.run(spec=yard.spec("true"))  # the launcher has heard it, and makes a new spare
    assert await look(yard, spec) == plain


async def test_a_forecast_that_cannot_be_prepared(yard: Yard) -> None:
    """It is no forecast's business to fail a start."""
    forecast = usual(yard)
    forecast["mounts"] = [
        {"destination": "/proc", "type": "nosuchfs", "source": "none", "options": []}
    ]
    forecast["linux"]["sysctl"] = {"net.no.such": "1"}
    yard.runtime.foresee(forecast)
    await yard.run(spec=yard.spec("true"))
    ran = await yard.run(spec=yard.spec("sh", "-c", "echo up; ls /proc/self/comm"))
    assert ran.output == "up\n/proc/self/comm\n"


async def test_a_network_that_was_half_prepared_is_nobodys(yard: Yard) -> None:
    forecast = usual(yard)
    name = "net.ipv4.ip_unprivileged_port_start"
    forecast["linux"]["sysctl"] = {name: "80", "net.no.such": "1"}
    yard.runtime.foresee(forecast)
    await yard.run(spec=yard.spec("true"))
    ran = await yard.run("sh", "-c", f"cat /proc/sys/{name.replace('.', '/')}; ip link")
    assert ran.output.startswith("1024\n")
    assert "LOOPBACK,UP" in ran.output


async def test_waiting_shows_nothing_to_the_host(yard: Yard) -> None:
    """It is in new namespaces, but in the host's mount namespace: there it holds nothing busy."""
    yard.runtime.foresee(usual(yard))
    await yard.run(spec=yard.spec("true"))
    hierarchy = cgroups.detect()

    def prepared() -> list[int]:
        own = os.readlink("/proc/self/ns/net")
        pids = hierarchy.pids(yard.runtime.shim_cgroup)
        return [pid for pid in pids if os.readlink(f"/proc/{pid}/ns/net") != own]

    (waiting,) = poll(prepared, "the spare has prepared")
    mine = os.readlink("/proc/self/ns/mnt")
    poll(lambda: os.readlink(f"/proc/{waiting}/ns/mnt") == mine, "it has gone home")
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        assert not [line for line in file if line.split()[4] == "/" and "tmpfs" in line]
