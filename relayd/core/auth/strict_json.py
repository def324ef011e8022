"""JSON objects in which nothing can be read in two ways: for what decides who somebody is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


class NotStrict(ValueError):
    """Not one JSON object in UTF-8 without a repeated key."""


def read_object(data: bytes) -> dict[str, Any]:
    """The object. Raises NotStrict for anything else: another type, a key that stands twice at any depth, NaN,
    bytes behind the end, a depth that no recursion reaches."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise NotStrict("not a JSON object, or one with a key that stands twice") from None
    if not isinstance(value, dict):
        raise NotStrict("not a JSON object")
    return value


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotStrict("a key stands twice")
    return found


def _refuse(word: str) -> Any:
    raise NotStrict(f"{word} is no JSON")
