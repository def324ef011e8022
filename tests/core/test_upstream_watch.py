"""Tests of relayd.core.upstream_watch."""

from __future__ import annotations

from math import inf

from relayd.core.feed.spec import HeartbeatSpec, SilenceSpec
from relayd.core.upstream_watch import Watch


class SilenceTests:
    """Two watchdogs, fed by different things."""

    def test_off(self) -> None:
        """Without any limit nothing is ever due."""
        watch = Watch(None, SilenceSpec(), 0.0)
        watch.begin(None, 0.0)
        watch.expect_data(True, 0.0)
        assert watch.next_deadline(stale=False) == inf
        assert not watch.late(1e9)
        assert watch.dead(1e9) is None
        assert not watch.beat_due(1e9)

    def test_any_frame(self) -> None:
        """Half of it is late, all of it is dead; a frame begins it anew."""
        watch = Watch(None, SilenceSpec(any_s=10), 0.0)
        assert watch.next_deadline(stale=False) == 5
        assert watch.next_deadline(stale=True) == 10
        assert (watch.late(4.9), watch.late(5), watch.dead(9.9)) == (False, True, None)
        assert watch.dead(10) == "no frame for silence.any"
        watch.frame(9)
        assert (watch.late(10), watch.dead(18.9), watch.dead(19)) == (False, None, "no frame for silence.any")

    def test_data(self) -> None:
        """It runs only while data is expected, and only data feeds it."""
        watch = Watch(None, SilenceSpec(data_s=10), 0.0)
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


class HeartbeatTests:
    """Beats, ours and theirs."""

    def test_ours(self) -> None:
        """Every so often; the first one unanswered decides, and a later beat does not move its deadline."""
        watch = Watch(HeartbeatSpec(within_s=30), SilenceSpec(), 0.0)
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
        watch = Watch(HeartbeatSpec(within_s=10, expects=True), SilenceSpec(), 0.0)
        watch.begin(20, 0.0)
        assert watch.beat_due(20)
        watch.frame(21)
        watch.data(22)
        assert watch.dead(30) == "no answer to a heartbeat within heartbeat.within"
        watch.answered()
        assert watch.dead(30) is None

    def test_an_answer_that_nobody_awaits(self) -> None:
        """`within: off` only keeps the connection open."""
        watch = Watch(HeartbeatSpec(within_s=None), SilenceSpec(), 0.0)
        watch.begin(20, 0.0)
        assert watch.beat_due(20)
        assert watch.dead(1000) is None

    def test_theirs(self) -> None:
        """A companion subscription beats by itself, as soon as something is subscribed."""
        watch = Watch(HeartbeatSpec(within_s=15, companion=True, ping=False), SilenceSpec(), 0.0)
        watch.begin(None, 0.0)
        assert watch.dead(100) is None
        watch.expect_data(True, 100)
        assert watch.dead(114.9) is None
        assert watch.dead(115) == "no heartbeat within heartbeat.within"
        watch.frame(114)
        assert watch.next_deadline(stale=False) == 129
        watch.expect_data(False, 116)
        assert watch.next_deadline(stale=False) == inf
