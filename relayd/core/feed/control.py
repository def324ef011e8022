"""Control rules: messages that hold no data but say something, tried in order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from relayd.core.feed.fields import Fields, value_text
from relayd.core.feed.match import ALWAYS, Match
from relayd.core.feed.path import MISSING, Path, Paths, Scope
from relayd.core.feed.template import Node

# An ack names at most what was asked for in one message; more combinations are a hostile or broken answer (guess).
MAX_NAMED = 20_000


@dataclass(frozen=True, slots=True)
class At:
    """Where a message names subscriptions: the feed name, or fields. A list in place of a value names several."""

    name: Paths = ()
    fields: Mapping[str, Paths] | None = None

    def tables(self, scope: Scope, fields: Fields) -> list[dict[str, str]]:
        """The fields of each subscription that the message names; a table may hold only some of the fields."""
        if self.fields is None:
            names = [value_text(value) for value in _each(scope.first(self.name))]
            found = [fields.apart(name) for name in names if name is not None]
            return [table for table in found if table is not None]
        columns = {name: values for name, paths in self.fields.items() if (values := list(_each(scope.first(paths))))}
        rows = itertools.islice(itertools.product(*columns.values()), MAX_NAMED)
        tables = [fields.table(dict(zip(columns, row, strict=True))) for row in rows]
        return [table for table in tables if table]


def _each(value: object) -> Iterator[object]:
    if value is MISSING:
        return iter(())
    return iter(value) if isinstance(value, list) else iter((value,))


@dataclass(frozen=True, slots=True)
class AckRule:
    """An `ack` block."""

    id: Path | None = None
    at: At | None = None
    all: Path | None = None
    some: Path | None = None
    but: Path | None = None
    """`not`: the list of what failed."""
    bind: Path | None = None

    def listed(self, scope: Scope, path: Path, fields: Fields) -> list[dict[str, str]]:
        """The subscriptions in a list of the message (a state list, or those that succeeded or failed)."""
        rows = scope.get(path)
        if isinstance(rows, Mapping):
            rows = list(rows)
        at = self.at or At(name=(Path(".", ()),))
        return [table for row in _each(rows) for table in at.tables(Scope(row), fields)]


@dataclass(frozen=True, slots=True)
class FailRule:
    """A `fail` block."""

    id: Path | None = None
    at: At | None = None
    text: Paths = ()


@dataclass(frozen=True, slots=True)
class ControlRule:
    """One `control` rule."""

    when: Match = ALWAYS
    ack: AckRule | None = None
    fail: FailRule | None = None
    send: Node = None
    sends: bool = False
    do: str | None = None
    id: Path | None = None
    """With `resubscribe`."""
    at: At | None = None
    url: Path | None = None
    """With `drain`."""
