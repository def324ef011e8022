"""Topics that are read at a rate."""

from __future__ import annotations

import json

from tests.support.hub_rig import Client, Rig, delivery, route, say


class LaneTests:
    """`max_hz`."""

    def test_the_newest_at_that_rate(self) -> None:
        """The first at once, then one per period, the newest; the jump is the notice."""
        rig = Rig(route("t/$n", delivery(max_hz=10)))
        rig.publish("t/a")
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        client = Client(sink, lambda _: True)
        for _ in range(30):
            rig.publish("t/a")
            rig.clock.advance(0.01)
        client.read()
        assert client.data["t/a"][0] == 1
        assert len(client.data["t/a"]) <= 5
        rig.clock.advance(0.2)
        client.read()
        assert client.data["t/a"][-1] == 31

    def test_totals_once_a_second(self) -> None:
        """How many were skipped, in all."""
        rig = Rig(route("t/$n", delivery(max_hz=4)))
        rig.publish("t/a")
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        for _ in range(400):
            rig.publish("t/a")
            rig.clock.advance(0.01)
        rig.clock.advance(2)
        rig.publish("t/a")
        rig.clock.advance(2)
        client = Client(sink, lambda _: True)
        client.read()
        assert client.lost["t/a"] + len(client.data["t/a"]) == 402
        totals = [message for message in client.messages if message.get("op") == "lost"]
        assert {message["why"] for message in totals} == {"rate"}
        assert len(totals) <= 6

    def test_the_lower_rate_counts(self) -> None:
        """Of route and client."""
        rig = Rig(route("t/$n", delivery(max_hz=10)))
        session, _ = rig.open()
        say(session, op="subscribe", topics=["t/a"], max_hz=2)
        assert list(session.subscriber.topics.values()) == [2]

    def test_gaps_are_jumps(self) -> None:
        """A mark is not held."""
        rig = Rig(route("t/$n", delivery(max_hz=10)))
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        rig.hub.gap(rig.hub.topic("t/a"), None, "upstream")
        rig.publish("t/a")
        rig.clock.advance(1)
        client = Client(sink, lambda _: True)
        client.read()
        assert client.data["t/a"] == [2]

    def test_key(self) -> None:
        """The newest per key, where the route has one."""
        rig = Rig(route("t/$n", delivery(max_hz=10, key_of=lambda payload: json.loads(payload)["k"])))
        rig.publish("t/a", b'{"k":"z"}')
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        rig.publish("t/a", b'{"k":"z"}')
        rig.clock.advance(0.01)
        for key in ("x", "y", "x"):
            rig.publish("t/a", json.dumps({"k": key}).encode())
        rig.clock.advance(1)
        client = Client(sink, lambda _: True)
        client.read()
        assert client.data["t/a"] == [1, 2, 4, 5]
