"""A topic while it exists."""

from __future__ import annotations

from relayd.core.topics import Topic
from tests.support.hub_rig import Rig, route


class TopicTests:
    """Readers and demand."""

    def test_demand_follows_the_claims(self) -> None:
        """The first that claims creates it, the last ends it; one that does not claim changes nothing."""
        rig = Rig(route("t/$n"))
        topic = rig.hub.topic("t/a")
        topic.add_reader(False)
        assert rig.demand.wanted_topics == []
        topic.add_reader(True)
        topic.add_reader(True)
        assert rig.demand.wanted_topics == ["t/a"]
        topic.remove_reader(True, 1.0)
        assert rig.demand.wanted_topics == ["t/a"]
        topic.remove_reader(True, 2.0)
        assert rig.demand.wanted_topics == []
        topic.remove_reader(False, 3.0)
        assert (topic.readers, topic.idle_since) == (0, 3.0)

    def test_without_demand(self) -> None:
        """A hub alone, without upstreams."""
        rig = Rig(route("t/$n"))
        topic = Topic(rig.hub, rig.hub.routes.find("t/a"), "e1", None, 0.0)
        topic.add_reader(True)
        topic.remove_reader(True, 1.0)
        assert topic.readers == 0

    def test_whose_it_is(self) -> None:
        """Of an upstream, or of its clients alone."""
        rig = Rig(route("t/$n"), route("chat/$n", upstream=None))
        assert (rig.hub.topic("t/a").is_local, rig.hub.topic("chat/a").is_local) == (False, True)

    def test_position(self) -> None:
        """Epoch and the newest offset."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        assert rig.hub.topic("t/a").position == "e1:1"
