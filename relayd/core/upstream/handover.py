"""One link takes over from another: both are open until every topic has moved, or for as long as that may take.

What becomes of each topic is judged by the overlap (`overlap.py`); this file knows when it begins, and when it is over.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Generic, TypeVar

from relayd.core.upstream.effects import FeedSink
from relayd.core.upstream.link import Link
from relayd.core.upstream.overlap import LISTEN_S, OVERLAP_MOST_S, Overlap
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.states import SERVING

T = TypeVar("T")


class Handover(Generic[T]):
    """From the wish to the end of the old link. The new link has the topics of the old one when it begins."""

    def __init__(
        self,
        old: Link[T],
        new: Link[T],
        why: str,
        url: str | None,
        now: float,
        *,
        sink: FeedSink[T],
        policy: UpstreamPolicy,
        retire: Callable[[Link[T], str], object],
        wake: Callable[[], object],
    ) -> None:
        """`why` the old one should end; `retire` is called with it when it is of no use any more. The first dial of
        the new one goes to `url`, if the upstream said so."""
        self.old: Link[T] | None = old
        """None: its connection was lost before all topics had moved."""
        self.new = new
        self._why = why
        self._retire = retire
        self._until = inf
        """Infinity = the new link has not asked for everything yet."""
        self._listening = False
        old.session.topics.give_up()
        self.overlap: Overlap[T] = Overlap(
            sink,
            old.session.topics,
            new.session.topics,
            sequence_of=policy.sequence_of,
            is_delta=policy.is_delta,
            wake=wake,
            resumed=lambda: new.resume.follows,
        )
        old.session.outlet.turn(self.overlap.outgoing)
        new.session.outlet.turn(self.overlap.incoming)
        old.session.may_renew = new.session.may_renew = False
        for topic, fields in new.topics.items():
            new.session.want(topic, fields, now)
        self.overlap.inherit()
        new.session.follow(old.session, url, now)

    def serves(self, topic: T) -> Link[T]:
        """Which of the two."""
        return self.old if self.old is not None and topic in self.overlap.left else self.new

    def next_deadline(self) -> float:
        """When `go_on` has something to do: -infinity = at once."""
        new, old = self.new, self.old
        if new.changed or (old is not None and old.session.connection is None):
            return -inf
        if new.has_asked and (self._until == inf or not self.overlap.left):
            return -inf
        return self._until

    def go_on(self, now: float) -> bool:
        """Do all that is due. True = it is over, and the new link goes on alone."""
        new, overlap = self.new, self.overlap
        if new.changed:
            if new.was_open is not None:
                overlap.new_lost()
                self._until, self._listening = inf, False
            new.was_open = new.session.connection
        if self.old is not None and self.old.session.connection is None:
            self._old_lost(self.old)
            self.old = None
        if new.has_asked and self._until == inf:
            self._until = now + OVERLAP_MOST_S - LISTEN_S
        if overlap.left or not (new.has_asked or self.old is None):
            if now < self._until:
                return False
            if not self._listening:
                overlap.listen()
                self._until, self._listening = now + LISTEN_S, True
                return False
            for topic in overlap.conclude():
                new.session.refresh(topic, now)
        new.session.outlet.straighten()
        new.session.may_renew = True
        new.plan.settle()
        if self.old is not None:
            self._retire(self.old, self._why)
        return True

    def _old_lost(self, old: Link[T]) -> None:
        """An ordinary loss, but for the topics that the new connection has already."""
        new, overlap = self.new, self.overlap
        ready = new.session.state in SERVING
        resumes = old.resume.cursor is not None and not overlap.is_heard
        if resumes or (not ready and new.resume.is_behind(old.resume)):
            # What the old one said meanwhile would be said again.
            new.resume.adopt(old.resume)
        overlap.old_lost(ready=ready, resumes=resumes)
        self._retire(old, self._why)
