"""One subscription, without a connection: where it stands, and what waits for its loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from relayd_client.events import Events, Guard
from relayd_client.messages import Lost, Publication
from relayd_client.topics import matcher

#: Publications that wait for a loop: a few seconds of a busy topic, some MB at most of usual sizes (guess).
BUFFER = 1_000
#: Of the acknowledgement window (docs/protocol.md).
WINDOW_MAX = 65_535


@dataclass(frozen=True, slots=True)
class Wish:
    """How the server is asked for a text: of several readers the fastest rate and the smallest window decide."""

    hz: float = float("inf")
    binary: bool = False
    window: int = 0
    """Publications that may be unacknowledged; 0 without acknowledgement."""

    def joined(self, other: Wish) -> Wish:
        """One wish for both."""
        windows = [window for window in (self.window, other.window) if window]
        return Wish(max(self.hz, other.hz), self.binary or other.binary, min(windows, default=0))


class Reader(Events):
    """One subscription to a topic or pattern.

    Args:
        text: as subscribed.
        callback: called with each publication; without it they wait for `take`.
        wish: rate, form and window.
        buffer: publications that may wait; beyond, the oldest are dropped and counted.
        guard: calls what is the user's.

    Raises:
        ValueError: a number is out of its bounds.
    """

    def __init__(
        self, text: str, callback: Callable[[Publication], object] | None, wish: Wish, buffer: int, guard: Guard
    ) -> None:
        super().__init__(guard)
        if not text:
            raise ValueError("topic: the empty text is none")
        if buffer < 1:
            raise ValueError(f"buffer: {buffer}, expected 1 or more publications")
        if not wish.hz > 0:
            raise ValueError(f"max_hz: {wish.hz}, expected more than 0 publications a second")
        if not 0 <= wish.window <= WINDOW_MAX:
            raise ValueError(f"window: {wish.window}, expected 1 to {WINDOW_MAX} publications")
        self.topic = text
        self.wish = wish
        self.matches = matcher(text)
        self.at: dict[str, int] = {}
        """Per topic the offset up to which it was given everything, or told what is missing."""
        self.done: dict[str, int] = {}
        """The same of what it has processed: what is acknowledged."""
        self.dropped = 0
        """Publications that the loop did not take in time."""
        self.ended = False
        self.error: Exception | None = None
        self.wake: Callable[[], None] = _nobody
        """Called when `take` may have something new."""
        self._callback = callback
        self._buffer = buffer
        self._queue: deque[tuple[Publication, int | None]] = deque()
        self._missing: int | None = 0
        self._taken: Publication | None = None

    @property
    def has_callback(self) -> bool:
        """Whether publications are not to be taken."""
        return self._callback is not None

    @property
    def is_full(self) -> bool:
        """Whether the next one would drop the oldest."""
        return len(self._queue) >= self._buffer

    def give(self, publication: Publication) -> None:
        """The next publication of a topic."""
        self.at[publication.topic] = publication.offset
        if self.ended:
            return
        if self._callback is not None:
            self._guard(self._callback, publication)
            self.done[publication.topic] = publication.offset
            return
        self._queue.append((publication, self._missing))
        self._missing = 0
        if len(self._queue) > self._buffer:
            self._drop_oldest()
        self.wake()

    def _drop_oldest(self) -> None:
        gone, missing = self._queue.popleft()
        self.dropped += 1
        self.done[gone.topic] = gone.offset
        following, before = self._queue[0]
        self._queue[0] = (following, add(before, add(missing, 1)))

    def lose(self, lost: Lost) -> None:
        """Some will not come."""
        if lost.why != "rate":
            self._missing = add(self._missing, lost.count)
        self.tell("lost", lost)

    def skip(self, name: str, offset: int) -> None:
        """Everything up to here came, or will not."""
        self.at[name] = offset
        if not self._queue:
            self.done[name] = offset

    def forget(self, name: str) -> None:
        """The topic counts anew: where this one stands in it is unknown."""
        self.at.pop(name, None)
        self.done.pop(name, None)

    def take(self) -> Publication | None:
        """The oldest that waits, None for nothing. The one taken before counts as processed now."""
        if self._taken is not None:
            self.done[self._taken.topic] = self._taken.offset
            self._taken = None
        if not self._queue:
            return None
        publication, missing = self._queue.popleft()
        self._taken = publication
        return publication if missing == 0 else replace(publication, missed=missing)

    def finish(self, error: Exception | None = None) -> None:
        """Nothing more comes."""
        if not self.ended:
            self.ended = True
            self.error = error
            self.wake()


def add(one: int | None, other: int | None) -> int | None:
    """A sum in which None is "nobody can know"."""
    return None if one is None or other is None else one + other


def _nobody() -> None:
    """Nobody waits."""
