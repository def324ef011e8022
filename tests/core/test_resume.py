"""Positions from one serial."""

from __future__ import annotations

import pytest

from relayd.core.resume import FOREIGN, SerialPositions
from tests.support.hub_rig import Rig, delivery, route


def positions(rig: Rig, text: str) -> SerialPositions:
    """Of a reader without rates."""
    return SerialPositions(rig.hub, text, lambda topic: None)


class SerialPositionsTests:
    """What `hubepoch.serial` means for each topic."""

    def test_each_topic_at_that_moment(self) -> None:
        """The newest publication up to the serial."""
        rig = Rig(route("t/$n"))
        for name in ("t/a", "t/b"):
            rig.hub.topic(name)
        for name in ("t/a", "t/b", "t/a", "t/b", "t/b"):
            rig.publish(name)
        since = positions(rig, "e.3")
        a, b = rig.hub.topic("t/a"), rig.hub.topic("t/b")
        assert since.get("t/a") == f"{a.epoch}:2"
        assert since.get("t/b") == f"{b.epoch}:1"

    @pytest.mark.parametrize("text", ["", "e", "e.", "x.1", "e.-1", "e.1x", "e.99999999999999999", "e.4", "e.\u00b2"])
    def test_of_another_numbering(self, text: str) -> None:
        """Not ours, or not yet."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        assert positions(rig, text).get("t/a") == FOREIGN

    def test_a_topic_that_is_younger(self) -> None:
        """It was another topic that the reader had."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        rig.publish("t/a")
        rig.hub.topic("t/b")
        assert positions(rig, "e.1").get("t/b") == FOREIGN
        assert positions(rig, "e.1").get("t/c") == FOREIGN
        assert positions(rig, "e.2").get("t/b") == f"{rig.hub.topic('t/b').epoch}:0"

    def test_let_go(self) -> None:
        """With a ledger the ring still knows the place, without one nobody does."""
        rig = Rig(route("t/$n", delivery(history_count=2)))
        for _ in range(5):
            rig.publish("t/a")
        topic = rig.hub.topic("t/a")
        assert positions(rig, "e.2").get("t/a") == FOREIGN
        topic.ring.keep_ledger()
        topic.ring.keep_ledger()
        for _ in range(5):
            rig.publish("t/a")
        assert positions(rig, "e.2").get("t/a") == FOREIGN
        assert positions(rig, "e.6").get("t/a") == f"{topic.epoch}:6"

    def test_read_at_a_rate(self) -> None:
        """The newest again."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        assert SerialPositions(rig.hub, "e.1", lambda topic: 5.0).get("t/a") is None
