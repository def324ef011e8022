"""A connection as the hub sees it."""

from __future__ import annotations

from relayd.core.closecode import CLOSE_SLOW
from relayd.core.publication import Encoding
from relayd.core.subscriber import MAX_CONTROL_BYTES, Subscriber
from tests.support.hub_rig import Client, FakeSink, Rig, route, say


class ControlLaneTests:
    """Answers and notices."""

    def test_after_what_is_buffered(self) -> None:
        """Nothing overtakes the rest of a flush."""
        sink = FakeSink(room=0)
        sink.write(b"rest")
        Subscriber(sink, Encoding.V1).tell(b"answer")
        assert bytes(sink.buffer) == b"restanswer"

    def test_bound(self) -> None:
        """One that asks and does not read is closed as slow; one that reads starts anew."""
        sink = FakeSink(room=0)
        subscriber = Subscriber(sink, Encoding.V1)
        subscriber.tell(b"x" * MAX_CONTROL_BYTES)
        assert sink.closed is None
        sink.read(1 << 30)
        subscriber.tell(b"x" * MAX_CONTROL_BYTES)
        assert sink.closed is None
        sink.room = 0
        sink.buffer += b"unread"
        subscriber.tell(b"x")
        assert sink.closed is CLOSE_SLOW


class TotalsTests:
    """What it was sent."""

    def test_counted_without_counting(self) -> None:
        """By the cohort's totals while current, kept when it leaves."""
        rig = Rig(route("t/$n"))
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        for _ in range(3):
            rig.publish("t/a")
            rig.clock.turn()
        assert session.subscriber.totals()[0] == 3
        say(session, op="subscribe", topics=["t/b"])
        assert session.sent_messages == 3
        assert session.sent_bytes == 3 * len(b'..{"topic":"t/a","offset":1,"data":1}')
        client = Client(sink)
        client.read()
        assert client.data["t/a"] == [1, 2, 3]
