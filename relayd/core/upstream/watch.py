"""The watchdogs of one upstream connection: is it there, does it speak, does it bring data?

Open but silent is the fault users report most: no close, no error, for hours. Pings keep such a connection looking
healthy, so pongs and beats feed the watchdog of any frame and never the one of data. While a market is closed silence
is normal: both watchdogs rest, and what they count begins when it opens.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from relayd.core.feed.spec import HeartbeatSpec, SilenceSpec

LATE_SHARE = 0.5
"""The share of a silence after which an upstream is shown as stale: guess, early enough to look before it is cut."""


class Watch:
    """Times of one connection, in the seconds of `now`. `frame` and `data` stand on the way of every message."""

    __slots__ = (
        "_answer_by", "_any_answers", "_any_at", "_beat_at", "_beat_s", "_beats_from", "_data_at", "_hours",
        "_open_from", "_silence_any_s", "_silence_data_s", "_unasked_within_s", "_wall", "_within_s",
    )  # fmt: skip

    def __init__(
        self, heartbeat: HeartbeatSpec | None, silence: SilenceSpec, wall: Callable[[], float], now: float
    ) -> None:
        self._silence_any_s = silence.any_s if silence.any_s is not None else inf
        self._silence_data_s = silence.data_s if silence.data_s is not None else inf
        self._hours = silence.hours
        self._wall = wall
        self._open_from = -inf
        """Silence counts from here: the last opening of the market that is known, or the last time it was closed."""
        self._within_s = heartbeat.within_s if heartbeat is not None and heartbeat.within_s is not None else inf
        self._any_answers = heartbeat is None or not heartbeat.expects
        self._unasked_within_s = self._within_s if heartbeat is not None and heartbeat.companion else inf
        self._beat_s = inf
        self._beat_at = inf
        self._answer_by = inf
        self._any_at = now
        self._data_at = inf
        self._beats_from = inf

    def begin(self, beat_every_s: float | None, now: float) -> None:
        """From now on we beat this often; None = never."""
        if beat_every_s is not None:
            self._beat_s = beat_every_s
            self._beat_at = now + beat_every_s

    def frame(self, now: float) -> None:
        """Any frame came, a pong too."""
        self._any_at = now
        if self._any_answers:
            self._answer_by = inf

    def answered(self) -> None:
        """What `heartbeat.expect` describes came."""
        self._answer_by = inf

    def data(self, now: float) -> None:
        """A frame came, and it was data."""
        self._any_at = self._data_at = now
        if self._any_answers:
            self._answer_by = inf

    def expect_data(self, expected: bool, now: float) -> None:
        """Something is subscribed (or nothing any more): from now on a silence means something."""
        if not expected:
            self._data_at = self._beats_from = inf
        elif self._data_at == inf:
            self._data_at = self._beats_from = now

    def beat_due(self, now: float) -> bool:
        """Whether a heartbeat is due; if so it counts as sent, and its answer is awaited."""
        if now < self._beat_at:
            return False
        self._beat_at = now + self._beat_s
        self._answer_by = min(self._answer_by, now + self._within_s)
        return True

    def late(self, now: float) -> bool:
        """Whether half of a silence has passed."""
        if now < self._late_at():
            return False
        self._look_at_hours(now)
        return now >= self._late_at()

    def dead(self, now: float) -> str | None:
        """Why the connection must be given up, or None."""
        if now < min(self._ends())[0]:
            return None
        self._look_at_hours(now)
        at, why = min(self._ends())
        return why if now >= at else None

    def next_deadline(self, *, stale: bool) -> float:
        """When to look again; `stale`: the lateness is known already. Infinity = never."""
        return min(self._beat_at, min(self._ends())[0], inf if stale else self._late_at())

    def _look_at_hours(self, now: float) -> None:
        """Asked when a silence seems too long, and no sooner: so a step of the wall clock costs one silence at most."""
        if self._hours is not None:
            self._open_from = now - (self._hours.open_s(self._wall()) or 0.0)

    def _late_at(self) -> float:
        return min(
            max(self._any_at, self._open_from) + self._silence_any_s * LATE_SHARE,
            max(self._data_at, self._open_from) + self._silence_data_s * LATE_SHARE,
        )

    def _ends(self) -> tuple[tuple[float, str], ...]:
        return (
            (self._answer_by, "no answer to a heartbeat within heartbeat.within"),
            (max(self._any_at, self._beats_from) + self._unasked_within_s, "no heartbeat within heartbeat.within"),
            (max(self._any_at, self._open_from) + self._silence_any_s, "no frame for silence.any"),
            (max(self._data_at, self._open_from) + self._silence_data_s, "no data for silence.data"),
        )
