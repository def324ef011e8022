"""Reading numbers, snapshots and cursors from what the compiled way decoded: the message, and its payload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from msgspec import UNSET

from relayd.core.feed.extract_tree import Get, NotCompiled
from relayd.core.feed.head import Head
from relayd.core.feed.match import Condition
from relayd.core.feed.path import MISSING
from relayd.core.feed.sequence import whole

Read: TypeAlias = Callable[[Any, Any], Any]
"""Reads from the decoded message and its decoded payload."""


class Value(NamedTuple):
    """How one value is read, and whether from the payload."""

    get: Get
    in_payload: bool


class Reader(NamedTuple):
    """How something is read, and whether the payload must be decoded for it."""

    read: Read
    in_payload: bool
    head: Head | None = None
    """Reads the numbers from the first bytes of a large payload, where they stand there."""


def read_value(value: Value) -> Reader:
    """A cursor, or an identity."""
    get, in_payload = value
    return Reader(lambda message, inner: get(inner if in_payload else message), in_payload)


def read_number(values: Sequence[Value], head: Head | None = None) -> Reader:
    """A message's number: one, or two. Raises NotCompiled where they stand apart."""
    in_payload = values[0].in_payload
    if any(value.in_payload is not in_payload for value in values):
        raise NotCompiled
    if len(values) == 1:
        return Reader(_one_number(values[0].get, in_payload), in_payload, head)
    return Reader(_two_numbers(values[0].get, values[1].get, in_payload), in_payload, head)


def _one_number(get: Get, in_payload: bool) -> Read:
    def read(message: Any, inner: Any) -> int | None:
        value = get(inner if in_payload else message)
        return value if value.__class__ is int else whole(value)

    return read


def _two_numbers(first: Get, second: Get, in_payload: bool) -> Read:
    def read(message: Any, inner: Any) -> tuple[int, int] | None:
        source = inner if in_payload else message
        start, end = first(source), second(source)
        if start.__class__ is not int or end.__class__ is not int:
            start, end = whole(start), whole(end)
        return None if start is None or end is None else (start, end)

    return read


def read_flag(tests: Sequence[tuple[Value, Condition]]) -> Reader:
    """Whether all conditions hold."""
    in_payload = any(value.in_payload for value, _ in tests)
    if len(tests) == 1 and is_plain(tests[0][1]):
        (get, inside), wanted = tests[0][0], tests[0][1].values
        return Reader(lambda message, inner: get(inner if inside else message) in wanted, in_payload)

    def read(message: Any, inner: Any) -> bool:
        for (get, inside), condition in tests:
            value = get(inner if inside else message)
            if not condition.accepts(MISSING if value is UNSET else value):
                return False
        return True

    return Reader(read, in_payload)


def is_plain(condition: Condition) -> bool:
    """Whether the condition is no more than a comparison with each of its values."""
    return not any(isinstance(value, str) and "*" in value for value in condition.values)
