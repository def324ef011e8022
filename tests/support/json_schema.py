"""A validator for the part of JSON Schema (draft 2020-12) that relayd publishes: one library less for the tests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

KNOWN = {
    "$defs", "$ref", "$schema", "additionalProperties", "anyOf", "const", "default", "description", "enum", "examples",
    "exclusiveMinimum", "format", "items", "maxItems", "maximum", "minItems", "minLength", "minProperties", "minimum",
    "pattern", "patternProperties", "properties", "propertyNames", "required", "title", "type", "uniqueItems",
}  # fmt: skip
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def faults(
    schema: Mapping[str, Any], value: Any, root: Mapping[str, Any] | None = None, path: str = ""
) -> Iterator[str]:
    """What is wrong with a value; a keyword that is not known here is an error of the test."""
    root = root or schema
    assert schema.keys() <= KNOWN, schema.keys() - KNOWN
    if "$ref" in schema:
        target: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        yield from faults(target, value, root, path)
    if "anyOf" in schema and all(list(faults(one, value, root, path)) for one in schema["anyOf"]):
        yield f"{path}: none of {len(schema['anyOf'])}"
    if "const" in schema and value != schema["const"]:
        yield f"{path}: not {schema['const']}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: not one of {schema['enum']}"
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(_is(value, kind) for kind in types):
        yield f"{path}: not {types}"
        return
    if isinstance(value, dict):
        yield from _object(schema, value, root, path)
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{path}: {len(value)} entries"
        if schema.get("uniqueItems") and len({repr(one) for one in value}) < len(value):
            yield f"{path}: twice"
        for at, one in enumerate(value):
            yield from faults(schema.get("items", {}), one, root, f"{path}[{at}]")
    elif isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            yield f"{path}: too short"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{path}: not {schema['pattern']}"
    elif _is(value, "number"):
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            yield f"{path}: out of bounds"
        if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
            yield f"{path}: too small"


def _object(schema: Mapping[str, Any], value: dict[Any, Any], root: Mapping[str, Any], path: str) -> Iterator[str]:
    missing = set(schema.get("required", ())) - value.keys()
    if missing:
        yield f"{path}: lacks {sorted(missing)}"
    if len(value) < schema.get("minProperties", 0):
        yield f"{path}: too few keys"
    patterns = schema.get("patternProperties", {})
    for key, one in value.items():
        key = str(key)  # editors see 1008 as "1008"
        yield from faults(schema.get("propertyNames", {}), key, root, f"{path}.{key}")
        inner = [schema["properties"][key]] if key in schema.get("properties", {}) else []
        inner += [shape for pattern, shape in patterns.items() if re.search(pattern, key)]
        if not inner:
            rest = schema.get("additionalProperties", {})
            if rest is False:
                yield f"{path}.{key}: unknown"
                continue
            inner = [rest if isinstance(rest, Mapping) else {}]
        for shape in inner:
            yield from faults(shape, one, root, f"{path}.{key}")


def _is(value: Any, kind: str) -> bool:
    if kind in ("number", "integer"):
        return isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])
