"""The upstream subscriptions of one connection: who shares them, what was asked for, what the upstream said of it.

A subscription lives while a topic, or a subscription whose companion it is, needs it. Asking and ending keep their
order: what is ended before its ack came, and can only be ended by the id that the ack tells, ends when the ack comes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from relayd.core.feed.dialect import Dialect
from relayd.core.feed.fields import value_text
from relayd.core.feed.path import MISSING
from relayd.core.feed.subscription import SUBSCRIBE

T = TypeVar("T")

# Unsubscribes whose answer is awaited; many feeds never answer them (guess).
MAX_ENDED = 1024


class State(Enum):
    """Where a subscription stands."""

    NEW = "new"
    """Not asked for yet."""
    ASKED = "asked"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    """The upstream refused or ended it; `Conversation.retry` asks again."""
    ENDING = "ending"
    """Nobody needs it, but it can only be ended once its ack has told its id."""
    GONE = "gone"


@dataclass(slots=True, eq=False)
class Request(Generic[T]):
    """One message that asked for subscriptions, or ended them."""

    verb: int
    subscriptions: list[Subscription[T]]
    ids: frozenset[str] = frozenset()
    number: int = 0
    """Of its HTTP request; 0 = it was a frame."""


@dataclass(slots=True, eq=False)
class Subscription(Generic[T]):
    """One upstream subscription."""

    variant: int
    key: tuple[object, ...]
    fields: dict[str, str]
    """Those of its identity: what it was made with."""
    row: dict[str, object]
    """Its placeholders."""
    alias: Mapping[str, str]
    """The fields under which its data comes."""
    topics: dict[T, None] = field(default_factory=dict)
    companions_of: int = 0
    """How many subscriptions it beats for."""
    companion: Subscription[T] | None = None
    state: State = State.NEW
    bound: object = MISSING
    """The id that stands for it."""
    request: Request[T] | None = None
    """Of what was asked last."""

    @property
    def is_needed(self) -> bool:
        """Whether a topic or another subscription needs it."""
        return bool(self.topics) or self.companions_of > 0


class Ledger(Generic[T]):
    """All subscriptions of a connection."""

    def __init__(self, dialect: Dialect, rebound: Callable[[], None] = lambda: None) -> None:
        self._dialect = dialect
        self._rebound = rebound
        """Called when an id begins or ceases to stand for a subscription."""
        self._by_key: dict[tuple[object, ...], Subscription[T]] = {}
        self._by_topic: dict[T, Subscription[T]] = {}
        self._by_bound: dict[str, list[Subscription[T]]] = {}
        self._by_id: dict[str, Request[T]] = {}
        self._by_number: dict[int, Request[T]] = {}
        self._ended: OrderedDict[int, Request[T]] = OrderedDict()
        self._asked: dict[int, Subscription[T]] = {}

    def all(self) -> list[Subscription[T]]:
        """Every subscription, in the order they came up."""
        return list(self._by_key.values())

    @property
    def is_ack_awaited(self) -> bool:
        """Whether something was asked for and not answered."""
        return bool(self._asked)

    def of_topic(self, topic: T) -> Subscription[T] | None:
        """The subscription of a topic."""
        return self._by_topic.get(topic)

    def join(self, topic: T, fields: Mapping[str, str]) -> list[Subscription[T]]:
        """A topic comes to need its subscription. Returns those that are to be asked for now. Raises Refused."""
        subscription, fresh = self._get(fields)
        subscription.topics[topic] = None
        self._by_topic[topic] = subscription
        return fresh

    def leave(self, topic: T) -> list[Subscription[T]]:
        """A topic needs its subscription no more. Returns those that nobody needs now."""
        subscription = self._by_topic.pop(topic)
        del subscription.topics[topic]
        idle = []
        if not subscription.is_needed:
            idle.append(subscription)
            companion = subscription.companion
            if companion is not None and companion is not subscription:
                companion.companions_of -= 1
                if not companion.is_needed:
                    idle.append(companion)
        return idle

    def _get(self, fields: Mapping[str, str]) -> tuple[Subscription[T], list[Subscription[T]]]:
        subscription, is_fresh = self._find(fields)
        fresh = [subscription] if is_fresh else []
        if not subscription.is_needed:
            wanted = self._dialect.companion(subscription.fields)
            companion_known = wanted is not None and self._dialect.variant_of(wanted) is not None
            if wanted is not None and companion_known:
                companion, is_fresh = self._find(wanted)
                if companion is not subscription:
                    if is_fresh:
                        fresh.append(companion)
                    companion.companions_of += 1
                subscription.companion = companion
        return subscription, fresh

    def _find(self, fields: Mapping[str, str]) -> tuple[Subscription[T], bool]:
        dialect = self._dialect
        variant = dialect.variant_of(fields) or 0
        identity = dialect.identity(variant, fields)
        key = (variant, *identity)
        known = self._by_key.get(key)
        if known is not None:
            if known.state is State.ENDING:
                known.state = State.ASKED
            return known, known.state is State.FAILED
        own = dict(zip(dialect.identities[variant], identity, strict=True))
        subscription = Subscription[T](variant, key, own, dialect.row_values(own), dialect.answered_as(own))
        self._by_key[key] = subscription
        return subscription, True

    def asked(self, request: Request[T]) -> None:
        """A request went out. What was known of earlier requests for the same subscriptions counts no more."""
        for one in request.subscriptions if request.verb == SUBSCRIBE else ():
            self._withdraw(one)
            one.request = request
            one.state = State.ASKED
            self._asked[id(one)] = one
        for text in request.ids:
            self._by_id[text] = request
        if request.number:
            self._by_number[request.number] = request
        if request.verb != SUBSCRIBE:
            self._ended[id(request)] = request
            if len(self._ended) > MAX_ENDED:
                self._forget(self._ended.popitem(last=False)[1])

    def bind(self, subscription: Subscription[T], bound: object) -> str | None:
        """From now on this id stands for the subscription. Returns the id as text."""
        text = value_text(bound)
        if text is None:
            return None
        if text != value_text(subscription.bound):
            self._unbind(subscription)
            self._by_bound.setdefault(text, []).append(subscription)
            subscription.bound = bound
            self._rebound()
        return text

    def _unbind(self, subscription: Subscription[T]) -> None:
        text = value_text(subscription.bound)
        if text is None:
            return
        mine = self._by_bound[text]
        mine.remove(subscription)
        if not mine:
            del self._by_bound[text]
        subscription.bound = MISSING
        self._rebound()

    def bound_to(self, bound: str) -> list[Subscription[T]]:
        """The subscriptions that an id stands for."""
        return self._by_bound.get(bound, [])

    def request_of(self, text: str) -> Request[T] | None:
        """The request whose `$id` was rendered into this text."""
        return self._by_id.get(text)

    def request_number(self, number: int | None) -> Request[T] | None:
        """The request of an HTTP request; None = the one sent last."""
        if number is None:
            number = max(self._by_number, default=0)
        return self._by_number.get(number)

    def oldest_request(self) -> Request[T] | None:
        """Of what was asked for and is not answered, the request that went out first."""
        first = next(iter(self._asked.values()), None)
        return None if first is None else first.request

    def agreeing(self, table: Mapping[str, str]) -> list[Subscription[T]]:
        """The subscriptions that agree with these fields; fields they are not made with do not count."""
        exact = self._exact(table)
        if exact is not None:
            return [exact]
        return [one for one in self._by_key.values() if _agrees(one.fields, table) or _agrees(one.alias, table)]

    def _exact(self, table: Mapping[str, str]) -> Subscription[T] | None:
        # A state list may hold thousands: what has the whole identity is found without looking at all of them.
        for variant, names in enumerate(self._dialect.identities):
            if names and all(name in table for name in names):
                found = self._by_key.get((variant, *(table[name] for name in names)))
                if found is not None and len(table) == len(names):
                    return found
        return None

    def confirm(self, subscription: Subscription[T]) -> None:
        """The upstream confirmed it."""
        self._asked.pop(id(subscription), None)
        if subscription.state is not State.ENDING:
            subscription.state = State.CONFIRMED

    def fail(self, subscription: Subscription[T]) -> None:
        """The upstream refused or ended it."""
        was_ending = subscription.state is State.ENDING
        self._withdraw(subscription)
        subscription.state = State.FAILED
        if was_ending or not subscription.is_needed:
            self.remove(subscription)

    def settle(self, request: Request[T]) -> None:
        """A request was answered for good."""
        if request.verb != SUBSCRIBE:
            self._ended.pop(id(request), None)
            self._forget(request)

    def remove(self, subscription: Subscription[T]) -> None:
        """It is over: nothing that still comes for it is its any more."""
        self._withdraw(subscription)
        subscription.state = State.GONE
        self._by_key.pop(subscription.key, None)

    def _withdraw(self, subscription: Subscription[T]) -> None:
        self._asked.pop(id(subscription), None)
        self._unbind(subscription)
        request = subscription.request
        if request is not None:
            request.subscriptions.remove(subscription)
            subscription.request = None
            if not request.subscriptions:
                self._forget(request)

    def _forget(self, request: Request[T]) -> None:
        for text in request.ids:
            if self._by_id.get(text) is request:
                del self._by_id[text]
        self._by_number.pop(request.number, None)


def _agrees(fields: Mapping[str, str], table: Mapping[str, str]) -> bool:
    common = [name for name in table if name in fields]
    return bool(common) and all(fields[name] == table[name] for name in common)
