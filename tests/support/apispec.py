"""The Engine API's own specification, as something to hold answers against."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

SPECIFICATIONS = Path(__file__).parents[3] / "shared/specs/engine-api"
SPECIFICATION = SPECIFICATIONS / "v1.51.yaml"

NEEDS_SPECIFICATION = "needs the API's specification in ../shared"

needs_specification = pytest.mark.skipif(not SPECIFICATION.exists(), reason=NEEDS_SPECIFICATION)

Schema = dict[str, Any]
NEWEST = "1.51"

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
def definitions(version: str = NEWEST) -> dict[str, Schema]:
    text = (SPECIFICATIONS / f"v{version}.yaml").read_bytes()
    loaded = yaml.load(text, Loader=yaml.CSafeLoader)
    found: dict[str, Schema] = loaded["definitions"]
    return found


def properties(schema: Schema, version: str = NEWEST) -> dict[str, Schema]:
    """All properties, those of `allOf` included."""
    found: dict[str, Schema] = {}
    for part in [schema, *schema.get("allOf", [])]:
        if "$ref" in part:
            part = definitions(version)[part["$ref"].rsplit("/", 1)[1]]
            found |= properties(part, version)
        found |= part.get("properties", {})
    return found


def strict(schema: object, version: str = NEWEST) -> object:
    """The schema with unknown properties refused, and null where Go writes it."""
    if isinstance(schema, list):
        return [strict(part, version) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "allOf" in schema and not properties(dict(schema), version):
        parts = [strict(part, version) for part in schema["allOf"]]
        return {"anyOf": [*parts, {"type": "null"}]}
    made = {
        key: strict(value, version)
        for key, value in schema.items()
        if key not in ("properties", "allOf", "example", "format", "default", "required")
    }
    known = properties(dict(schema), version)
    if known:
        made["type"] = "object"
        made["properties"] = {name: strict(value, version) for name, value in known.items()}
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
def strict_definitions(version: str) -> dict[str, object]:
    return {name: strict(schema, version) for name, schema in definitions(version).items()}


def check(name: str, value: object, version: str = NEWEST) -> None:
    """Raises AssertionError or ValidationError unless `value` is what the definition promises."""
    required = definitions(version)[name].get("required", [])
    assert isinstance(value, dict)
    assert set(required) - set(value) - UNKNOWN_ON_PURPOSE.get(name, set()) == set()
    schema = {"$ref": f"#/definitions/{name}", "definitions": strict_definitions(version)}
    jsonschema.Draft4Validator(schema).validate(value)
