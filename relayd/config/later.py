"""What relay.yaml will hold one day. A line leaves this table when its key works; the model then knows the key.

Until then the key is refused with its reason, so that nobody believes in a setting that does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from relayd.config.problem import KeyPath


def _any(value: Any) -> bool:
    return True


def _other_transport(value: Any) -> bool:
    return isinstance(value, str) and value in ("tcp", "process", "stomp", "mqtt", "wamp")


def _switched_on(value: Any) -> bool:
    return value is True


@dataclass(frozen=True, slots=True)
class Later:
    """A key (`*` = any name or position) that is not available yet where `meant` says so, and what to do until then."""

    path: tuple[str, ...]
    until_then: str
    meant: Callable[[Any], bool] = _any


LATER: Final = (
    Later(("workers",), "one process serves all browsers"),
    Later(("engine",), "one machine serves all browsers"),
    Later(("upstreams", "*", "preset"), "write the upstream's blocks out"),
    Later(("upstreams", "*", "transport"), "only `websocket` and `sse` are spoken", _other_transport),
    Later(("routes", "*", "deliver", "deflate"), "publications are sent as they are", _switched_on),
    Later(("routes", "*", "deliver", "bandwidth"), "`max_hz` bounds what a browser receives"),
)


def find_later(data: Any) -> Iterator[tuple[KeyPath, Later]]:
    """Every key of the file that is not available yet."""
    for later in LATER:
        for path, value in _matches(data, later.path, ()):
            if later.meant(value):
                yield path, later


def _matches(data: Any, wanted: tuple[str, ...], path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if not wanted:
        yield path, data
        return
    first, *rest = wanted
    for key, value in _members(data):
        if first in ("*", key):
            yield from _matches(value, tuple(rest), (*path, key))


def _members(data: Any) -> list[tuple[str | int, Any]]:
    if isinstance(data, Mapping):
        return list(data.items())
    return list(enumerate(data)) if isinstance(data, list) else []
