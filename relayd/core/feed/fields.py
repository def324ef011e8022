"""Fields: the named parts of a message by which it finds its topic.

A table `at` yields fields; a string `at`, or a key of `key_of`, yields the feed name, which `name` takes apart.
With `bound` the fields are those the subscription was made with, and `at` adds to them. `map` renames values;
`types` applies only to what is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from relayd.core.feed.errors import Refused
from relayd.core.feed.feedname import FeedName
from relayd.core.feed.match import ALWAYS, Match
from relayd.core.feed.path import MISSING, Path, Paths, Scope


@dataclass(slots=True)
class Reading:
    """What a message says about its topic."""

    tables: tuple[dict[str, str], ...]
    """The fields; several tables where `key_of` names several topics."""
    bound: str | None = None
    """The id that stands for a subscription, as text."""


@dataclass(frozen=True, slots=True)
class Fields:
    """A `topic` block."""

    at: Mapping[str, Paths] = field(default_factory=dict)
    """Field -> where it stands."""
    name_at: Paths = ()
    """Where the feed name stands."""
    key_of: tuple[str, ...] = ()
    bound: Path | None = None
    name: FeedName | None = None
    """How a feed name reads; None = this upstream has none."""
    map: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    when: Match = ALWAYS
    unless: Match | None = None
    prefix: str | None = None
    """What stands before the feed name at the start of a frame that holds it in its first member."""

    @property
    def yields(self) -> tuple[str, ...]:
        """The fields that messages have by themselves, in a fixed order."""
        named = self.name.fields if self.name is not None and (self.name_at or self.key_of) else ()
        return tuple(dict.fromkeys((*self.at, *named)))

    def read(self, scope: Scope) -> Reading | None:
        """What the message says; None = no topic can be read."""
        if not self.when.holds(scope) or (self.unless is not None and self.unless.holds(scope)):
            return None
        bound = None
        if self.bound is not None:
            bound = value_text(scope.get(self.bound))
            if bound is None:
                return None
        table = {}
        for name, paths in self.at.items():
            text = value_text(scope.first(paths))
            if text is not None:
                table[name] = self._mapped(name, text)
        if not self.name_at and not self.key_of:
            return None if self.at and not table and bound is None else Reading((table,), bound)
        tables = tuple(table | apart for apart in map(self.apart, self._feed_names(scope)) if apart is not None)
        if not tables and bound is not None:
            return Reading((table,), bound)
        return Reading(tables, bound) if tables else None

    def _feed_names(self, scope: Scope) -> list[str]:
        if self.key_of:
            return [key for key in self.key_of if isinstance(scope.doc, Mapping) and key in scope.doc]
        text = value_text(scope.first(self.name_at))
        return [] if text is None else [text]

    def apart(self, feed_name: str) -> dict[str, str] | None:
        """The fields of a feed name, renamed by `map`; None when it has another shape."""
        found = self.name.apart(feed_name) if self.name is not None else None
        return None if found is None else {name: self._mapped(name, text) for name, text in found.items()}

    def _mapped(self, name: str, text: str) -> str:
        table = self.map.get(name)
        return text if table is None else table.get(text, text)

    def table(self, found: Mapping[str, object]) -> dict[str, str]:
        """Fields from values found elsewhere (in an ack), renamed by `map`; only texts and integers are values."""
        texts = {name: value_text(value) for name, value in found.items()}
        return {name: self._mapped(name, text) for name, text in texts.items() if text is not None}

    def typed(self, fields: Mapping[str, str]) -> dict[str, object]:
        """The values as they are sent. Raises Refused for one that has not the type, or would come back different."""
        return {name: _typed(name, text, self.types.get(name)) for name, text in fields.items()}


def value_text(value: object) -> str | None:
    """A field's value as text; None for what yields no field."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        # Python refuses to write integers of more than 4,300 digits; no id has more than a few dozen.
        return str(value) if value.bit_length() < 1024 else None
    return None


def _typed(name: str, text: str, kind: str | None) -> object:
    if kind is None:
        return text
    try:
        if kind == "bool":
            return {"true": True, "false": False}[text]
        number: int | float = int(text) if kind == "int" else float(text)
    except (ValueError, KeyError):
        raise Refused(f"{name} is not {'true or false' if kind == 'bool' else f'of the type {kind}'}") from None
    if kind == "int" and str(number) != text:
        raise Refused(f"{name} is written {number}")
    if kind == "float" and not abs(number) <= 1e300:
        raise Refused(f"{name} is no number")
    return number


__all__ = ["MISSING", "Fields", "Reading", "value_text"]
