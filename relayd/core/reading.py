"""What one connection reads: its topics, its patterns, and what it may have of either.

A topic that somebody may not have is refused before it is made: who asks for it leaves no trace in the hub. A pattern
means only what its owner may have, and says nothing of the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from relayd.core.auth.access import Answer, ask, may_any
from relayd.core.auth.verdict import Identity
from relayd.core.effort import MEANT_PER_UNIT, PATTERN_UNITS, TRIED_PER_UNIT, Effort
from relayd.core.hub import Hub
from relayd.core.readers import Joined, Want
from relayd.core.resume import Positions
from relayd.core.routes import Match, TopicRefused
from relayd.core.subscriber import Subscriber
from relayd.core.topic import TopicError, TopicPattern, is_pattern
from relayd.core.topics import Topic

# Patterns of one connection: each is tried against every topic that comes into being (guess: a page needs one or two).
MAX_PATTERNS: Final = 16
# Names in one request, or twice `limits.topics_per_client` where that is more: each costs an answer of its own, and a
# message of 64 KiB has room for 11,000 (guess: no page names more).
MAX_NAMES: Final = 1_000
_TOO_MANY: Final = "limits.topics_per_client is reached"
_TOO_MUCH: Final = "more topics and patterns in a short time than limits.topics_per_client lets one connection ask for"


class AskedTooMuch(TopicRefused):
    """One connection made relayd do more than core/effort.py lets it: it is to be closed."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A topic or pattern that is not to be had, in the protocol's words."""

    code: str
    message: str
    topic: str


@dataclass(slots=True)
class Asked:
    """What a request came to."""

    joined: list[Joined] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    matches: int | None = None
    """How many topics the patterns mean; None where there was no pattern."""
    wants: dict[Topic, Want] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class _Held:
    """How a topic is subscribed to."""

    exact: bool
    claims: bool
    max_hz: float | None


@dataclass(frozen=True, slots=True)
class _How:
    """What a request says of a topic it names."""

    max_hz: float | None
    since: str | None
    exact: bool
    claims: bool = True


def check_access(found: Topic | Match, identity: Identity | None, *, to_publish: bool = False) -> None:
    """Raises TopicRefused (`unauthorized` or `forbidden`) where the topic's route does not let `identity` subscribe, or
    publish."""
    access = found.route.access
    answer = ask(access.publish if to_publish else access.subscribe, identity, found.fields)
    if answer is Answer.YES:
        return
    what = "asks for a token" if answer is Answer.UNAUTHORIZED else "does not let you in"
    key = "publish" if to_publish else "subscribe"
    raise TopicRefused(answer.value, f"route {found.route.template.text}: access.{key} {what}")


def may_read(topic: Topic | Match, identity: Identity | None) -> bool:
    """Whether the topic's route lets `identity` subscribe."""
    return ask(topic.route.access.subscribe, identity, topic.fields) is Answer.YES


def _tell_nobody(_asked: Asked) -> None:
    """After the end."""


