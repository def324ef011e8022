"""Frames that wait until `limits` let them out: a lane for what the connection lives by, and one for subscriptions.

The first lane (login, beats, answers) goes first and is bounded; the second is filled only when it is empty, with one
difference between wanted and sent, so that it holds each topic once. HTTP requests have a lane and limit of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf

from relayd.core.feed.outcome import Frame, HttpRequest, Sending
from relayd.core.windows import Windows

ANSWERS_MOST = 64
"""guess: an upstream that is owed this many answers asks faster than its own limit lets us answer."""


class Overrun(Exception):
    """More answers are due than fit; the connection is given up."""


class Lanes:
    """What one connection still has to send."""

    __slots__ = ("_answers", "_requests", "_subscriptions", "_windows")

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._answers: deque[Frame] = deque()
        self._subscriptions: deque[Frame] = deque()
        self._requests: deque[HttpRequest] = deque()

    @property
    def subscriptions_wait(self) -> bool:
        """Whether the last difference is not wholly out yet."""
        return bool(self._subscriptions or self._requests)

    def answer(self, sendings: Iterable[Sending]) -> None:
        """Put into the first lane. Raises Overrun."""
        self._put(sendings, self._answers)
        if len(self._answers) + len(self._requests) > ANSWERS_MOST:
            raise Overrun("too many answers wait for limits.send")

    def subscribe(self, sendings: Iterable[Sending]) -> None:
        """Put into the second lane."""
        self._put(sendings, self._subscriptions)

    def publication_free_at(self, now: float) -> float:
        """When a client's publication may go: after what waits in the lanes for its limit. `now` or later."""
        waiting = bool(self._answers or self._subscriptions)
        return max(self._windows.publish_free_at(now), self.next_release() if waiting else now)

    def published(self, now: float) -> None:
        """A client's publication went out beside the lanes."""
        self._windows.sent(now, subscribes=False)

    def pinged(self, now: float) -> None:
        """A ping or pong went out beside the lanes; it counts all the same."""
        self._windows.sent(now, subscribes=False)

    def release(self, now: float) -> list[Sending]:
        """Take out what may go now, and count it."""
        released: list[Sending] = []
        for lane, subscribes in ((self._answers, False), (self._subscriptions, True)):
            while lane and self._windows.send_free_at(now, subscribes=subscribes) <= now:
                self._windows.sent(now, subscribes=subscribes)
                released.append(lane.popleft())
        while self._requests and self._windows.http_free_at(now) <= now:
            self._windows.requested(now)
            released.append(self._requests.popleft())
        return released

    def next_release(self) -> float:
        """When the next frame may go; -infinity = at once, infinity = none waits."""
        return min(
            self._windows.send_free_at(-inf, subscribes=False) if self._answers else inf,
            self._windows.send_free_at(-inf, subscribes=True) if self._subscriptions else inf,
            self._windows.http_free_at(-inf) if self._requests else inf,
        )

    def _put(self, sendings: Iterable[Sending], frames: deque[Frame]) -> None:
        for sending in sendings:
            if isinstance(sending, Frame):
                frames.append(sending)
            else:
                self._requests.append(sending)
