"""The subscriptions that one connection may hold (`limits.topics`), counted as the feed counts them.

Topics that share a subscription share its place, and a companion subscription (`heartbeat.also`) takes one as any other
does. What the feed has no way to end keeps its place until the connection ends. A topic that finds no place waits for
one, in the order of asking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from relayd.core.feed.dialect import Dialect
from relayd.core.feed.errors import Refused

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Claim:
    """One subscription of the feed."""

    key: tuple[object, ...]
    """What makes it the same as another: its variant, and the fields it is made with."""
    ends: bool = True
    """Whether the feed can be told to end it."""


Claims = tuple[Claim, ...]
ClaimsOf = Callable[[Mapping[str, str]], Claims]


def no_claims(fields: Mapping[str, str]) -> Claims:
    """Nothing is subscribed for any topic."""
    return ()


def claims_of(dialect: Dialect, fields: Mapping[str, str]) -> Claims:
    """The subscriptions that a topic of these fields needs: its own, then its companion; none if it cannot be asked for
    or is not asked for in any message."""
    try:
        own = _claim(dialect, fields)
        also = dialect.companion({name: fields[name] for name in own[1]}) if own is not None else None
        companion = _claim(dialect, also) if also is not None else None
    except Refused:
        return ()
    return tuple(dict.fromkeys(one[0] for one in (own, companion) if one is not None))


def _claim(dialect: Dialect, fields: Mapping[str, str]) -> tuple[Claim, tuple[str, ...]] | None:
    at = dialect.variant_of(fields)
    if at is None or not (dialect.subscribe[at].is_asked or dialect.subscribe[at].in_url):
        return None
    return Claim((at, *dialect.identity(at, fields)), dialect.ending(at, fields) is not None), dialect.identities[at]


class Places(Generic[T]):
    """Who holds a place on the present connection, and who waits for one. Bounded by the topics."""

    __slots__ = ("_claims_of", "_held", "_most", "_of_topic", "_waiting", "_waits_for", "why")

    def __init__(self, most: int | None = None, claims_of: ClaimsOf = no_claims, why: str = "") -> None:
        """`most`: places of a connection, None = no limit is known; `why` tells people that there are no more."""
        self.why = why
        self._most = most
        self._claims_of = claims_of
        self._of_topic: dict[T, Claims] = {}
        self._held: dict[Claim, int] = {}
        """How many topics hold it; none = it goes on because it cannot be ended."""
        self._waits_for: dict[T, Claims] = {}
        self._waiting: dict[Claims, dict[T, None]] = {}

    @property
    def waiting(self) -> int:
        """How many topics wait."""
        return len(self._waits_for)

    def has_place(self, fields: Mapping[str, str]) -> bool:
        """Whether a topic of these fields would find a place."""
        return self._most is None or self._fits(self._claims_of(fields))

    def could_hold(self, fields: Mapping[str, str]) -> bool:
        """Whether a topic of these fields would find a place if nobody else had one."""
        return self._most is None or len(self._claims_of(fields)) <= self._most

    def shares(self, fields: Mapping[str, str]) -> bool:
        """Whether the topic's own subscription has a place already."""
        return self._most is not None and any(claim in self._held for claim in self._claims_of(fields)[:1])

    def settle(self) -> None:
        """The connection is gone: what went on only because it could not be ended holds no place any more."""
        self._held = {claim: topics for claim, topics in self._held.items() if topics}

    def take(self, topic: T, fields: Mapping[str, str]) -> bool:
        """Whether the topic has a place from now on; if not, it waits."""
        if self._most is None:
            return True
        claims = self._claims_of(fields)
        if self._fits(claims):
            self._hold(topic, claims)
            return True
        self._waits_for[topic] = claims
        self._waiting.setdefault(claims, {})[topic] = None
        return False

    def hold(self, topic: T, fields: Mapping[str, str]) -> None:
        """The upstream has the topic after all, although it refused it: it has a place, even if there is none."""
        if self._most is not None:
            self._leave_queue(topic)
            self._hold(topic, self._claims_of(fields))

    def refused(self, topic: T) -> list[T]:
        """The upstream refused its subscription, or ended it; a companion goes on. Returns who has a place now."""
        claims = self._of_topic.pop(topic, ())
        if not claims:
            return []
        if len(claims) > 1:
            self._of_topic[topic] = claims[1:]
        self._release(claims[0], gone=True)
        return self._admit()

    def free(self, topic: T, *, asked: bool = True) -> list[T]:
        """Nobody wants the topic any more. What was `asked` for and cannot be ended goes on. Returns who has a place
        now."""
        self._leave_queue(topic)
        for claim in self._of_topic.pop(topic, ()):
            self._release(claim, gone=claim.ends or not asked)
        return self._admit()

    def clear(self) -> None:
        """The connection is gone, and with it every subscription; whoever waited asks anew."""
        for table in (self._of_topic, self._held, self._waits_for, self._waiting):
            table.clear()

    def _leave_queue(self, topic: T) -> None:
        claims = self._waits_for.pop(topic, None)
        if claims is not None:
            del self._waiting[claims][topic]
            if not self._waiting[claims]:
                del self._waiting[claims]

    def _fits(self, claims: Claims) -> bool:
        return self._most is None or len(self._held) + sum(one not in self._held for one in claims) <= self._most

    def _hold(self, topic: T, claims: Claims) -> None:
        mine = self._of_topic.get(topic, ())
        for claim in claims:
            if claim not in mine:
                self._held[claim] = self._held.get(claim, 0) + 1
        self._of_topic[topic] = claims

    def _release(self, claim: Claim, *, gone: bool) -> None:
        self._held[claim] -= 1
        if gone and not self._held[claim]:
            del self._held[claim]

    def _admit(self) -> list[T]:
        fitting: list[Claims] = []
        for claims, topics in self._waiting.items():
            if self._most is not None and len(self._held) >= self._most:
                break
            if self._fits(claims):
                fitting.append(claims)
                for topic in topics:
                    self._hold(topic, claims)
        admitted = [topic for claims in fitting for topic in self._waiting.pop(claims)]
        for topic in admitted:
            del self._waits_for[topic]
        return admitted
