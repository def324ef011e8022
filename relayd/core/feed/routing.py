"""From the fields of a message to the topics that want it, and what is known of each: its sequence, its snapshots.

A wanted topic fits a message that has all of its fields; it may name fewer than the message has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from relayd.core.feed.dialect import Dialect
from relayd.core.feed.extract_read import Reader
from relayd.core.feed.outcome import Number
from relayd.core.feed.sequence import Counter, Sequence
from relayd.core.feed.snapshot import Snapshot
from relayd.core.resolver import Resolver

T = TypeVar("T")

#: Field tables that are remembered. Above it the oldest is forgotten, and its sequence starts anew (guess: six times
#: the default of `limits.topics`).
MAX_TARGETS = 65_536

Values = tuple[str | None, ...]


class Target(Generic[T]):
    """Messages with the same fields."""

    __slots__ = (
        "counter",
        "counts",
        "counts_inside",
        "era",
        "fields",
        "flags",
        "head",
        "number",
        "sequence",
        "snapshots",
        "topics",
    )

    def __init__(self, fields: Mapping[str, str], topics: tuple[T, ...], dialect: Dialect) -> None:
        self.fields = fields
        self.topics = topics
        """Who wants them, in the order they came; empty = this target is no longer valid."""
        self.era = -1
        """When a Resolver said so."""
        rules, flags = dialect.sequences, dialect.snapshots
        counting = [at for at, rule in enumerate(rules) if not rule.per_connection and rule.applies.holds(fields)]
        flagging = [at for at, rule in enumerate(flags) if rule.when is not None and rule.applies.holds(fields)]
        self.sequence: Sequence | None = rules[counting[0]] if counting else None
        self.snapshots: tuple[Snapshot, ...] = tuple(flags[at] for at in flagging)
        self.counter = Counter(self.sequence) if self.sequence is not None else None
        self.number: Reader | None = None
        self.flags: tuple[Reader, ...] = ()
        extractor = dialect.extractor
        if extractor is not None:
            self.number = extractor.sequences[counting[0]] if counting else None
            self.flags = tuple(flag for at in flagging if (flag := extractor.snapshots[at]) is not None)
        self.counts = self.number is not None or bool(self.flags)
        """Its messages have a number, or may be snapshots."""
        self.counts_inside = any(one.in_payload for one in (self.number, *self.flags) if one is not None)
        """To know it, the payload must be decoded."""
        self.head = self.number.head if self.number is not None and not self.flags else None

    def count(self, number: Number | None, snapshot: bool) -> tuple[bool, int | None]:
        """A message came: whether some are missing before it, and how many (None = nobody can know)."""
        if self.counter is None:
            return False, None
        if number is not None:
            return self.counter.follow(number, snapshot)
        if snapshot:
            self.counter.due = None
        return False, None


class Router(Generic[T]):
    """Which topics want which fields."""

    def __init__(self, dialect: Dialect, resolver: Resolver[T] | None) -> None:
        self._dialect = dialect
        self._names = dialect.field_names
        self.resolver = resolver if dialect.unasked else None
        """Who wants what comes unasked; None = those that asked for it."""
        self._wanted: dict[T, Mapping[str, str]] = {}
        self._order: dict[T, int] = {}
        self._shapes: dict[tuple[str, ...], dict[tuple[str | None, ...], dict[T, None]]] = {}
        self._targets: dict[Values, Target[T]] = {}
        self._next = 0

    def __contains__(self, topic: T) -> bool:
        return topic in self._wanted

    def __len__(self) -> int:
        return len(self._wanted)

    def fields_of(self, topic: T) -> Mapping[str, str]:
        """The fields of a wanted topic."""
        return self._wanted[topic]

    def in_order(self, topics: Iterable[T]) -> tuple[T, ...]:
        """The wanted ones of these topics, in the order they were wanted."""
        return tuple(sorted({topic for topic in topics if topic in self._order}, key=self._order.__getitem__))

    def add(self, topic: T, fields: Mapping[str, str]) -> None:
        """A topic is wanted."""
        self._wanted[topic] = fields
        self._order[topic] = self._next
        self._next += 1
        shape = tuple(sorted(fields))
        self._shapes.setdefault(shape, {}).setdefault(tuple(fields[name] for name in shape), {})[topic] = None
        self._refresh(fields)

    def discard(self, topic: T) -> None:
        """A topic is no longer wanted."""
        fields = self._wanted.pop(topic)
        del self._order[topic]
        shape = tuple(sorted(fields))
        values = tuple(fields[name] for name in shape)
        topics = self._shapes[shape][values]
        del topics[topic]
        if not topics:
            del self._shapes[shape][values]
        if not self._shapes[shape]:
            del self._shapes[shape]
        self._refresh(fields)

    def find(self, fields: Mapping[str, str]) -> Target[T] | None:
        """The target of a message's fields; None = nobody wants it."""
        values = tuple([fields.get(name) for name in self._names])
        target = self._targets.get(values)
        if target is not None:
            return target if self.resolver is None or self.resolved(target) else None
        topics = self._topics_of(fields)
        if not topics:
            return None
        if len(self._targets) >= MAX_TARGETS:
            self._targets.pop(next(iter(self._targets))).topics = ()
        target = self._targets[values] = Target(fields, topics, self._dialect)
        return target

    def resolved(self, target: Target[T]) -> tuple[T, ...]:
        """Who wants an unasked message now."""
        assert self.resolver is not None
        if target.era != self.resolver.era:
            target.era = self.resolver.era  # before it is asked: what cannot be found in whole counts it up
            target.topics = self.resolver.find(target.fields)
        return target.topics

    def restart(self, topics: Iterable[T]) -> None:
        """The sequences of these topics start anew: they were asked for again."""
        asked = set(topics)
        for target in self._targets.values():
            if target.counter is not None and not asked.isdisjoint(target.topics):
                target.counter.due = None

    def _topics_of(self, fields: Mapping[str, str]) -> tuple[T, ...]:
        if self.resolver is not None:
            return self.resolver.find(fields)
        found: list[T] = []
        for shape, by_values in self._shapes.items():
            found += by_values.get(tuple([fields.get(name, None) for name in shape]), ())
        return tuple(found) if len(found) < 2 else self.in_order(found)

    def _refresh(self, fields: Mapping[str, str]) -> None:
        values = tuple([fields.get(name) for name in self._names])
        if None not in values:
            self._refresh_one(values)
            return
        for key, target in list(self._targets.items()):
            if all(target.fields.get(name) == value for name, value in fields.items()):
                self._refresh_one(key)

    def _refresh_one(self, key: Values) -> None:
        target = self._targets.get(key)
        if target is None:
            return
        target.topics = self._topics_of(target.fields)
        if not target.topics:
            del self._targets[key]
