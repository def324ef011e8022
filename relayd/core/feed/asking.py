"""Asking for subscriptions and ending them: which messages, with what, in what order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from relayd.core.feed.dialect import Dialect
from relayd.core.feed.errors import Refused, Unset
from relayd.core.feed.ledger import Ledger, Request, State, Subscription
from relayd.core.feed.outcome import HttpRequest, Sending
from relayd.core.feed.path import MISSING
from relayd.core.feed.subscription import (
    ROW,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Rows,
    Variant,
    Written,
    alike,
    batches,
    size_of,
    write,
)
from relayd.core.feed.template import Values
from relayd.core.feed.voice import Voice

T = TypeVar("T")

Entry = tuple[Subscription[T], Values]


class Asking(Generic[T]):
    """Makes the messages of one connection and notes them in the ledger."""

    def __init__(self, dialect: Dialect, voice: Voice, ledger: Ledger[T]) -> None:
        self._dialect = dialect
        self._voice = voice
        self._ledger = ledger
        self.refused: list[tuple[Subscription[T], str]] = []
        """What could not be asked for, and why; whoever asks takes it away."""

    def ask(self, subscriptions: Sequence[Subscription[T]]) -> list[Sending]:
        """The messages that ask for these, grouped in the order of each group's first."""
        groups: dict[tuple[object, ...], list[Entry[T]]] = {}
        for one in subscriptions:
            variant = self._dialect.subscribe[one.variant]
            if not variant.is_asked:
                self._ledger.confirm(one)
            else:
                key = (one.variant, *(alike(variant, one.row) if variant.is_many else (id(one),)))
                groups.setdefault(key, []).append((one, one.row))
        sendings: list[Sending] = []
        for entries in groups.values():
            position = entries[0][0].variant
            variant = self._dialect.subscribe[position]
            if variant.whole:
                entries = self._whole(position, alike(variant, entries[0][1]))
            sendings += self._written(variant, SUBSCRIBE, entries)
        return sendings

    def _whole(self, position: int, key: tuple[str, ...]) -> list[Entry[T]]:
        """Everything that is to be in a message which replaces the whole set."""
        variant = self._dialect.subscribe[position]
        return [
            (one, one.row)
            for one in self._ledger.all()
            if one.variant == position and one.state is not State.FAILED and alike(variant, one.row) == key
        ]

    def end(self, subscriptions: Sequence[Subscription[T]]) -> list[Sending]:
        """The messages that end these; they are gone from the ledger, but for those whose id is still awaited."""
        rows: list[Entry[T]] = []
        for one in subscriptions:
            variant = self._dialect.ending(one.variant, one.fields)
            if one.state is State.ASKED and variant is not None and self._waits(one, variant):
                one.state = State.ENDING
                continue
            if one.state not in (State.NEW, State.FAILED):
                rows.append((one, {**one.row, "bound": one.bound}))
            self._ledger.remove(one)
        sendings: list[Sending] = []
        for variant, entries in self._endings(rows):
            if variant.whole:
                left = self._whole(entries[0][0].variant, alike(variant, entries[0][1]))
                sendings += self._written(variant, SUBSCRIBE, left) if left else self._emptied(variant, entries)
            else:
                sendings += self._written(variant, UNSUBSCRIBE, entries)
        return sendings

    def renew(self, subscriptions: Sequence[Subscription[T]]) -> list[Sending]:
        """Ends these and asks for them again; those whose id is still awaited are only asked for once it is told."""
        confirmed = [one for one in subscriptions if one.state is State.CONFIRMED]
        endable = [one for one in confirmed if not self._dialect.subscribe[one.variant].whole]
        rows = [(one, {**one.row, "bound": one.bound}) for one in endable]
        sendings: list[Sending] = []
        for variant, entries in self._endings(rows):
            sendings += self._written(variant, UNSUBSCRIBE, entries)
        return sendings + self.ask([one for one in subscriptions if one.state is not State.ENDING])

    def _endings(self, rows: Sequence[Entry[T]]) -> list[tuple[Variant, list[Entry[T]]]]:
        groups: dict[tuple[object, ...], tuple[Variant, list[Entry[T]]]] = {}
        for one, row in rows:
            variant = self._dialect.ending(one.variant, one.fields)
            if variant is None or not variant.is_asked or self._waits(one, variant, row):
                continue
            key = (id(variant), *(alike(variant, row) if variant.is_many else (id(one),)))
            groups.setdefault(key, (variant, []))[1].append((one, row))
        return list(groups.values())

    def _waits(self, one: Subscription[T], variant: Variant, row: Values | None = None) -> bool:
        bound = one.bound if row is None else row["bound"]
        return bound is MISSING and "bound" in variant.names

    def _emptied(self, variant: Variant, entries: list[Entry[T]]) -> list[Sending]:
        values = {**self._base(variant, SUBSCRIBE), **entries[0][1], ROW: []}
        return [write(variant, values, []).sending]

    def _base(self, variant: Variant, verb: int, *, take_id: bool = True) -> dict[str, object]:
        return {**self._voice.values(variant.names, take_id=take_id), "verb": variant.verbs[verb]}

    def _written(self, variant: Variant, verb: int, entries: list[Entry[T]]) -> list[Sending]:
        if not variant.is_many:
            return [sending for entry in entries for sending in self._message(variant, verb, [entry])]
        rows = [row for _, row in entries]

        def length(start: int, end: int) -> int:
            try:
                return size_of(write(variant, self._base(variant, verb, take_id=False), rows[start:end]).sending)
            except (Refused, Unset):
                return 0

        cuts = [(0, len(entries))] if variant.whole else batches(variant, len(entries), length)
        return [sending for start, end in cuts for sending in self._message(variant, verb, entries[start:end])]

    def _message(self, variant: Variant, verb: int, entries: list[Entry[T]]) -> list[Sending]:
        try:
            written = self._write(variant, verb, [row for _, row in entries])
        except (Refused, Unset) as error:
            if len(entries) > 1:
                # One that cannot be written must not keep the others from being asked for.
                middle = len(entries) // 2
                return self._message(variant, verb, entries[:middle]) + self._message(variant, verb, entries[middle:])
            self._refuse(verb, entries[0][0], error)
            return []
        sending = written.sending
        number = sending.number if isinstance(sending, HttpRequest) else 0
        self._ledger.asked(Request(verb, [one for one, _ in entries], written.ids, number))
        if verb == SUBSCRIBE:
            self._asked(variant, written, [one for one, _ in entries])
        return [sending]

    def _write(self, variant: Variant, verb: int, rows: Rows) -> Written:
        if variant.bytes is not None:
            trial = size_of(write(variant, self._base(variant, verb, take_id=False), rows).sending)
            if trial > variant.bytes and len(rows) == 1:
                raise Refused(f"asking for it takes {trial} bytes, and this upstream takes {variant.bytes} at once")
        number = self._voice.number() if variant.http is not None else 0
        return write(variant, self._base(variant, verb), rows, number)

    def _asked(self, variant: Variant, written: Written, subscriptions: list[Subscription[T]]) -> None:
        for one in subscriptions:
            if written.bound is not MISSING:
                self._ledger.bind(one, written.bound)
            if not self._dialect.acks:
                self._ledger.confirm(one)

    def _refuse(self, verb: int, one: Subscription[T], error: Refused | Unset) -> None:
        if verb == SUBSCRIBE:
            lacks = f"asking for it needs {error.name}, which has no value" if isinstance(error, Unset) else str(error)
            self.refused.append((one, lacks))
            self._ledger.fail(one)