class Reading:
    """The topics and patterns of one connection. `met` is told of topics that a pattern meets later.

    After each call that changes what is read, the caller sends its answer and then calls `settle`, in the same turn.
    """

    def __init__(
        self, hub: Hub, subscriber: Subscriber, met: Callable[[Asked], None], *, closed_before: int = 0
    ) -> None:
        """`closed_before`: connections of the same address that were just closed for too much."""
        self.identity: Identity | None = None
        self._hub = hub
        self._subscriber = subscriber
        self._told = met
        self._held: dict[Topic, _Held] = {}
        self._patterns: dict[str, TopicPattern] = {}
        self._pace_hz: float | None = None
        self._effort = Effort(hub.limits.topics_per_client, hub.now(), closed_before)
        self._asking = False
        """True while a request makes topics of its own: they are part of its answer, not news."""

    def open(self, name: str) -> None:
        """The one topic of a `/raw` connection. Raises TopicRefused."""
        check_access(self._find(name), self.identity)
        topic = self._hub.topic(name)
        self._held[topic] = _Held(exact=True, claims=True, max_hz=None)
        self._join([Want(topic)])

    def subscribe(self, names: Sequence[str], max_hz: float | None, since: Positions) -> Asked:
        """Add topics and patterns. Raises TopicRefused where there are too many names, and AskedTooMuch."""
        self._check_names(names)
        self._check_effort()
        asked = Asked()
        self._asking = True
        for name in names:
            if is_pattern(name):
                self._ask_pattern(name, max_hz, since, asked)
            else:
                self._ask(name, asked, _How(max_hz, since.get(name), exact=True))
        self._asking = False
        asked.joined = self._join(list(asked.wants.values()))
        self._spend(1 + len(asked.joined) + len(asked.refused))
        return asked

    def unsubscribe(self, names: Sequence[str]) -> None:
        """Take topics and patterns away, all at once. Raises TopicRefused where there are too many names. However much
        was asked for, it may be left."""
        self._check_names(names)
        exact = {topic for name in names if (topic := self._hub.topics.get(name)) in self._held}
        patterns = [pattern for name in names if (pattern := self._patterns.pop(name, None)) is not None]
        gone: dict[Topic, bool] = {}
        for topic in list(self._held) if patterns else exact:
            held = self._held[topic]
            if topic in exact:
                held.exact = False
            elif not any(pattern.matches(topic.name) for pattern in patterns):
                continue
            if not held.exact and not self._is_meant(topic):
                gone[topic] = held.claims
                del self._held[topic]
        if not self._patterns:
            self._hub.meet(self, None)
        if gone:
            self._hub.readers.unsubscribe(self._subscriber, gone)
        self._spend(1 + len(gone))

    def pace(self, max_hz: float | None) -> None:
        """One rate over all topics that have no deltas; None ends it. Raises AskedTooMuch."""
        self._check_effort()
        self._pace_hz = max_hz
        self._spend(1 + len(self._held))
        self._join([Want(topic, held.max_hz, None, held.claims) for topic, held in self._held.items()])

    def identify(self, identity: Identity | None) -> Asked:
        """Somebody else asks from here on: what they may not have goes, what their patterns now may mean comes."""
        self.identity = identity
        asked = Asked()
        gone: dict[Topic, bool] = {}
        for topic, held in list(self._held.items()):
            try:
                check_access(topic, identity)
            except TopicRefused as refused:
                asked.refused.append(Refused(refused.code, refused.message, topic.name))
                gone[topic] = held.claims
                del self._held[topic]
        if gone:
            self._hub.readers.unsubscribe(self._subscriber, gone)
        self._asking = True
        for pattern in self._patterns.values():
            self._ask_matches(pattern, None, {}, asked, only_new=True)
        self._asking = False
        if asked.wants:
            asked.joined = self._join(list(asked.wants.values()))
        return asked

    def settle(self) -> None:
        """Serve what is behind."""
        self._hub.readers.settle(self._subscriber)

    def leave(self) -> dict[Topic, int]:
        """The connection is gone. Returns how far it was given each topic."""
        self._hub.meet(self, None)
        self._told = _tell_nobody  # whoever it was holds this: without a circle, counting references frees both
        claims = {topic: held.claims for topic, held in self._held.items()}
        self._held.clear()
        return self._hub.readers.leave(self._subscriber, claims)

    # -- one by one ---------------------------------------------------------------------------------------------------

    def _check_names(self, names: Sequence[str]) -> None:
        most = max(MAX_NAMES, 2 * self._hub.limits.topics_per_client)
        if len(names) > most:
            raise TopicRefused("too_many_topics", f"topics: at most {most} in one request, send several")

    def _check_effort(self) -> None:
        if owed_s := self._effort.owed_s(self._hub.now()):
            raise AskedTooMuch("rate_limited", _TOO_MUCH, owed_s)

    def _spend(self, units: float) -> None:
        self._effort.spend(units, self._hub.now())

    @property
    def _is_full(self) -> bool:
        return len(self._held) >= self._hub.limits.topics_per_client

    def _find(self, name: str) -> Topic | Match:
        return self._hub.topics.get(name) or self._hub.routes.find(name)

    def _is_meant(self, topic: Topic) -> bool:
        return any(pattern.matches(topic.name) for pattern in self._patterns.values())

    def _ask(self, name: str, asked: Asked, how: _How) -> None:
        """One exact topic, or one that a pattern means. What is over the bound is not made."""
        try:
            check_access(self._find(name), self.identity)
            if self._is_full and self._hub.topics.get(name) not in self._held:
                raise TopicRefused("too_many_topics", _TOO_MANY)
            topic = self._hub.topic(name)
        except TopicRefused as refused:
            if how.exact or refused.code == "unavailable":
                asked.refused.append(Refused(refused.code, refused.message, name))
            return
        if topic not in self._held:
            self._held[topic] = _Held(how.exact, how.claims, how.max_hz)
        elif how.exact:
            held = self._held[topic]
            held.exact, held.max_hz = True, how.max_hz
        held = self._held[topic]
        asked.wants[topic] = Want(topic, held.max_hz, how.since, held.claims)

    def _ask_pattern(self, text: str, max_hz: float | None, since: Positions, asked: Asked) -> None:
        try:
            pattern = self._patterns.get(text) or TopicPattern.parse(text)
        except TopicError as fault:
            asked.refused.append(Refused("bad_request", str(fault), text))
            return
        if len(self._patterns) >= MAX_PATTERNS and text not in self._patterns:
            what = f"at most {MAX_PATTERNS} patterns a connection"
            asked.refused.append(Refused("too_many_topics", what, text))
            return
        self._patterns[text] = pattern
        self._hub.meet(self, self._met)
        before = len(asked.wants)
        self._ask_matches(pattern, max_hz, since, asked)
        asked.matches = (asked.matches or 0) + len(asked.wants) - before

    def _ask_matches(
        self,
        pattern: TopicPattern,
        max_hz: float | None,
        since: Positions,
        asked: Asked,
        *,
        only_new: bool = False,
    ) -> None:
        """Topics over the bound are refused all together, in the name of the pattern; the first ends the search."""
        hub = self._hub
        seen: set[str] = set()
        looked = 0
        existing, tried = hub.meant_by(pattern)
        finite = hub.routes.finite_topics(pattern, lambda route: may_any(route.access.subscribe, self.identity))
        both: Iterator[Topic | Match] = chain(finite, existing)
        for found in both:
            looked += 1
            name = found.name
            if name in seen or not may_read(found, self.identity):
                continue
            seen.add(name)
            held = hub.topics.get(name) in self._held
            if self._is_full and not held:
                asked.refused.append(Refused("too_many_topics", _TOO_MANY, pattern.text))
                break
            if not (held and only_new):
                how = _How(max_hz, since.get(name), exact=False, claims=isinstance(found, Match))
                self._ask(name, asked, how)
        if not only_new:
            for topic in [topic for topic in self._held if topic.name not in seen and pattern.matches(topic.name)]:
                self._ask(topic.name, asked, _How(max_hz, since.get(topic.name), exact=False))
        self._spend(PATTERN_UNITS + tried / TRIED_PER_UNIT + looked / MEANT_PER_UNIT)

    def _met(self, topic: Topic) -> None:
        """A topic came into being: one of the patterns may mean it."""
        if self._asking or topic in self._held or not self._is_meant(topic):
            return
        if not may_read(topic, self.identity):
            return
        asked = Asked()
        if self._is_full:
            asked.refused.append(Refused("too_many_topics", _TOO_MANY, topic.name))
        else:
            self._held[topic] = _Held(exact=False, claims=False, max_hz=None)
            asked.joined = self._join([Want(topic, claims=False)])
        self._told(asked)

    def _join(self, wants: Sequence[Want]) -> list[Joined]:
        pace = self._pace_hz
        if pace is not None:
            wants = [
                Want(want.topic, pace if want.max_hz is None else min(pace, want.max_hz), want.since, want.claims)
                for want in wants
            ]
        return self._hub.readers.subscribe(self._subscriber, wants)
