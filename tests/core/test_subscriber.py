"""A connection as the hub sees it."""

from __future__ import annotations

from relayd.core.closecode import CLOSE_INTERNAL, CLOSE_SLOW, CloseCode
from relayd.core.publication import Encoding
from relayd.core.subscriber import MAX_CONTROL_BYTES, Subscriber
from relayd.core.wire import TEXT, frame
from tests.support.hub_rig import Client, FakeSink, Rig, route, say


class ControlLaneTests:
    """Answers and notices."""

    def test_after_what_is_buffered(self) -> None:
        """Nothing overtakes the rest of a flush."""
        sink = FakeSink(room=0)
        sink.write(b"rest")
        Subscriber(sink, Encoding.V1).tell(b"answer")
        assert bytes(sink.buffer) == b"rest" + frame(TEXT, b"answer")

    def test_bound(self) -> None:
        """One that asks and does not read is closed as slow; one that reads starts anew."""
        sink = FakeSink(room=0)
        subscriber = Subscriber(sink, Encoding.V1)
        whole = b"x" * (MAX_CONTROL_BYTES - 4)  # and the head of its frame
        subscriber.tell(whole)
        subscriber.tell(b"x")
        assert sink.closed is None
        sink.read(1 << 30)
        subscriber.tell(whole)
        assert sink.closed is None
        sink.room = 0
        sink.buffer += b"unread"
        subscriber.tell(b"x")
        assert sink.closed is None
        subscriber.tell(b"x")
        assert sink.closed is CLOSE_SLOW
        assert len(sink.buffer) == len(b"unread") + 3

    def test_one_long_answer(self) -> None:
        """In as many messages as it may be: all of it, to a socket that takes nothing at first."""
        sink = FakeSink(room=0)
        subscriber = Subscriber(sink, Encoding.V1)
        part = b"x" * MAX_CONTROL_BYTES
        subscriber.tell(part, part, part)
        assert sink.closed is None and len(sink.buffer) > 3 * MAX_CONTROL_BYTES
        subscriber.tell()
        assert sink.closed is None
        subscriber.tell(b"x")
        assert sink.closed is CLOSE_SLOW

    def test_dressed_for_its_reader(self) -> None:
        """A frame or an event."""
        sink = FakeSink()
        Subscriber(sink, Encoding.SSE).tell(b"{}")
        assert bytes(sink.taken) == b"data: {}\n\n"


class SendTests:
    """The way to send that the sink binds."""

    def test_follows_the_sink(self) -> None:
        """What is bound last counts; a full socket takes nothing and is told to the sink."""
        sink = FakeSink(room=3)
        subscriber = Subscriber(sink, Encoding.V1)
        assert [subscriber.send(b"hello"), subscriber.send(b"lo")] == [3, 0]
        subscriber._put(lambda data: 1, 64)
        assert subscriber.send(b"hello") == 1 and subscriber.port == 64


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
        assert session.subscriber.totals()[0] == 4  # the state `live`, and three publications
        say(session, op="subscribe", topics=["t/b"])
        assert session.sent_messages == 4
        live = len(b'..{"op":"state","topic":"t/a","state":"live"}')
        assert session.sent_bytes == live + 3 * len(b'..{"topic":"t/a","offset":1,"data":1}')
        client = Client(sink)
        client.read()
        assert client.data["t/a"] == [1, 2, 3]

    def test_before_and_after(self) -> None:
        """Without a cohort it has what it had."""
        assert Subscriber(FakeSink(), Encoding.V1).totals() == (0, 0)


class FaultTests:
    """An exception on its behalf."""

    def test_closed_and_reported(self) -> None:
        """With 1011; without a cohort there is nobody to report to."""
        places: list[str] = []
        rig = Rig(route("t/$n"), report=places.append)
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        session.subscriber.fault()
        assert (sink.closed, places) == (CLOSE_INTERNAL, ["delivery"])
        idle, idle_sink = rig.open()
        idle.subscriber.fault()
        assert (idle_sink.closed, places) == (CLOSE_INTERNAL, ["delivery"])

    def test_a_sink_that_cannot_be_closed(self) -> None:
        """Is left to its keepalive."""

        class Stuck(FakeSink):
            def close(self, close: CloseCode, retry_s: int | None = None) -> None:
                raise RuntimeError("no")

        Subscriber(Stuck(), Encoding.V1).give_up()
