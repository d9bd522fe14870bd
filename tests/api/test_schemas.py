"""Our answers against the Engine API's own specification, and our fields against its fields."""

import functools
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from wherry.engine import model

SPECIFICATION = Path(__file__).parents[3] / "shared/specs/engine-api/v1.51.yaml"

pytestmark = pytest.mark.skipif(
    not SPECIFICATION.exists(), reason="needs the API's specification in ../shared"
)

Schema = dict[str, object]

# Fields of the specification that only Windows, swarm or the containerd store ever fill.
UNKNOWN_ON_PURPOSE = {
    "ImageSummary": {"Manifests"},
    "ImageInspect": {"Manifests"},
    "SwarmInfo": {"Nodes", "Managers", "Cluster"},
}
# Ours that are not in the specification, as dockerd's are not either.
OLDER = {
    "HostConfig": {"KernelMemory"},
    "Mount": {"ClusterOptions"},
}
# Pointers in Go, which dockerd writes as null when nothing was asked for.
POINTERS = {"MemorySwappiness", "OomKillDisable"}


@functools.cache
def definitions() -> dict[str, Schema]:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML to read the API's specification")
    loaded = yaml.load(SPECIFICATION.read_bytes(), Loader=yaml.CSafeLoader)
    found: dict[str, Schema] = loaded["definitions"]
    return found


def properties(schema: Schema) -> dict[str, Schema]:
    """All properties, those of `allOf` included."""
    found: dict[str, Schema] = {}
    for part in [schema, *schema.get("allOf", [])]:
        if "$ref" in part:
            part = definitions()[part["$ref"].rsplit("/", 1)[1]]
            found |= properties(part)
        found |= part.get("properties", {})
    return found


def strict(schema: object) -> object:
    """The schema with unknown properties refused, and null where Go writes it."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "allOf" in schema and not properties(dict(schema)):
        return {"anyOf": [*(strict(part) for part in schema["allOf"]), {"type": "null"}]}
    made = {
        key: strict(value)
        for key, value in schema.items()
        if key not in ("properties", "allOf", "example", "format", "default", "required")
    }
    known = properties(dict(schema))
    if known:
        made["type"] = "object"
        made["properties"] = {name: strict(value) for name, value in known.items()}
        for name in POINTERS & set(known):
            made["properties"][name] = {"type": [known[name]["type"], "null"]}
        made["additionalProperties"] = False
    if "$ref" in made:
        return {"anyOf": [{"$ref": made["$ref"]}, {"type": "null"}]}
    kind = made.get("type")
    if kind in ("array", "object") or schema.get("x-nullable"):
        made["type"] = [kind, "null"]
    if "enum" in made:
        made["enum"] = [*made["enum"], "", None]
    return made


@functools.cache
def strict_definitions() -> dict[str, object]:
    return {name: strict(schema) for name, schema in definitions().items()}


def check(name: str, value: object) -> None:
    import jsonschema

    required = definitions()[name].get("required", [])
    assert isinstance(value, dict)
    assert set(required) - set(value) - UNKNOWN_ON_PURPOSE.get(name, set()) == set()
    schema = {"$ref": f"#/definitions/{name}", "definitions": strict_definitions()}
    jsonschema.Draft4Validator(schema).validate(value)


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
