"""relay.yaml as a JSON Schema: what `relayd schema` prints, and what lets an editor complete and check the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, get_args

from relayd.config.model import Block, Config
from relayd.config.written import write_default

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12). Defaults are as they would be written in the file.

    What a schema cannot say (fields that nothing fixes, routes that overlap, missing files) `relayd check` says.
    """
    found = Config.model_json_schema(by_alias=True)
    shapes = {"Config": found, **found["$defs"]}
    for block in blocks_of(Config):
        shape = shapes.get(block.__name__, {"properties": {}})
        for name, info in block.model_fields.items():
            stated = shape["properties"].get(info.alias or name)
            if stated is not None:
                stated.pop("default", None)
                default = write_default(name, info)
                if default is not None:
                    stated["default"] = default
    found["title"] = "relay.yaml"
    return {"$schema": DIALECT, **_tidied(found)}


def blocks_of(kind: Any) -> Iterator[type[Block]]:
    """This block and every block in it, each once, in the order of the file."""
    seen: dict[type[Block], None] = {}
    _gather(kind, seen)
    return iter(seen)


def _gather(kind: Any, seen: dict[type[Block], None]) -> None:
    if isinstance(kind, type) and issubclass(kind, Block):
        if kind not in seen:
            seen[kind] = None
            for info in kind.model_fields.values():
                _gather(info.annotation, seen)
        return
    for inner in get_args(kind):
        _gather(inner, seen)


def _tidied(node: Any, *, is_names: bool = False) -> Any:
    """Without the titles that pydantic derives from names, with texts in one line; `is_names`: the keys are ours."""
    if isinstance(node, list):
        return [_tidied(one) for one in node]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    if "patternProperties" in node and not is_names:
        found["additionalProperties"] = False  # a key that fits no pattern is unknown
    for key, one in node.items():
        if not is_names and key == "title" and one != "relay.yaml":
            continue
        if not is_names and key == "description":
            found[key] = " ".join(one.split())
            continue
        # A signature is also a template: the branches of `set` are no alternatives to each other.
        word = "anyOf" if key == "oneOf" and not is_names else key
        found[word] = _tidied(one, is_names=key in ("properties", "$defs", "patternProperties") and not is_names)
    return found
