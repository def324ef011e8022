"""How topics are asked for: the variants of `subscribe` and `unsubscribe`, and the messages they make.

The identity of an upstream subscription is the fields that asking for it uses; topics that agree in them share it. A
message holds the subscriptions for which everything but `$topics` renders alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from relayd.core.feed.control import AckRule
from relayd.core.feed.errors import Refused
from relayd.core.feed.match import FOR_ALL, For
from relayd.core.feed.outcome import Frame, Sending
from relayd.core.feed.path import MISSING, Paths
from relayd.core.feed.sign import NO_SETS, Sets
from relayd.core.feed.template import Node, Ref, Text, Values, as_text, names_of, render, render_frame, texts_of
from relayd.core.feed.url import Http

ROW = "topics"
"""The placeholder that stands for a message's subscriptions."""

# What a word of a bare text is made of, around an id.
_WORD_END = re.compile(r"[\w-]*\Z")
_WORD_START = re.compile(r"[\w-]*")

SUBSCRIBE, UNSUBSCRIBE = 0, 1
"""Positions in `verbs`."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant of `subscribe` or `unsubscribe`. One of `send`, `http` and `in_url` is there."""

    applies: For = FOR_ALL
    verbs: tuple[str, str] = ("subscribe", "unsubscribe")
    sets: Sets = NO_SETS
    each: Node = None
    """One member of `$topics`."""
    join: str | None = None
    batch: int | None = None
    """Members in one message at most."""
    bytes: int | None = None
    """Length of one message at most."""
    send: Node = None
    sends: bool = False
    http: Http | None = None
    in_url: bool = False
    whole: bool = False
    """Every message replaces the whole set."""
    bind: Text | None = None
    """The id we choose."""
    ack: AckRule | None = None
    """Of the reply to `http`."""
    text: Paths = ()
    """Where the reply to `http` says why it failed."""
    within_s: float | None = None
    settle_s: float = 1.0
    outer_names: frozenset[str] = frozenset()
    """With `in_url`: the placeholders of `connect`."""

    @property
    def message_names(self) -> frozenset[str]:
        """The placeholders of the message, `$topics` among them, without those that `set` defines."""
        names = names_of(self.send) | (self.http.names if self.http else frozenset()) | self.outer_names
        if self.bind is not None:
            names |= names_of(self.bind)
        return (names - self.sets.names) | self.sets.uses

    @property
    def is_many(self) -> bool:
        """Whether one message holds several subscriptions."""
        return ROW in self.message_names

    @property
    def names(self) -> frozenset[str]:
        """All placeholders that asking for a subscription uses."""
        names = self.message_names - {ROW}
        return names | names_of(self.each) if self.is_many else names

    @property
    def alike(self) -> tuple[str, ...]:
        """The placeholders that stand outside of `$topics`: a message holds subscriptions that agree in them."""
        return tuple(sorted(self.message_names - {ROW}))

    @property
    def is_asked(self) -> bool:
        """Whether a message is sent at all."""
        return self.sends or self.http is not None


@dataclass(frozen=True, slots=True)
class Written:
    """A message that was made."""

    sending: Sending
    ids: frozenset[str]
    """The texts that `$id` was rendered into: what an ack may name."""
    bound: object = MISSING
    """The id that we chose (`bind`)."""


Rows: TypeAlias = Sequence[Values]
"""One table of values per subscription."""


def write(variant: Variant, values: Values, rows: Rows, number: int = 0) -> Written:
    """One message for these subscriptions. `values` hold all that is not a subscription's own.

    Raises Unset, and Refused for values that cannot be put into it.
    """
    own: dict[str, Any] = {**values, **(rows[0] if rows else {})}
    members: list[object] = []
    if variant.is_many:
        members = [render(variant.each, {**values, **row}) for row in rows]
        own[ROW] = _joined(variant, members)
    every = variant.sets.extend(own)
    sending: Sending
    if variant.http is not None:
        # A URL joins values once they are encoded, so it is given the list.
        sending = variant.http.render(every, {**every, ROW: members}, variant.join, number)
    else:
        sending = Frame(render_frame(variant.send, every))
    bound = MISSING if variant.bind is None else variant.bind.render(every)
    return Written(sending, ids_in(variant, every), bound)


def _joined(variant: Variant, members: list[object]) -> object:
    if variant.join is None:
        return members
    texts = [as_text(member) for member in members]
    check_joiner(variant, texts)
    return variant.join.join(texts)


def check_joiner(variant: Variant, texts: Sequence[str]) -> None:
    """Raises Refused where a member holds the text that stands between members: it would become two."""
    if variant.join and any(variant.join in text for text in texts):
        raise Refused(f"a value holds {variant.join!r}, which stands between topics in messages of this upstream")


def ids_in(variant: Variant, values: Values) -> frozenset[str]:
    """The texts of the message that hold `$id`; of a bare text the words that do."""
    holding = [text for text in _texts(variant) if any(ref.name == "id" for ref in text.refs)]
    found = {as_text(text.render(values)) for text in holding if text is not variant.send}
    if isinstance(variant.send, Text) and variant.send in holding:
        found.update(_words_with_id(variant.send, values))
    return frozenset(found)


def _words_with_id(text: Text, values: Values) -> Iterator[str]:
    parts = ["", *text.parts, ""]
    for before, part, behind in zip(parts, parts[1:], parts[2:], strict=False):
        if isinstance(part, Ref) and part.name == "id":
            head = _WORD_END.search(before) if isinstance(before, str) else None
            tail = _WORD_START.match(behind) if isinstance(behind, str) else None
            yield (head[0] if head else "") + as_text(part.value(values)) + (tail[0] if tail else "")


def _texts(variant: Variant) -> Iterator[Text]:
    yield from texts_of(variant.send)
    if variant.http is not None:
        yield from texts_of(variant.http.json)
        for node in (variant.http.form or {}).values():
            yield from texts_of(node)
    if variant.bind is not None:
        yield variant.bind


def alike(variant: Variant, values: Values) -> tuple[str, ...]:
    """What subscriptions of one message have in common."""
    return tuple(as_text(values[name]) for name in variant.alike if name in values)


def batches(variant: Variant, count: int, length: Callable[[int, int], int]) -> Iterator[tuple[int, int]]:
    """Cuts `count` subscriptions into messages: (start, end) of each, as few as `batch` and `bytes` allow.

    `length(start, end)` is the length of such a message. One that is too long with a single member is made all the
    same: the caller refuses it.
    """
    start = 0
    while start < count:
        end = min(count, start + variant.batch) if variant.batch is not None else count
        if variant.bytes is not None and length(start, end) > variant.bytes:
            low, high = start + 1, end
            # The longest message that fits: its length grows with its members, so halving finds it.
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if length(start, middle) <= variant.bytes else (low, middle)
            end = low
        yield start, end
        start = end


def size_of(sending: Sending) -> int:
    """The length of a message in bytes."""
    return len(sending.payload) if isinstance(sending, Frame) else len(sending.body) + len(sending.url)


def choose(variants: Sequence[Variant], fields: Mapping[str, str]) -> int | None:
    """The position of the first variant that applies."""
    return next((at for at, variant in enumerate(variants) if variant.applies.holds(fields)), None)
