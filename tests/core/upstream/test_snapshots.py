"""Tests of relayd.core.upstream.snapshots."""

from __future__ import annotations

from relayd.core.feed.outcome import Data, Frame
from relayd.core.feed.path import parse_path
from relayd.core.feed.sequence import Sequence
from relayd.core.upstream.snapshots import Snapshots

SEQUENCE = Sequence(at=parse_path("n"), step=1)


def delta(number: int, *, gap: bool = False) -> Data[str]:
    """A numbered message."""
    return Data(("a",), str(number).encode(), True, seq=number, gap=gap)


def snapshot(last: int) -> Data[str]:
    """A state up to this number."""
    return Data(("a",), b"state", True, seq=last, snapshot=True)


class SnapshotsTests:
    """Deltas wait, and are joined."""

    def setup_method(self) -> None:
        self.asked: list[str] = []
        self.snapshots: Snapshots[str] = Snapshots(self.ask, lambda topic: SEQUENCE)

    def ask(self, topic: str) -> list[Frame]:
        self.asked.append(topic)
        return [Frame(b"?")] if topic == "a" else []

    def test_no_way_to_ask(self) -> None:
        """Then nothing waits."""
        assert self.snapshots.ask("b") == []
        assert not self.snapshots.waiting

    def test_joined(self) -> None:
        """What the snapshot holds is left out, what follows it comes behind it."""
        assert self.snapshots.ask("a") == [Frame(b"?")]
        for number in (5, 6, 7, 8):
            self.snapshots.hold("a", delta(number))
        assert self.snapshots.join("a", snapshot(6)) == [delta(7), delta(8)]
        assert not self.snapshots.waiting

    def test_too_old(self) -> None:
        """Another is asked for, and what waited stays."""
        self.snapshots.ask("a")
        self.snapshots.hold("a", delta(5))
        assert self.snapshots.join("a", snapshot(3)) is None
        self.snapshots.ask("a")
        self.snapshots.hold("a", delta(6))
        assert self.snapshots.join("a", snapshot(5)) == [delta(6)]
        assert self.asked == ["a", "a"]
        assert self.snapshots.ask("a") == self.snapshots.ask("a") == [Frame(b"?")]

    def test_a_gap_while_waiting(self) -> None:
        """Only what follows it can be joined."""
        self.snapshots.ask("a")
        self.snapshots.hold("a", delta(5))
        self.snapshots.hold("a", delta(9, gap=True))
        assert self.snapshots.join("a", snapshot(5)) is None
        assert self.snapshots.join("a", snapshot(8)) == [delta(9, gap=True)]

    def test_forgotten(self) -> None:
        """Nobody wants it any more."""
        self.snapshots.ask("a")
        self.snapshots.forget(["a", "b"])
        assert not self.snapshots.waiting
