"""Who wants what of one upstream: the first browser of a topic subscribes it there, the last one leaves it to linger.

The hub says `wanted` and `unwanted`; the session hears of a topic once, however often browsers come and go meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Generic, Protocol, TypeVar


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


class Demand(Generic[T]):
    """The topics that somebody wants of one upstream, or wanted `linger` ago. Bounded by the topics of the hub."""

    def __init__(self, session: Wanting[T], *, monotonic: Callable[[], float], wake: Callable[[], None]) -> None:
        """`wake` is called when `next_deadline` of this object or of the session may have come nearer."""
        self._session = session
        self._monotonic = monotonic
        self._wake = wake
        self._pinned: set[T] = set()
        # One queue for each length of linger: in each, insertion order is the order of deadlines.
        self._lingering: dict[float, dict[T, float]] = {}

    def pin(self, topic: T) -> None:
        """Want it for ever, whoever listens."""
        self._pinned.add(topic)
        self.wanted(topic)

    def wanted(self, topic: T) -> None:
        """Its first browser came."""
        queue = self._lingering.get(topic.route.linger_s)
        if queue is not None and queue.pop(topic, None) is not None:
            return
        self._session.want(topic, topic.fields, self._monotonic())
        self._wake()

    def unwanted(self, topic: T) -> None:
        """Its last browser left."""
        if topic in self._pinned:
            return
        linger_s = topic.route.linger_s
        queue = self._lingering.setdefault(linger_s, {})
        queue.pop(topic, None)
        queue[topic] = self._monotonic() + linger_s
        self._wake()

    def next_deadline(self) -> float:
        """When a linger is over; infinity = none."""
        return min((next(iter(queue.values())) for queue in self._lingering.values() if queue), default=inf)

    def tick(self, now: float) -> None:
        """Give up the topics whose linger is over."""
        for queue in self._lingering.values():
            while queue and next(iter(queue.values())) <= now:
                topic = next(iter(queue))
                del queue[topic]
                self._session.unwant(topic, now)
