"""The acknowledgement window: how far ahead of a page's own work its browser may be sent.

A browser takes from its socket whatever comes and queues it for a script that may be busy, hidden or slow: the socket
shows nothing of it. With a window the page says what it has processed, and who is too far behind that is held:

         more than N publications of a topic are not acknowledged
    OPEN --------------------------------------------------------> HELD --- nothing heard for `slow_after` ---> closed
         <--------------------------------------------------------
         no topic has more than N/2; served from the rings

Nothing is counted per delivery: where a member stands is known anyway, and one sweep looks at those with a window. So a
window may be overshot by what a tenth of a second brings. What is served from the rings, to a newcomer, to one that
comes back, to one that was held, never goes beyond it: who serves asks `ceiling` (core/lagging.py). No topic moves by
more than the hub's serial does, so whoever had room for so many publications is not looked at before the hub has had as
many: a look takes 2 us, a member that is passed over 0.03 us, and 10,000 pages at rest should cost no more than their
pings.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final

from relayd.core.closecode import CLOSE_SLOW
from relayd.core.subscriber import Subscriber
from relayd.core.topics import Topic

if TYPE_CHECKING:
    from relayd.core.hub import Hub

#: Sizes a page may ask for: a larger one bounds nothing that a browser would survive (guess).
MIN_WINDOW: Final = 1
MAX_WINDOW: Final = 65_535
#: How often members with a window are looked at.
SWEEP_S: Final = 0.1


class WindowState(Enum):
    """Whether a member is sent anything."""

    OPEN = "open"
    HELD = "held"


class AckWindow:
    """The window of one connection: a size for each topic that has one, and what was acknowledged."""

    __slots__ = ("_acked", "_before_loss", "_heard_at", "_hub", "_sizes", "_subscriber", "fits_until", "state")

    def __init__(self, hub: Hub, subscriber: Subscriber) -> None:
        self._hub = hub
        self._subscriber = subscriber
        self._sizes: dict[Topic, int] = {}
        self._acked: dict[Topic, int] = {}
        self._before_loss: dict[Topic, int] = {}
        """Where it stood before a loss after which nothing was given yet."""
        self._heard_at = 0.0
        #: Up to this serial of the hub no topic can have outgrown its window.
        self.fits_until = -1
        self.state = WindowState.OPEN

    def set(self, topic: Topic, size: int | None) -> None:
        """The subscriber has just joined the topic, from where it stands now; None takes the window away."""
        self.changed()
        if size is None:
            self._sizes.pop(topic, None)
            self._acked.pop(topic, None)
            self._before_loss.pop(topic, None)
        else:
            self._sizes[topic] = size
            self._acked[topic] = self._given(topic)
            self._subscriber.window = self
            self._hub.windows.join(self)

    def ack(self, topic: Topic, offset: int) -> None:
        """The page has processed everything up to there. Of topics without a window nothing is kept."""
        acked = self._acked.get(topic)
        if acked is not None and acked < offset < topic.ring.end:
            self._acked[topic] = offset
            self._heard_at = self._hub.now()
            if self.state is WindowState.HELD:
                self.look(self._heard_at)

    def ceiling(self, topic: Topic, position: int) -> int | None:
        """The highest offset to give one who stands at `position`; None = any.

        Whoever has acknowledged all it was given gets the next one, however far its offset has jumped. After a loss
        half of the window is enough, as for being let go: a page that acknowledges in portions need not say more.
        """
        size = self._sizes.get(topic)
        if size is None:
            return None
        acked = self._acked[topic]
        before = self._before_loss.get(topic)
        if (position <= acked) if before is None else (before - acked <= size / 2):
            return None
        return acked + size

    def gave(self, topic: Topic) -> None:
        """A publication was given from the rings."""
        self._before_loss.pop(topic, None)

    def lost(self, topic: Topic, position: int) -> None:
        """It stood at `position` when what followed was lost to it: no page will acknowledge what it never got."""
        self._before_loss.setdefault(topic, position)

    def filled(self) -> None:
        """What may be given from the rings has been given."""
        if self.state is WindowState.OPEN:
            self._hold(self._hub.now())

    def _hold(self, now: float) -> None:
        self._heard_at = now
        self.state = WindowState.HELD
        self.fits_until = -1
        self._hub.counters.windows_full += 1

    def changed(self) -> None:
        """The subscriber reads other topics than before."""
        self.fits_until = -1

    def leave(self) -> None:
        """The connection is gone, or no topic has a window any more."""
        self._subscriber.window = None
        self._hub.windows.leave(self)

    def look(self, now: float) -> None:
        """Hold, let go, or close."""
        topics = self._subscriber.topics
        for topic in [topic for topic in self._sizes if topic not in topics]:
            self.set(topic, None)
        if not self._sizes:
            self.leave()
        ahead = {topic: self._given(topic) - self._acked[topic] for topic in self._sizes}
        if self.state is WindowState.OPEN:
            if any(count > self._sizes[topic] for topic, count in ahead.items()):
                self._hold(now)
                self._hub.readers.hold(self._subscriber)
            else:
                # What a slow lane keeps back may follow without a serial, so the end of the ring counts here.
                sizes, acked = self._sizes, self._acked
                room = min((sizes[topic] - (topic.ring.end - 1 - acked[topic]) for topic in sizes), default=-1)
                self.fits_until = self._hub.serial + room if room > 0 else -1
        elif all(count <= self._sizes[topic] / 2 for topic, count in ahead.items()):
            self.state = WindowState.OPEN
            self._hub.readers.release(self._subscriber)
        elif now - self._heard_at >= max(topic.route.delivery.slow_after_s for topic in self._sizes):
            self._hub.counters.closed_slow += 1
            self.leave()
            self._subscriber.sink.close(CLOSE_SLOW)

    def _given(self, topic: Topic) -> int:
        """The newest offset that was sent, or will be within a flush."""
        subscriber = self._subscriber
        if subscriber.lagging is not None:
            return self._before_loss.get(topic, subscriber.lagging.positions[topic])
        assert subscriber.cohort is not None
        lane = subscriber.cohort.lanes.get(topic)
        return topic.ring.end - 1 if lane is None else lane.flushed[topic]


class AckWindows:
    """All windows of a hub, and the sweep over them while there are any. `call_later(delay_s, f)` wakes it."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
        serial: Callable[[], int],
    ) -> None:
        self._monotonic = monotonic
        self._serial = serial
        self._call_later = call_later
        self._members: dict[AckWindow, None] = {}
        self.is_sweeping = False

    def __len__(self) -> int:
        return len(self._members)

    def join(self, window: AckWindow) -> None:
        """Look at it from now on. Idempotent."""
        self._members[window] = None
        if not self.is_sweeping:
            self.is_sweeping = True
            self._call_later(SWEEP_S, self._sweep)

    def leave(self, window: AckWindow) -> None:
        """Look at it no more. Idempotent."""
        self._members.pop(window, None)

    def _sweep(self) -> None:
        now, serial = self._monotonic(), self._serial()
        for window in list(self._members):
            if window.fits_until < serial:
                window.look(now)
        self.is_sweeping = len(self._members) > 0
        if self.is_sweeping:
            self._call_later(SWEEP_S, self._sweep)
