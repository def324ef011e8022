"""Strict sliding windows: never more than `count` events in any `span_s` seconds.

A token bucket of 5 per second lets nine out in its first second, and upstreams that count strictly close for it (1008,
then a resubscribe burst, then a ban). So each window remembers its newest events and frees a place only when the oldest
has left. Upstreams count per address, not per connection: all windows of one host and kind share one `History`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

MARGIN_S = 0.05  # guess: the upstream counts arrivals, and jitter of the network brings two of ours nearer together

SPARED_FROM = 4
"""Limits on frames from this size on keep one place free of subscriptions: an upstream that pings amid a full window
would close us for our own pong, which cannot wait. Smaller limits would lose a third of their pace (guess)."""


class History:
    """The newest events of one kind, shared by every window that counts them. Bounded by its largest window."""

    __slots__ = ("times",)

    def __init__(self) -> None:
        self.times: deque[float] = deque(maxlen=1)

    def widen(self, count: int) -> None:
        """Remember at least `count` events."""
        if count > (self.times.maxlen or 0):
            self.times = deque(self.times, maxlen=count)


class SlidingWindow:
    """At most `count` events in any `span_s` seconds (monotonic; handed in as `now`)."""

    __slots__ = ("_history", "count", "span_s")

    def __init__(self, count: int, span_s: float, history: History | None = None) -> None:
        """Raises ValueError unless count >= 1 and span_s > 0."""
        if count < 1 or span_s <= 0:
            raise ValueError(f"a window needs count >= 1 and span_s > 0 (got {count} in {span_s} s)")
        self.count = count
        self.span_s = span_s
        self._history = history if history is not None else History()
        self._history.widen(count)

    def free_at(self, now: float, *, spare: int = 0) -> float:
        """When the next event may happen: `now`, or a later time in the same seconds. `spare` places stay free."""
        times, count = self._history.times, self.count - spare
        if len(times) < count:
            return now
        return max(now, times[-count] + self.span_s + MARGIN_S)

    def take(self, now: float) -> bool:
        """Count one event, if it may happen now."""
        if self.free_at(now) > now:
            return False
        self.record(now)
        return True

    def record(self, now: float) -> None:
        """Count one event that could not be held back (a pong, for one)."""
        self._history.times.append(now)


class Windows:
    """The limits of one upstream: dials, frames sent, of these the ones that (un)subscribe, HTTP. None = no limit."""

    __slots__ = ("_on_dial", "connect", "http", "send", "subscribe")

    def __init__(
        self,
        *,
        connect: SlidingWindow | None = None,
        send: SlidingWindow | None = None,
        subscribe: SlidingWindow | None = None,
        http: SlidingWindow | None = None,
        on_dial: Callable[[], object] = bool,
    ) -> None:
        """`on_dial` is called for each dial that `connect` counts."""
        self._on_dial = on_dial
        self.connect = connect
        self.send = send
        self.subscribe = subscribe
        self.http = http

    def dial_free_at(self, now: float) -> float:
        """When the next dial may begin."""
        return free_at((self.connect,), now)

    def send_free_at(self, now: float, *, subscribes: bool) -> float:
        """When the next frame may go out."""
        if not subscribes:
            return free_at((self.send,), now)
        return max(free_at((self.subscribe,), now), self.publish_free_at(now))

    def publish_free_at(self, now: float) -> float:
        """When the next frame may go out that can also wait, or be refused."""
        return now if self.send is None else self.send.free_at(now, spare=1 if self.send.count >= SPARED_FROM else 0)

    def http_free_at(self, now: float) -> float:
        """When the next HTTP request may be made."""
        return free_at((self.http,), now)

    def requested(self, now: float) -> None:
        """An HTTP request was made."""
        record((self.http,), now)

    def dialled(self, now: float) -> None:
        """A dial began."""
        if self.connect is not None:
            self.connect.record(now)
            self._on_dial()

    def sent(self, now: float, *, subscribes: bool) -> None:
        """A frame went out."""
        record((self.send, self.subscribe if subscribes else None), now)


class HostWindows:
    """The histories of every host, so that all upstreams of one host count together."""

    def __init__(self) -> None:
        self._histories: dict[tuple[str, str], History] = {}
        self._spans_s: dict[tuple[str, str], float] = {}
        self.on_dial: Callable[[], object] = bool
        """Called when a dial was counted that a limit is set for."""

    def window(self, host: str, kind: str, count: int, span_s: float) -> SlidingWindow:
        """A window for events of `kind` (`connect`, `send`, `subscribe`) at `host`; errors as of SlidingWindow."""
        key = host.lower(), kind
        history = self._histories.setdefault(key, History())
        window = SlidingWindow(count, span_s, history)
        self._spans_s[key] = max(span_s, self._spans_s.get(key, 0.0))
        return window

    def recent(self, now: float) -> dict[tuple[str, str], tuple[float, ...]]:
        """By host and kind, the times of the events that still count, oldest first."""
        found = {}
        for key, history in self._histories.items():
            since = now - self._spans_s[key] - MARGIN_S
            if times := tuple(at for at in history.times if at > since):
                found[key] = times
        return found

    def restore(self, host: str, kind: str, times: Iterable[float]) -> None:
        """Events of an earlier run, before the first of this one; those that no window counts are forgotten."""
        history = self._histories.get((host, kind))
        if history is not None:
            history.times.extend(sorted(times))


def free_at(windows: Iterable[SlidingWindow | None], now: float) -> float:
    """When all of them let an event through."""
    return max((window.free_at(now) for window in windows if window is not None), default=now)


def record(windows: Iterable[SlidingWindow | None], now: float) -> None:
    """Count one event in all of them."""
    for window in windows:
        if window is not None:
            window.record(now)
