"""Tests of relayd.core.upstream.watch."""

from __future__ import annotations

from math import inf

from relayd.core.feed.spec import HeartbeatSpec, SilenceSpec
from relayd.core.hours import parse_hours
from relayd.core.upstream.watch import Watch


def no_wall() -> float:
    """Nobody asks what time it is where a market never closes."""
    raise AssertionError


class SilenceTests:
    """Two watchdogs, fed by different things."""

    def test_off(self) -> None:
        """Without any limit nothing is ever due."""
        watch = Watch(None, SilenceSpec(), no_wall, 0.0)
        watch.begin(None, 0.0)
        watch.expect_data(True, 0.0)
        assert watch.next_deadline(stale=False) == inf
        assert not watch.late(1e9)
        assert watch.dead(1e9) is None
        assert not watch.beat_due(1e9)

    def test_any_frame(self) -> None:
        """Half of it is late, all of it is dead; a frame begins it anew."""
        watch = Watch(None, SilenceSpec(any_s=10), no_wall, 0.0)
        assert watch.next_deadline(stale=False) == 5
        assert watch.next_deadline(stale=True) == 10
        assert (watch.late(4.9), watch.late(5), watch.dead(9.9)) == (False, True, None)
        assert watch.dead(10) == "no frame for silence.any"
        watch.frame(9)
        assert (watch.late(10), watch.dead(18.9), watch.dead(19)) == (False, None, "no frame for silence.any")

    def test_data(self) -> None:
        """It runs only while data is expected, and only data feeds it."""
        watch = Watch(None, SilenceSpec(data_s=10), no_wall, 0.0)
        assert watch.dead(100) is None
        watch.expect_data(True, 100)
        watch.frame(105)
        watch.expect_data(True, 106)
        assert watch.late(105)
        assert watch.dead(110) == "no data for silence.data"
        watch.data(109)
        assert watch.dead(110) is None
        watch.expect_data(False, 111)
        assert watch.dead(1000) is None


class HoursTests:
    """A market that closes. The clock on the wall is 1,700,000,000 s ahead: second 0 is Tuesday, 22:13:20 UTC."""

    AHEAD_S = 1_700_000_000.0

    def watch(self, hours: str, **silence: float) -> Watch:
        watch = Watch(None, SilenceSpec(**silence, hours=parse_hours(hours)), lambda: self.now + self.AHEAD_S, 0.0)
        watch.expect_data(True, 0.0)
        return watch

    def look(self, watch: Watch, now: float) -> tuple[bool, str | None]:
        """Whether it is late, and why it is dead."""
        self.now = now
        return watch.late(now), watch.dead(now)

    def test_closed(self) -> None:
        """No data is normal: nothing is late, and the watch looks again after half a silence at most."""
        watch = self.watch("09:00-17:00 UTC mon-fri", data_s=60)
        for now in range(30, 3600, 30):
            assert self.look(watch, now) == (False, None)
            assert watch.next_deadline(stale=False) == now + 30

    def test_counts_anew_when_it_opens(self) -> None:
        """From the second of the opening, 22:14:00, however long there was no data before."""
        watch = self.watch("22:14-23:00 UTC tue", data_s=60)
        assert self.look(watch, 30) == (False, None)
        assert self.look(watch, 60) == (False, None)
        assert watch.next_deadline(stale=False) == 40 + 30
        assert self.look(watch, 70) == (True, None)
        assert self.look(watch, 99.9) == (True, None)
        assert self.look(watch, 100) == (True, "no data for silence.data")

    def test_closes_while_it_is_late(self) -> None:
        """At 22:14:00, after 40 s without data: not late any more, and not dead at 60 s."""
        watch = self.watch("21:00-22:14 UTC tue", data_s=60)
        assert self.look(watch, 30) == (True, None)
        assert self.look(watch, 60) == (False, None)
        assert watch.next_deadline(stale=True) == 120

    def test_any_rests_too(self) -> None:
        """Both watchdogs; the answers to heartbeats are still awaited."""
        watch = self.watch("09:00-17:00 UTC mon-fri", any_s=60)
        assert self.look(watch, 60) == (False, None)
        beats = Watch(
            HeartbeatSpec(), SilenceSpec(any_s=60, hours=parse_hours("09:00-17:00 UTC mon")), lambda: self.AHEAD_S, 0.0
        )
        beats.begin(20, 0.0)
        assert beats.beat_due(20)
        assert beats.dead(30) == "no answer to a heartbeat within heartbeat.within"

    def test_never_closed(self) -> None:
        """Hours that are all hours change nothing."""
        watch = self.watch("00:00-24:00 UTC mon-sun", data_s=60)
        assert self.look(watch, 59.9) == (True, None)
        assert self.look(watch, 60) == (True, "no data for silence.data")


class HeartbeatTests:
    """Beats, ours and theirs."""

    def test_ours(self) -> None:
        """Every so often; the first one unanswered decides, and a later beat does not move its deadline."""
        watch = Watch(HeartbeatSpec(within_s=30), SilenceSpec(), no_wall, 0.0)
        assert watch.next_deadline(stale=False) == inf
        watch.begin(20, 5.0)
        assert (watch.beat_due(24.9), watch.beat_due(25)) == (False, True)
        assert watch.next_deadline(stale=False) == 45
        assert watch.beat_due(45)
        assert watch.next_deadline(stale=False) == 55
        assert watch.dead(54.9) is None
        assert watch.dead(55) == "no answer to a heartbeat within heartbeat.within"
        watch.frame(54)
        assert watch.dead(55) is None

    def test_a_described_answer(self) -> None:
        """Where `expect` says what the answer is, no other frame will do."""
        watch = Watch(HeartbeatSpec(within_s=10, expects=True), SilenceSpec(), no_wall, 0.0)
        watch.begin(20, 0.0)
        assert watch.beat_due(20)
        watch.frame(21)
        watch.data(22)
        assert watch.dead(30) == "no answer to a heartbeat within heartbeat.within"
        watch.answered()
        assert watch.dead(30) is None

    def test_an_answer_that_nobody_awaits(self) -> None:
        """`within: off` only keeps the connection open."""
        watch = Watch(HeartbeatSpec(within_s=None), SilenceSpec(), no_wall, 0.0)
        watch.begin(20, 0.0)
        assert watch.beat_due(20)
        assert watch.dead(1000) is None

    def test_theirs(self) -> None:
        """A companion subscription beats by itself, as soon as something is subscribed."""
        watch = Watch(HeartbeatSpec(within_s=15, companion=True, ping=False), SilenceSpec(), no_wall, 0.0)
        watch.begin(None, 0.0)
        assert watch.dead(100) is None
        watch.expect_data(True, 100)
        assert watch.dead(114.9) is None
        assert watch.dead(115) == "no heartbeat within heartbeat.within"
        watch.frame(114)
        assert watch.next_deadline(stale=False) == 129
        watch.expect_data(False, 116)
        assert watch.next_deadline(stale=False) == inf
