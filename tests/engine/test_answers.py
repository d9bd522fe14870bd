"""What the engine answers about real requests, against the Engine API's own specification."""

import json

import msgspec
from apispec import check, needs_specification

from wherry.api.decoding import decode
from wherry.build.usage import CacheEntry
from wherry.engine.containers import Containers
from wherry.engine.disk_usage import Accounts
from wherry.engine.images import Images
from wherry.engine.model import USAGE_KINDS, CreateRequest
from wherry.engine.system import System
from wherry.metadata import LayerRecord

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
    system = the_system(house)
    check("SystemInfo", shown(await system.info()))
    check("SystemVersion", shown(await system.version()))


class NoBuilds:
    async def cache(self) -> list[CacheEntry]:
        return [
            CacheEntry(
                id="abc",
                type="regular",
                description="RUN true",
                size=5,
                created_at="2026-01-02T03:04:05.000000000Z",
            )
        ]


def the_system(house) -> System:
    house.images.list = lambda **_: [house.images.image()]
    images = Images(house.stores, house.containers.uses)
    accounts = Accounts(house.stores, house.containers, images, NoBuilds())
    return System(house.stores, house.containers, accounts, "an-id")


async def test_what_all_takes_on_the_disk(house) -> None:
    system = the_system(house)
    await house.containers.create("full", CreateRequest(image="busybox"), None)
    layer = house.images.image().diff_ids[0]
    row = LayerRecord(layer, None, "", 0, 77)
    house.database.write(lambda tx: tx.put_layer(row))
    usage = await system.disk_usage(USAGE_KINDS)
    assert usage.layers_size == 77
    [image], [container] = usage.images, usage.containers
    assert (image.containers, image.shared_size) == (1, 0)
    assert (container.size_rw, container.size_root_fs) == (5, 105)
    check("ImageSummary", shown(image))
    check("ContainerSummary", shown(container))
    check("BuildCache", shown(usage.build_cache[0]))
    assert usage.volumes == []
    only = shown(await system.disk_usage({"volume"}))
    assert only == {
        "LayersSize": 0, "Images": None, "Containers": None, "Volumes": [], "BuildCache": None
    }  # fmt: skip
