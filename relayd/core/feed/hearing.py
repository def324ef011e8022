"""Data messages: their topics, their payload, what the sequences say of them."""

from __future__ import annotations

from typing import Generic, TypeVar

from relayd.core.feed.decode import Message, slice_of
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.fields import Reading
from relayd.core.feed.ledger import Ledger, State, Subscription
from relayd.core.feed.outcome import Data, Number
from relayd.core.feed.path import MISSING
from relayd.core.feed.resume import Resume
from relayd.core.feed.routing import Router, Target
from relayd.core.feed.sequence import ConnectionCounter, end_of
from relayd.core.resolver import Resolver

T = TypeVar("T")


class Hearing(Generic[T]):
    """Finds what a message is data of."""

    def __init__(self, dialect: Dialect, router: Router[T], ledger: Ledger[T], resume: Resume) -> None:
        self._dialect = dialect
        self._router = router
        self._ledger = ledger
        self._resume = resume
        counting = next((one for one in dialect.sequences if one.per_connection), None)
        self.counter = None if counting is None else ConnectionCounter(counting)
        self.gapped: set[Subscription[T]] = set()
        """Subscriptions of which messages were lost before the next that is delivered."""
        self.heard: Target[T] | None = None
        """The target of the last message, where it was data of exactly one."""
        self.lacks_payload = False
        """The last message was for somebody, but its payload was not there: another one's may be."""

    @property
    def resolver(self) -> Resolver[T] | None:
        """Whether what a target knows of who wants it still holds, where that is known elsewhere; else None."""
        return self._router.resolver

    def resolve(self, target: Target[T]) -> tuple[T, ...]:
        """Who wants the messages of a target now, as its resolver says."""
        return self._router.resolved(target)

    def is_wanted(self, target: Target[T]) -> bool:
        """Whether messages of a target that is known are wanted now."""
        return bool(target.topics if self.resolver is None else self.resolve(target))

    @property
    def has_losses(self) -> bool:
        """Whether a loss may have to be told with the next publication."""
        return bool(self.gapped) or (self.counter is not None and self.counter.gap)

    def count(self, message: Message) -> int | None:
        """Counts a message in the connection's sequence. Returns its number."""
        if self.counter is None:
            return None
        number = self.counter.sequence.read(message.scope)
        if number is None:
            return None
        self.counter.count(number)
        return end_of(number)

    def is_known(self, message: Message) -> bool:
        """Notes the cursor and the identity of a message. True = it was delivered before."""
        cursor, dedupe = self._dialect.cursor, self._dialect.dedupe
        if cursor is not None and self._resume.replayed(message.scope.first(cursor.at), message.payload):
            return True
        return bool(dedupe) and self._resume.repeated(message.scope.first(dedupe))

    def data(
        self, message: Message, reading: Reading, held_gap: tuple[bool, int | None] | None = None
    ) -> Data[T] | None:
        """The publication that a message is; None where nobody wants it, or its payload is missing.

        `held_gap` is what the connection's counter said when the message came, where it was held.
        """
        targets = self._targets(reading)
        self.heard, self.lacks_payload = None, False
        if not targets:
            return None
        payload = self._payload(message)
        if payload is None:
            self.lacks_payload = True
            return None
        if len(targets) == 1:
            self.heard = targets[0]
        data = Data(targets[0].topics, *payload, is_json=message.is_json)
        for target in targets:
            self._count(data, target, message)
        if len(targets) > 1:
            data.topics = self._router.in_order([topic for target in targets for topic in target.topics])
        self.tell_losses(data, held_gap)
        return data

    def _targets(self, reading: Reading) -> list[Target[T]]:
        tables = reading.tables
        if reading.bound is not None:
            tables = tuple(
                {**one.alias, **table}
                for one in self._ledger.bound_to(reading.bound)
                for table in reading.tables
                if all(one.fields.get(name, text) == text for name, text in table.items())
            )
        found = [self._router.find(table) for table in tables]
        return list({id(target): target for target in found if target is not None}.values())

    def _payload(self, message: Message) -> tuple[bytes, bool] | None:
        if not self._dialect.payload:
            return message.payload, message.is_text
        for path in self._dialect.payload:
            if message.scope.get(path) is not MISSING:
                source = message.payload if path.root == "" else None
                if source is None:
                    continue
                return bytes(slice_of(source, path, message.codec)), message.is_text
        return None

    def _count(self, data: Data[T], target: Target[T], message: Message) -> None:
        snapshot = any(one.when is not None and one.when.holds(message.scope) for one in target.snapshots)
        number: Number | None = target.sequence.read(message.scope) if target.sequence is not None else None
        gap, missed = target.count(number, snapshot)
        data.snapshot = data.snapshot or snapshot
        if data.seq is None:
            data.seq = number
        if gap and target.sequence is not None:
            data.gap, data.missed, data.repair = True, missed, target.sequence.repair

    def tell_losses(self, data: Data[T], held_gap: tuple[bool, int | None] | None = None) -> None:
        """Puts into a publication what was lost before it and is not yet told."""
        if self.counter is not None:
            gap, missed = self.counter.tell() if held_gap is None else held_gap
            if gap:
                data.gap, data.missed, data.repair = True, missed, self.counter.sequence.repair
        if self.gapped:
            self._tell_unheld(data)

    def _tell_unheld(self, data: Data[T]) -> None:
        for topic in data.topics:
            one = self._ledger.of_topic(topic)
            if one is not None and one in self.gapped:
                self.gapped.discard(one)
                if not data.gap:
                    data.gap, data.missed, data.repair = True, None, "mark"
        self.gapped = {one for one in self.gapped if one.state is not State.GONE}
