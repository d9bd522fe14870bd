"""The Engine API's own specification, as something to hold answers against."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

SPECIFICATION = Path(__file__).parents[3] / "shared/specs/engine-api/v1.51.yaml"

NEEDS_SPECIFICATION = "needs the API's specification in ../shared"

needs_specification = pytest.mark.skipif(not SPECIFICATION.exists(), reason=NEEDS_SPECIFICATION)

Schema = dict[str, Any]

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
    """Raises AssertionError or ValidationError unless `value` is what the definition promises."""
    required = definitions()[name].get("required", [])
    assert isinstance(value, dict)
    assert set(required) - set(value) - UNKNOWN_ON_PURPOSE.get(name, set()) == set()
    schema = {"$ref": f"#/definitions/{name}", "definitions": strict_definitions()}
    jsonschema.Draft4Validator(schema).validate(value)
