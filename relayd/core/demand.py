"""Who wants what of one upstream: the first browser of a topic subscribes it there, the last one leaves it to linger.

The hub says `wanted` and `unwanted`; the session hears of a topic once, however often browsers come and go meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from relayd.core.deadlines import Deadlines


class Route(Protocol):
    """What demand needs to know of a route."""

    @property
    def linger_s(self) -> float: ...


class DemandedTopic(Protocol):
    """A topic of the hub, as far as demand looks at it. Hashable by identity or name."""

    @property
    def route(self) -> Route: ...
    @property
    def fields(self) -> Mapping[str, str]: ...


T = TypeVar("T", bound=DemandedTopic)
TIn = TypeVar("TIn", contravariant=True)


class Wanting(Protocol[TIn]):
    """What demand drives: `UpstreamSession`."""

    def want(self, topic: TIn, fields: Mapping[str, str], now: float) -> None: ...
    def unwant(self, topic: TIn, now: float) -> None: ...
    def refresh(self, topic: TIn, now: float) -> None: ...


class Demand(Generic[T]):
    """The topics that somebody wants of one upstream, or wanted `linger` ago. Bounded by the topics of the hub."""

    def __init__(self, session: Wanting[T], *, monotonic: Callable[[], float], wake: Callable[[], None]) -> None:
        """`wake` is called when `next_deadline` of this object or of the session may have come nearer."""
        self._session = session
        self._monotonic = monotonic
        self._wake = wake
        self._pinned: set[T] = set()
        self._lingering: Deadlines[T] = Deadlines()

    def pin(self, topic: T) -> None:
        """Want it for ever, whoever listens."""
        self._pinned.add(topic)
        self.wanted(topic)

    def wanted(self, topic: T) -> None:
        """Its first browser came."""
        if self._lingering.discard(topic):
            return
        self._session.want(topic, topic.fields, self._monotonic())
        self._wake()

    def unwanted(self, topic: T) -> None:
        """Its last browser left."""
        if topic not in self._pinned:
            self._lingering.set(topic, topic.route.linger_s, self._monotonic())
            self._wake()

    def refresh(self, topic: T) -> None:
        """A newcomer needs a snapshot that the ring no longer holds: the upstream is asked anew."""
        self._session.refresh(topic, self._monotonic())
        self._wake()

    def next_deadline(self) -> float:
        """When a linger is over; infinity = none."""
        return self._lingering.next()

    def tick(self, now: float) -> None:
        """Give up the topics whose linger is over."""
        for topic in self._lingering.take_due(now):
            self._session.unwant(topic, now)
