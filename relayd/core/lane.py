"""Lanes: the topics of a cohort that are read at one rate. Between two beats the newest waits here."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from relayd.core import wire
from relayd.core.flush import Notice
from relayd.core.publication import Entry, Publication

if TYPE_CHECKING:
    from relayd.core.cohort import Cohort
    from relayd.core.topics import Topic

# Under `max_hz` the jump in offsets is the notice; the totals come at most this often (docs/protocol.md).
TOTALS_EVERY_S = 1.0


class Lane:
    """The topics of a cohort that are read at one rate: the newest per topic (or key) waits here for the next beat."""

    __slots__ = ("cohort", "due", "flushed", "held", "last", "period_s", "scheduled", "skipped", "told_at")

    def __init__(self, cohort: Cohort, hz: float) -> None:
        self.cohort = cohort
        self.period_s = 1 / hz
        self.held: dict[tuple[Topic, Hashable], Publication] = {}
        self.last: dict[Topic, Publication] = {}
        """The newest publication flushed, per topic: what a newcomer to this lane gets first."""
        self.flushed: dict[Topic, int] = {}
        """Its offset, per topic."""
        self.skipped: dict[Topic, int] = {}
        self.told_at = 0.0
        self.due = 0.0
        self.scheduled = False

    def add(self, entry: Entry) -> None:
        """Hold the newest. An upstream's gap needs no mark here: the jump in offsets tells it."""
        if type(entry) is not Publication:
            return
        place = (entry.topic, entry.key)
        if self.held.pop(place, None) is not None:  # popped, so that the order of `held` is that of the newest
            self.skipped[entry.topic] = self.skipped.get(entry.topic, 0) + 1
        self.held[place] = entry
        if not self.scheduled:
            self.scheduled = True
            self.cohort.flusher.at(max(self.due, entry.at), self)

    def beat(self, now: float) -> None:
        """The rate allows: what is held goes into the cohort's next flush."""
        self.scheduled = False
        self.due = now + self.period_s
        cohort = self.cohort
        if self.skipped and now - self.told_at >= TOTALS_EVERY_S:
            self.told_at = now
            for topic, count in self.skipped.items():
                following = min((pub.offset for (held, _), pub in self.held.items() if held is topic), default=0)
                cohort.add_notice(Notice(wire.lost(topic.name, self.flushed[topic], following, count, "rate"), now))
            self.skipped.clear()
        for publication in self.held.values():
            cohort.add(publication, now)
        self.held.clear()

    def flushed_now(self, publication: Publication) -> None:
        """The cohort begins to flush this one."""
        self.flushed[publication.topic] = publication.offset
        self.last[publication.topic] = publication
