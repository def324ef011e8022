"""Which link has which topic, and who waits for what.

A topic goes to the link that has its subscription already, else to the first with a place, else to a new link. Where a
new link is allowed but has to wait (others are taking over or closing, and hold the last slots), it is queued: it has
topics, but no connection, and its topics are pending. What no connection can hold waits on the last link, where it
fails with the reason, and has the first place that frees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from relayd.core.upstream.link import Link

T = TypeVar("T")


class Seating(Generic[T]):
    """The topics of one upstream over its links. Bounded by the topics, and by `links_most`."""

    def __init__(
        self, open_link: Callable[[bool], Link[T]], *, has_slot: Callable[[], bool], links_most: int
    ) -> None:
        """`open_link(main)` makes a link; `has_slot`: whether one more connection may be opened now; `links_most`: how
        many there may be when nobody takes over from anybody."""
        self._open_link = open_link
        self._has_slot = has_slot
        self._links_most = links_most
        self._of_topic: dict[T, Link[T]] = {}
        self._beyond: dict[T, None] = {}
        """The topics that no connection can hold at present, in the order of asking."""
        self.links: list[Link[T]] = []
        """Those that have a connection or may get one; the first is always there."""
        self.queued: list[Link[T]] = []
        """Those that wait for a slot, in the order of making."""
        self.links.append(open_link(True))

    def __len__(self) -> int:
        """How many topics are wanted."""
        return len(self._of_topic)

    @property
    def waiting(self) -> int:
        """How many topics are on links that wait for a slot."""
        return sum(len(link.topics) for link in self.queued)

    def link_of(self, topic: T) -> Link[T] | None:
        """Who has it; None = nobody wants it."""
        return self._of_topic.get(topic)

    def place(self, topic: T, fields: Mapping[str, str]) -> Link[T]:
        """Somebody wants a topic that nobody had. Its link is to be told."""
        link = self._seat(fields)
        if link is None:
            link = self.links[-1]
            self._beyond[topic] = None
        self._put(topic, fields, link)
        return link

    def leave(self, topic: T, *, asked: bool) -> None:
        """Nobody wants it any more, and its link was told. `asked`: a connection brings it, or may."""
        link = self._of_topic.pop(topic)
        del link.topics[topic]
        link.plan.free(topic, asked=asked)
        self._beyond.pop(topic, None)

    def replace(self, old: Link[T], new: Link[T]) -> None:
        """The new link has all that the old one has. Their sessions are to be told."""
        self.links[self.links.index(old)] = new
        new.plan, new.topics = old.plan, old.topics
        for topic in new.topics:
            self._of_topic[topic] = new

    # -- as slots and places free

    @property
    def due(self) -> bool:
        """Whether `go_on` has something to do."""
        if self.queued and (self._has_slot() or not all(link.topics for link in self.queued)):
            return True
        return self._movable() is not None

    def go_on(self, now: float) -> None:
        """Who waited moves in, as slots and places allow."""
        self.queued = [link for link in self.queued if link.topics]
        while self.queued and self._has_slot():
            self.links.append(self.queued.pop(0))
        while (topic := self._movable()) is not None:
            self._move(topic, now)

    def _movable(self) -> T | None:
        """The first topic of those that wait for which there is something better."""
        for link in self.queued:
            for topic, fields in link.topics.items():
                if _with_room(self.links, fields) is not None:
                    return topic
        for topic in self._beyond:
            fields = self._of_topic[topic].topics[topic]
            if _with_room([*self.links, *self.queued], fields) is not None or self._may_add(fields):
                return topic
        return None

    def _move(self, topic: T, now: float) -> None:
        waited = self._of_topic[topic]
        fields = waited.topics[topic]
        self._beyond.pop(topic, None)
        if not waited.session.topics.is_waiting(topic):
            # A refusal of the upstream made room for it there: it stays.
            waited.plan.hold(topic, fields)
            return
        waited.plan.free(topic, asked=False)
        link = self._seat(fields)
        assert link is not None, "whoever moves has been seen to have a place"
        if link is not waited:
            waited.session.topics.release(topic)
            del waited.topics[topic]
            link.session.want(topic, fields, now)
        self._put(topic, fields, link)

    # -- one topic

    def _seat(self, fields: Mapping[str, str]) -> Link[T] | None:
        """A link with a place, made if need be."""
        link = _with_room(self.links, fields)
        if link is not None:
            return link
        link = _with_room(self.queued, fields)
        if link is None and self._may_add(fields):
            link = self._open_link(False)
            (self.links if self._has_slot() else self.queued).append(link)
        return link

    def _may_add(self, fields: Mapping[str, str]) -> bool:
        """Whether one more link is allowed, now or when slots free, and would be of use."""
        return len(self.links) + len(self.queued) < self._links_most and self.links[0].plan.could_hold(fields)

    def _put(self, topic: T, fields: Mapping[str, str], link: Link[T]) -> None:
        self._of_topic[topic] = link
        link.topics[topic] = fields
        if topic not in self._beyond:
            link.plan.hold(topic, fields)


def _with_room(links: Iterable[Link[T]], fields: Mapping[str, str]) -> Link[T] | None:
    """The link that has the subscription, else the first with a place for it."""
    candidates = list(links)
    sharing = next((link for link in candidates if link.plan.shares(fields)), None)
    return sharing or next((link for link in candidates if link.plan.has_place(fields)), None)
