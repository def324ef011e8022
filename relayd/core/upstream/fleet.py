"""The connections of one upstream: how many there are, when one more is opened, and who takes over from whom.

Each connection is the affair of a session; this file never sends or dials. Rules: a topic is wanted of exactly one
link, or of two while they overlap; a subscription lives on one link; a link is opened only where all the others are
full (`limits.topics`) and the upstream allows one more (`limits.connections`); a link whose last topic went hangs up
and is forgotten. Which link has which topic stands in `seating.py`, how one takes over in `handover.py`;
docs/design/upstream-fleet.md tells the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Final, Generic, TypeVar

from relayd.core.counters import UpstreamCounters, added
from relayd.core.feed.resume import Resume
from relayd.core.upstream.connection import Connection
from relayd.core.upstream.effects import FeedSink
from relayd.core.upstream.handover import Handover
from relayd.core.upstream.link import Link, Maker
from relayd.core.upstream.places import Places
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.seating import Seating
from relayd.core.upstream.session import UpstreamSession
from relayd.core.upstream.states import SERVING, State

T = TypeVar("T")

UNTOLD_MOST: Final = 4
"""Connections for topics where `limits.connections` is not given: guess. Upstreams that allow one say so; those that
count topics by connection allow five (Twitch) to hundreds."""


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
        self._handovers: list[Handover[T]] = []
        self._leaving: list[Link[T]] = []
        told = policy.connections_most
        self._seating: Seating[T] = Seating(
            lambda main: self._open(main=main),
            has_slot=self._has_slot,
            links_most=told if told is not None else UNTOLD_MOST,
        )

    # -- what demand says

    def want(self, topic: T, fields: Mapping[str, str], now: float) -> None:
        """Somebody wants this topic. Idempotent."""
        link = self._seating.link_of(topic) or self._seating.place(topic, fields)
        link.session.want(topic, fields, now)
        handover = self._handover_to(link)
        if handover is not None and handover.old is not None and not self.policy.topics_in_url:
            handover.old.session.want(topic, fields, now)

    def unwant(self, topic: T, now: float) -> None:
        """Nobody wants this topic any more. Idempotent."""
        link = self._seating.link_of(topic)
        if link is None:
            return
        handover = self._handover_to(link)
        both = [link] if handover is None or handover.old is None else [handover.old, link]
        for one in both:
            one.session.unwant(topic, now)
        self._seating.leave(topic, asked=any(one.session.topics.knows(topic) for one in both))

    def refresh(self, topic: T, now: float) -> None:
        """Somebody needs a fresh snapshot of this topic."""
        link = self._seating.link_of(topic)
        if link is None:
            return
        handover = self._handover_to(link)
        (link if handover is None else handover.serves(topic)).session.refresh(topic, now)

    # -- who looks

    @property
    def links(self) -> list[Link[T]]:
        """Those that have topics, or may get some, and a connection; the first is always there."""
        return self._seating.links

    @property
    def all(self) -> Iterator[Link[T]]:
        """Every link that has a connection or may get one, oldest first."""
        return iter(sorted(self.present, key=_number))

    @property
    def present(self) -> list[Link[T]]:
        """The same in any order, for who asks often."""
        return [*self.links, *self._outgoing, *self._leaving]

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
        total.topics = len(self._seating) or sum(len(link.session.topics) for link in self.links)
        total.topics_waiting = self._seating.waiting + sum(link.session.topics.waiting for link in self.links)
        total.crowded_out += sum(link.session.topics.crowded_out for link in self.all)
        total.resume_forgotten += sum(link.resume.forgotten for link in self.all)
        total.moved, total.moved_with_gap = self.moved, self.moved_with_gap
        return total

    # -- time

    def next_deadline(self) -> float:
        """When `tick` has something to do: -infinity = at once, infinity = not before something happens."""
        if self._seating.due:
            return -inf
        for link in self.links:
            if link.changed or self._may_go(link):
                return -inf
        deadline = inf
        for one in self._handovers:
            deadline = min(deadline, one.next_deadline())
        for link in self._leaving:
            if link.session.state is State.STOPPED:
                deadline = min(deadline, link.session.redial.closed_by)
        return deadline

    def tick(self, now: float) -> None:
        """Do all that is due. What the sessions have to do, they say themselves."""
        for handover in list(self._handovers):
            if handover.go_on(now):
                self._handovers.remove(handover)
                self.moved += handover.overlap.counts[False]
                self.moved_with_gap += handover.overlap.counts[True]
        for link in list(self._leaving):
            if link.session.state is State.STOPPED and link.session.redial.closed_by <= now:
                self._leaving.remove(link)
                self._forget(link)
        for link in list(self.links):
            if link.changed:
                link.was_open = link.session.connection
                if link.was_open is None:
                    link.plan.settle()
            if self._may_go(link):
                self.links.remove(link)
                self._retire(link, "nobody wants anything of it")
        self._seating.go_on(now)

    # -- slots

    def _has_slot(self) -> bool:
        """Whether one more link may be opened for topics."""
        most = self.policy.connections_most
        return len(self.links) < UNTOLD_MOST if most is None else self._used() < most

    def _may_renew(self) -> bool:
        """Whether one more may be opened to take over. Where the number is not told, each link may be doubled."""
        most = self.policy.connections_most
        return self._used() < (2 * UNTOLD_MOST if most is None else most)

    def _used(self) -> int:
        return len(self.links) + len(self._outgoing) + len(self._leaving)

    @property
    def _outgoing(self) -> list[Link[T]]:
        return [one.old for one in self._handovers if one.old is not None]

    # -- links

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

    def _may_go(self, link: Link[T]) -> bool:
        """Whether the upstream can do without it."""
        return link is not self.links[0] and link.is_idle and self._handover_to(link) is None

    def _retire(self, link: Link[T], why: str) -> None:
        link.session.topics.give_up()
        link.session.outlet.shut()
        link.session.retire(why)
        self._leaving.append(link)
        self._wake()

    def _forget(self, link: Link[T]) -> None:
        counters = link.session.counters
        counters.crowded_out += link.session.topics.crowded_out
        counters.resume_forgotten += link.resume.forgotten
        self._past = added([self._past, counters])

    # -- one takes over from another

    def _handover_to(self, link: Link[T]) -> Handover[T] | None:
        return next((one for one in self._handovers if one.new is link), None)

    def _renew(self, old: Link[T], why: str, url: str | None) -> bool:
        """The connection of a link should end. False = it must end before the next one begins."""
        if not self._may_renew():
            return False
        new = self._open(main=old.main, resume=old.resume.fork())
        self._seating.replace(old, new)
        now = self._monotonic()
        self._handovers.append(
            Handover(
                old, new, why, url, now, sink=self._sink, policy=self.policy, retire=self._retire, wake=self._wake
            )
        )
        self._wake()
        return True


def _number(link: Link[T]) -> int:
    return link.number
