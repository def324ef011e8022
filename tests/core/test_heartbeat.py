"""Signs of life, by turns."""

from __future__ import annotations

from relayd.core.heartbeat import LOOK_EVERY_S, LOOKS_PER_TICK, Heartbeats


class HeartbeatsTests:
    """Whose turn it is."""

    def test_turns(self) -> None:
        """Each member once an interval."""
        beats: Heartbeats[str] = Heartbeats()
        beats.join("a", 0.0)
        beats.join("b", 1.0)
        assert beats.tick(LOOK_EVERY_S - 0.1) == []
        assert beats.tick(LOOK_EVERY_S) == ["a"]
        assert beats.tick(LOOK_EVERY_S + 1) == ["b"]
        assert beats.tick(2 * LOOK_EVERY_S) == ["a"]

    def test_leaving(self) -> None:
        """It has no turn any more, and takes no place for longer than one interval."""
        beats: Heartbeats[str] = Heartbeats()
        beats.join("a", 0.0)
        beats.leave("a")
        beats.leave("a")
        assert len(beats) == 0
        assert beats.tick(LOOK_EVERY_S) == beats.tick(2 * LOOK_EVERY_S) == []

    def test_quiet(self) -> None:
        """Until the first turn, also of who has left; always without members."""
        beats: Heartbeats[str] = Heartbeats()
        assert beats.is_quiet(100.0)
        beats.join("a", 0.0)
        beats.leave("a")
        assert beats.is_quiet(LOOK_EVERY_S - 0.1)
        assert not beats.is_quiet(LOOK_EVERY_S)

    def test_a_crowd_is_spread(self) -> None:
        """So many a tick; the others have their turn in the next ones."""
        beats: Heartbeats[int] = Heartbeats()
        for number in range(LOOKS_PER_TICK + 1):
            beats.join(number, 0.0)
        assert len(beats.tick(LOOK_EVERY_S)) == LOOKS_PER_TICK
        assert beats.tick(LOOK_EVERY_S + 0.1) == [LOOKS_PER_TICK]
        assert len(beats.tick(2 * LOOK_EVERY_S)) == LOOKS_PER_TICK
        assert beats.tick(2 * LOOK_EVERY_S) == []
