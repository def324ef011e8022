"""Who was closed for too much, and comes back."""

from __future__ import annotations

import pytest

from relayd.core import repeaters
from relayd.core.counters import ListenerCounters
from relayd.core.repeaters import REMEMBERED_S, SHUT_MOST_S, SHUT_S, Repeaters


class Rig:
    """Repeaters and their clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.counters = ListenerCounters()
        self.repeaters = Repeaters(lambda: self.now, self.counters)


class RepeatersTests:
    """By address."""

    def test_each_close_counts(self) -> None:
        """Of that address alone."""
        rig = Rig()
        for times in range(3):
            assert rig.repeaters.times("a") == times
            rig.repeaters.closed("a")
        assert rig.repeaters.times("b") == 0

    def test_it_is_forgotten(self) -> None:
        """A while after the last, all together."""
        rig = Rig()
        rig.repeaters.closed("a")
        rig.now += REMEMBERED_S - 1
        rig.repeaters.closed("a")
        rig.now += REMEMBERED_S - 1
        assert rig.repeaters.times("a") == 2
        rig.now += 1
        assert rig.repeaters.times("a") == 0
        rig.repeaters.closed("a")
        assert rig.repeaters.times("a") == 1

    def test_without_an_address(self) -> None:
        """Who comes by a unix socket is nobody in particular."""
        rig = Rig()
        rig.repeaters.closed(None)
        assert rig.repeaters.times(None) == 0

    def test_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who was quiet for longest gives way, and is counted."""
        monkeypatch.setattr(repeaters, "ADDRESSES_MOST", 2)
        rig = Rig()
        for address in ("a", "b", "a", "c"):
            rig.repeaters.closed(address)
        assert [rig.repeaters.times(address) for address in "abc"] == [2, 0, 1]
        assert rig.counters.repeaters_forgotten == 1


class ShutDoorTests:
    """When who comes back may come in."""

    def test_open_for_who_did_nothing(self) -> None:
        """Also where a neighbour's address was closed, and without an address."""
        rig = Rig()
        rig.repeaters.closed("a")
        assert rig.repeaters.opens_at("b") is None
        assert rig.repeaters.opens_at(None) is None

    def test_each_close_adds(self) -> None:
        """So that no more than so many visits a second end with a close."""
        rig = Rig()
        for times in (1, 2, 3):
            rig.repeaters.closed("a")
            assert rig.repeaters.opens_at("a") == pytest.approx(rig.now + times * SHUT_S)

    def test_time_goes_by(self) -> None:
        """What is over does not count for the next."""
        rig = Rig()
        rig.repeaters.closed("a")
        rig.now += SHUT_S / 2
        assert rig.repeaters.opens_at("a") == pytest.approx(rig.now + SHUT_S / 2)
        rig.now += SHUT_S
        assert rig.repeaters.opens_at("a") is None
        rig.repeaters.closed("a")
        assert rig.repeaters.opens_at("a") == pytest.approx(rig.now + SHUT_S)

    def test_bounded(self) -> None:
        """However many closes there were, a neighbour comes in after some seconds."""
        rig = Rig()
        for _ in range(1000):
            rig.repeaters.closed("a")
        assert rig.repeaters.opens_at("a") == rig.now + SHUT_MOST_S
