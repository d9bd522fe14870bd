"""Our answers against the Engine API's own specification, and our fields against its fields."""

import msgspec
import pytest
from apispec import OLDER, UNKNOWN_ON_PURPOSE, check, definitions, needs_specification, properties

from wherry.engine import model

pytestmark = needs_specification


@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (model.ContainerConfig, "ContainerConfig"),
        (model.HostConfig, "HostConfig"),
        (model.HealthConfig, "HealthConfig"),
        (model.Mount, "Mount"),
        (model.NetworkingConfig, "NetworkingConfig"),
        (model.EndpointSettings, "EndpointSettings"),
        (model.EndpointIPAMConfig, "EndpointIPAMConfig"),
        (model.DeviceRequest, "DeviceRequest"),
        (model.DeviceMapping, "DeviceMapping"),
        (model.RestartPolicy, "RestartPolicy"),
        (model.NetworkSettings, "NetworkSettings"),
        (model.MountPoint, "MountPoint"),
        (model.State, "ContainerState"),
        (model.Health, "Health"),
        (model.ContainerInspect, "ContainerInspectResponse"),
        (model.ContainerSummary, "ContainerSummary"),
        (model.CreateResponse, "ContainerCreateResponse"),
        (model.WaitResult, "ContainerWaitResponse"),
        (model.BuildCache, "BuildCache"),
        (model.EventMessage, "EventMessage"),
        (model.EventActor, "EventActor"),
        (model.ImageSummary, "ImageSummary"),
        (model.ImageInspect, "ImageInspect"),
        (model.InspectedImageConfig, "ImageConfig"),
        (model.ImageDeleteItem, "ImageDeleteResponseItem"),
        (model.Descriptor, "OCIDescriptor"),
        (model.Platform, "OCIPlatform"),
        (model.SystemVersion, "SystemVersion"),
        (model.SystemInfo, "SystemInfo"),
        (model.SwarmInfo, "SwarmInfo"),
        (model.PluginsInfo, "PluginsInfo"),
        (model.RegistryConfig, "RegistryServiceConfig"),
        (model.RuntimeInfo, "Runtime"),
    ],
)
def test_every_field_of_the_specification_is_known(ours: type[msgspec.Struct], name: str) -> None:
    specified = set(properties(definitions()[name])) - UNKNOWN_ON_PURPOSE.get(name, set())
    assert set(ours.__struct_encode_fields__) - OLDER.get(name, set()) == specified


def test_the_create_request_is_the_specifications() -> None:
    loaded = set(properties(definitions()["ContainerConfig"]))
    expected = loaded | {"HostConfig", "NetworkingConfig"}
    assert set(model.CreateRequest.__struct_encode_fields__) == expected


async def test_the_answers_are_valid(served, container) -> None:
    def decoded(answer):
        assert answer.status in (200, 201)
        return msgspec.json.decode(answer.body)

    check("SystemVersion", decoded(await served.call("GET", "/version")))
    check("SystemInfo", decoded(await served.call("GET", "/info")))
    body = b'{"Image":"busybox","Healthcheck":{"Test":["CMD","x"]},"Env":["A=1"]}'
    check("ContainerCreateResponse", decoded(await served.call("POST", "/containers/create", body)))
    check("ContainerInspectResponse", decoded(await served.call("GET", "/containers/c1/json")))
    for summary in decoded(await served.call("GET", "/containers/json?all=1")):
        check("ContainerSummary", summary)
    for summary in decoded(await served.call("GET", "/images/json")):
        check("ImageSummary", summary)
    check("ImageInspect", decoded(await served.call("GET", "/images/a/json")))
    for item in decoded(await served.call("DELETE", "/images/a")):
        check("ImageDeleteResponseItem", item)
    for network in decoded(await served.call("GET", "/networks")):
        check("Network", network)
    check("VolumeListResponse", decoded(await served.call("GET", "/volumes")))
    check("ErrorResponse", msgspec.json.decode((await served.call("GET", "/x")).body))
    container.exited.set()
    check("ContainerWaitResponse", decoded(await served.call("POST", "/containers/box/wait")))
