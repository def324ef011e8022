"""Tests of relayd.core.upstream.outlet."""

from __future__ import annotations

from relayd.core.feed.outcome import Data
from relayd.core.publication import TopicState
from relayd.core.upstream.outlet import Outlet
from tests.support.upstream import WritingHub


class OutletTests:
    """Where publications go."""

    def test_straight(self) -> None:
        """The hub's own methods, at no cost."""
        hub = WritingHub()
        outlet: Outlet[str] = Outlet(hub)
        assert outlet.heard is None
        assert outlet.publish == hub.publish
        outlet.publish("a", b"1", True)
        outlet.gap("a", None, "upstream")
        outlet.state("a", TopicState.LIVE)
        outlet.forget("a")
        assert hub.read() == ["a=1", "a gap ? upstream", "a live", "a forgotten"]

    def test_turned(self) -> None:
        """All of it goes elsewhere, whole messages too; and back again."""
        hub, other = WritingHub(), WritingHub()
        heard: list[str] = []

        class End:
            gap, state, forget = other.gap, other.state, other.forget

            @staticmethod
            def heard(topic: str, data: Data[str]) -> None:
                heard.append(topic)

        outlet: Outlet[str] = Outlet(hub)
        outlet.turn(End)
        assert outlet.heard is not None
        outlet.heard("a", Data(("a",), b"1", True))
        outlet.gap("a", 3, "upstream")
        outlet.forget("a")
        assert (heard, other.read(), hub.read()) == (["a"], ["a gap 3 upstream", "a forgotten"], [])
        outlet.straighten()
        assert outlet.heard is None
        outlet.gap("a", None, "upstream")
        assert hub.read() == ["a gap ? upstream"]

    def test_said_whichever_way(self) -> None:
        """Whole messages, to the hub or to an overlap."""
        hub = WritingHub()
        outlet: Outlet[str] = Outlet(hub)
        outlet.say("a", Data(("a",), b"1", True, snapshot=True, is_json=True))
        outlet.shut()
        outlet.say("a", Data(("a",), b"2", True))
        assert hub.read() == ["a#1 json"]

    def test_shut(self) -> None:
        """Nothing of what a retired connection says matters."""
        hub = WritingHub()
        outlet: Outlet[str] = Outlet(hub)
        outlet.shut()
        assert outlet.heard is not None
        outlet.heard("a", Data(("a",), b"1", True))
        outlet.gap("a", None, "upstream")
        outlet.state("a", TopicState.RECONNECTING)
        outlet.forget("a")
        assert hub.read() == []
