"""The connections of one upstream: which has which topic, when one more is opened, and who takes over from whom.

Each connection is the affair of a session; this file never sends or dials. Rules: a topic is wanted of exactly one
link, or of two while they overlap; a subscription lives on one link; a link is opened only where all the others are
full (`limits.topics`) and the upstream allows one more (`limits.connections`); a link whose last topic went hangs up
and is forgotten. docs/design/upstream-fleet.md tells the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final, Generic, Protocol, TypeVar

from relayd.core.counters import UpstreamCounters, added
from relayd.core.feed.resume import Resume
from relayd.core.upstream.connection import Connection
from relayd.core.upstream.effects import FeedSink
from relayd.core.upstream.overlap import LISTEN_S, OVERLAP_MOST_S, Overlap
from relayd.core.upstream.places import Places
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.session import UpstreamSession
from relayd.core.upstream.states import CONNECTED, SERVING, State

T = TypeVar("T")

UNTOLD_MOST: Final = 4
"""Connections for topics where `limits.connections` is not given: guess. Upstreams that allow one say so; those that
count topics by connection allow five (Twitch) to hundreds."""


class Maker(Protocol[T]):
    """Makes the session of a link. `main`: the one that is kept where the upstream is dialled at start."""

    def __call__(
        self, *, resume: Resume, main: bool, renew: Callable[[str, str | None], bool]
    ) -> UpstreamSession[T]: ...


@dataclass(eq=False, slots=True)
class Link(Generic[T]):
    """One connection, over its losses."""

    number: int
    """From 1, in the order of opening."""
    main: bool
    session: UpstreamSession[T]
    resume: Resume
    plan: Places[T]
    """The subscriptions meant for it."""
    topics: dict[T, Mapping[str, str]] = field(default_factory=dict)
    """Those beyond all places too: they wait on some link."""
    was_open: Connection[T] | None = None

    @property
    def has_asked(self) -> bool:
        """Whether it is connected, and has asked for all that is wanted of it."""
        connection = self.session.connection
        return self.session.state in SERVING and connection is not None and connection.has_asked


@dataclass(eq=False, slots=True)
class Handover(Generic[T]):
    """A link that takes over from another."""

    old: Link[T] | None
    """None: its connection was lost before all topics had moved."""
    new: Link[T]
    overlap: Overlap[T]
    why: str
    until: float = inf
    """In the seconds of `now`; infinity = the new link has not asked for everything yet."""
    listening: bool = False


class Fleet(Generic[T]):
    """The links of one upstream. T is the hub's topic. Bounded by `limits.connections`; times in monotonic seconds."""

    def __init__(
        self,
        name: str,
        policy: UpstreamPolicy,
        sink: FeedSink[T],
        make: Maker[T],
        *,
        monotonic: Callable[[], float],
        wake: Callable[[], object],
    ) -> None:
        """`wake` is called where `next_deadline` has come nearer."""
        self.name = name
        self.policy = policy
        self.moved = 0
        """Topics that another connection took over without a loss."""
        self.moved_with_gap = 0
        self._sink = sink
        self._make = make
        self._monotonic = monotonic
        self._wake = wake
        self._made = 0
        self._past = UpstreamCounters()
        self._beyond: dict[T, None] = {}
        """The topics for which no link has a place, in the order of asking."""
        self._of_topic: dict[T, Link[T]] = {}
        self._handovers: list[Handover[T]] = []
        self._leaving: list[Link[T]] = []
        self.links: list[Link[T]] = []
        """Those that have topics, or may get some; the first is always there."""
        self.links.append(self._open(main=True))

    # -- what demand says

    def want(self, topic: T, fields: Mapping[str, str], now: float) -> None:
        """Somebody wants this topic. Idempotent."""
        link = self._of_topic.get(topic)
        if link is None:
            link = self._place(topic, fields)
        link.session.want(topic, fields, now)
        handover = self._handover_to(link)
        if handover is not None and handover.old is not None and not self.policy.topics_in_url:
            handover.old.session.want(topic, fields, now)

    def unwant(self, topic: T, now: float) -> None:
        """Nobody wants this topic any more. Idempotent."""
        link = self._of_topic.pop(topic, None)
        if link is None:
            return
        del link.topics[topic]
        link.plan.free(topic)
        self._beyond.pop(topic, None)
        handover = self._handover_to(link)
        if handover is not None and handover.old is not None:
            handover.old.session.unwant(topic, now)
        link.session.unwant(topic, now)

    def refresh(self, topic: T, now: float) -> None:
        """Somebody needs a fresh snapshot of this topic."""
        link = self._of_topic.get(topic)
        if link is None:
            return
        handover = self._handover_to(link)
        if handover is not None and handover.old is not None and topic in handover.overlap.left:
            link = handover.old
        link.session.refresh(topic, now)

    # -- who looks

    @property
    def all(self) -> Iterator[Link[T]]:
        """Every link that has a connection or may get one, oldest first."""
        return iter(sorted([*self.links, *self._outgoing, *self._leaving], key=_number))

    @property
    def main(self) -> UpstreamSession[T]:
        """The session that stands for the upstream: the oldest one that still serves."""
        handover = self._handover_to(self.links[0])
        old = handover.old.session if handover is not None and handover.old is not None else None
        return old if old is not None and old.state in SERVING else self.links[0].session

    @property
    def state(self) -> State:
        """Of the session that stands for the upstream."""
        return self.main.state

    @property
    def why(self) -> str:
        """Why the last connection of that session ended."""
        return self.main.why

    @property
    def connection(self) -> Connection[T] | None:
        """The open connection of that session."""
        return self.main.connection

    @property
    def counters(self) -> UpstreamCounters:
        """Over all connections that were and are."""
        total = added([self._past, *(link.session.counters for link in self.all)])
        total.topics = len(self._of_topic) or sum(len(link.session.topics) for link in self.links)
        total.topics_waiting = sum(link.session.topics.waiting for link in self.links)
        total.crowded_out += sum(link.session.topics.crowded_out for link in self.all)
        total.moved, total.moved_with_gap = self.moved, self.moved_with_gap
        return total

    # -- time

    def next_deadline(self) -> float:
        """When `tick` has something to do: -infinity = at once, infinity = not before something happens."""
        deadline = min((self._deadline_of(one) for one in self._handovers), default=inf)
        for link in self._leaving:
            if link.session.state is State.STOPPED:
                deadline = min(deadline, link.session.redial.closed_by)
        if any(link.was_open is not link.session.connection or self._is_idle(link) for link in self.links):
            return -inf
        return -inf if self._roomy() is not None else deadline

    def tick(self, now: float) -> None:
        """Do all that is due. What the sessions have to do, they say themselves."""
        for handover in list(self._handovers):
            self._go_on(handover, now)
        for link in list(self._leaving):
            if link.session.state is State.STOPPED and link.session.redial.closed_by <= now:
                self._leaving.remove(link)
                self._forget(link)
        for link in list(self.links):
            if link.was_open is not link.session.connection:
                link.was_open = link.session.connection
                if link.was_open is None:
                    link.plan.settle()
            if self._is_idle(link):
                self.links.remove(link)
                self._retire(link, "nobody wants anything of it")
        while (topic := self._roomy()) is not None:
            self._move_in(topic, now)

    # -- topics and places

    def _place(self, topic: T, fields: Mapping[str, str]) -> Link[T]:
        link = self._with_room(fields)
        if link is None and self._used() < self._fill_most:
            link = self._open(main=False)
            self.links.append(link)
        if link is None:
            # There it fails with the reason, and gets the first place that the upstream's refusals free.
            link = self.links[-1]
            self._beyond[topic] = None
        self._put(topic, fields, link)
        return link

    def _put(self, topic: T, fields: Mapping[str, str], link: Link[T]) -> None:
        self._of_topic[topic] = link
        link.topics[topic] = fields
        if topic not in self._beyond:
            link.plan.hold(topic, fields)

    def _with_room(self, fields: Mapping[str, str]) -> Link[T] | None:
        sharing = next((link for link in self.links if link.plan.shares(fields)), None)
        return sharing or next((link for link in self.links if link.plan.has_place(fields)), None)

    def _roomy(self) -> T | None:
        """The first topic beyond all places for which there is one after all."""
        room = self._used() < self._fill_most
        for topic in self._beyond:
            link = self._of_topic[topic]
            if room or self._with_room(link.topics[topic]) is not None:
                return topic
        return None

    def _move_in(self, topic: T, now: float) -> None:
        """It has waited on one link; there is a place on it, or on another."""
        del self._beyond[topic]
        waited = self._of_topic[topic]
        fields = waited.topics[topic]
        if not waited.session.topics.is_waiting(topic):
            # A refusal of the upstream made room for it there: it stays.
            waited.plan.hold(topic, fields)
            return
        link = self._with_room(fields)
        if link is None:
            link = self._open(main=False)
            self.links.append(link)
        if link is not waited:
            waited.session.topics.release(topic)
            del waited.topics[topic]
            link.session.want(topic, fields, now)
        self._put(topic, fields, link)

    # -- links

    @property
    def _most(self) -> int:
        most = self.policy.connections_most
        # Where the number is not told, each of them may be doubled while it is renewed.
        return most if most is not None else 2 * UNTOLD_MOST

    @property
    def _fill_most(self) -> int:
        most = self.policy.connections_most
        return most if most is not None else UNTOLD_MOST + len(self._outgoing) + len(self._leaving)

    def _used(self) -> int:
        return len(self.links) + len(self._outgoing) + len(self._leaving)

    @property
    def _outgoing(self) -> list[Link[T]]:
        return [one.old for one in self._handovers if one.old is not None]

    def _open(self, *, main: bool, resume: Resume | None = None) -> Link[T]:
        self._made += 1
        resume = resume if resume is not None else Resume()
        link: Link[T]

        def renew(why: str, url: str | None) -> bool:
            return self._renew(link, why, url)

        session = self._make(resume=resume, main=main, renew=renew)
        plan: Places[T] = Places(self.policy.topics_most, self.policy.claims_of)
        link = Link(self._made, main, session, resume, plan)
        return link

    def _is_idle(self, link: Link[T]) -> bool:
        if link is self.links[0] or link.topics or self._handover_to(link) is not None:
            return False
        return link.session.state not in CONNECTED

    def _retire(self, link: Link[T], why: str) -> None:
        link.session.topics.give_up()
        link.session.outlet.shut()
        link.session.retire(why)
        self._leaving.append(link)
        self._wake()

    def _forget(self, link: Link[T]) -> None:
        counters = link.session.counters
        counters.crowded_out += link.session.topics.crowded_out
        self._past = added([self._past, counters])

    # -- one takes over from another

    def _handover_to(self, link: Link[T]) -> Handover[T] | None:
        return next((one for one in self._handovers if one.new is link), None)

    def _renew(self, old: Link[T], why: str, url: str | None) -> bool:
        """The connection of a link should end. False = it must end before the next one begins."""
        if self._used() >= self._most:
            return False
        now = self._monotonic()
        old.session.topics.give_up()
        new = self._open(main=old.main, resume=old.resume.fork())
        self.links[self.links.index(old)] = new
        new.plan, new.topics = old.plan, old.topics
        for topic in new.topics:
            self._of_topic[topic] = new
        overlap: Overlap[T] = Overlap(
            self._sink,
            old.session.topics,
            new.session.topics,
            sequence_of=self.policy.sequence_of,
            is_delta=self.policy.is_delta,
            wake=self._wake,
        )
        old.session.outlet.turn(overlap.outgoing)
        new.session.outlet.turn(overlap.incoming)
        old.session.may_renew = new.session.may_renew = False
        for topic, fields in new.topics.items():
            new.session.want(topic, fields, now)
        overlap.inherit()
        new.session.follow(old.session, url, now)
        self._handovers.append(Handover(old, new, overlap, why))
        self._wake()
        return True

    def _deadline_of(self, handover: Handover[T]) -> float:
        new, old = handover.new, handover.old
        if new.was_open is not new.session.connection or (old is not None and old.session.connection is None):
            return -inf
        if new.has_asked and (handover.until == inf or not handover.overlap.left):
            return -inf
        return handover.until

    def _go_on(self, handover: Handover[T], now: float) -> None:
        new, overlap = handover.new, handover.overlap
        if new.was_open is not new.session.connection:
            if new.was_open is not None:
                overlap.new_lost()
                handover.until, handover.listening = inf, False
            new.was_open = new.session.connection
        if handover.old is not None and handover.old.session.connection is None:
            # An ordinary loss, but for the topics that the new connection has already.
            overlap.old_lost(ready=new.session.state in SERVING)
            self._retire(handover.old, handover.why)
            handover.old = None
        if new.has_asked and handover.until == inf:
            handover.until = now + OVERLAP_MOST_S - LISTEN_S
        if overlap.left or not (new.has_asked or handover.old is None):
            if now < handover.until:
                return
            if not handover.listening:
                overlap.listen()
                handover.until, handover.listening = now + LISTEN_S, True
                return
            for topic in overlap.conclude():
                new.session.refresh(topic, now)
        self._handovers.remove(handover)
        self.moved += overlap.counts[False]
        self.moved_with_gap += overlap.counts[True]
        new.session.outlet.straighten()
        new.session.may_renew = True
        new.plan.settle()
        if handover.old is not None:
            self._retire(handover.old, handover.why)


def _number(link: Link[T]) -> int:
    return link.number
