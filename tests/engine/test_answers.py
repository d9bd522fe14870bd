"""What the engine answers about real requests, against the Engine API's own specification."""

import json

import msgspec
from apispec import check, needs_specification

from wherry.api.decoding import decode
from wherry.engine.containers import Containers
from wherry.engine.model import CreateRequest
from wherry.engine.system import System

pytestmark = needs_specification

FULL = {
    "Image": "busybox",
    "Hostname": "box",
    "Env": ["A=1"],
    "Cmd": ["sleep", "1"],
    "Tty": True,
    "ExposedPorts": {"80/tcp": {}},
    "Labels": {"a": "b"},
    "StopTimeout": 3,
    "HostConfig": {
        "Binds": ["/tmp:/here:ro"],
        "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 4096}}],
        "Tmpfs": {"/u": "size=1m"},
        "Memory": 1 << 26,
        "CpuShares": 512,
        "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}],
        "Sysctls": {"net.ipv4.ip_forward": "1"},
        "CapAdd": ["NET_RAW"],
        "ExtraHosts": ["a:127.0.0.1"],
    },
}


def shown(value: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(value))


async def test_containers_in_each_state(house) -> None:
    containers: Containers = house.containers
    request = decode(json.dumps(FULL).encode(), CreateRequest)
    created = await containers.create("full", request, None)
    check("ContainerCreateResponse", shown(created))
    await look(containers)
    await containers.start("full")
    await look(containers)
    house.task(created.id).finish(3)
    waiter = await containers.wait("full", "not-running")
    check("ContainerWaitResponse", shown(await waiter.result()))
    await look(containers)


async def look(containers: Containers) -> None:
    for size in (False, True):
        check("ContainerInspectResponse", shown(await containers.inspect("full", size)))
        for row in shown(await containers.list(True, 0, size, {})):
            check("ContainerSummary", row)


async def test_the_daemon_itself(house) -> None:
    house.images.list = list
    system = System(house.stores, house.containers, "an-id")
    check("SystemInfo", shown(await system.info()))
    check("SystemVersion", shown(await system.version()))
