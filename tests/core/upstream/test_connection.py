"""Tests of relayd.core.upstream.connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from relayd.core.counters import UpstreamCounters
from relayd.core.feed.outcome import Data, Frame, HttpRequest
from relayd.core.feed.path import parse_path
from relayd.core.feed.publish import AS_IT_STANDS, Upward, parse_publish
from relayd.core.feed.sequence import Sequence
from relayd.core.feed.spec import HeartbeatSpec, SilenceSpec
from relayd.core.routes import TopicRefused
from relayd.core.upstream.connection import Connection
from relayd.core.upstream.effects import DialImpossible, Effect, Loss, LossKind, Note, Ping, Send
from relayd.core.upstream.lanes import Overrun
from relayd.core.upstream.outlet import Outlet
from relayd.core.upstream.places import Claim, Places
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.states import Event
from relayd.core.upstream.topics import TopicLedger
from relayd.core.windows import MARGIN_S, SlidingWindow, Windows
from tests.support.upstream import NO_FIELDS, TinyTalk, WritingHub


def place_of_its_own(fields: Mapping[str, str]) -> tuple[Claim, ...]:
    """Each topic takes a place for itself."""
    return (Claim((fields["name"],)),)


class ConnectionCase:
    """An open connection in the tiny dialect."""

    def connect(self, talk: TinyTalk | None = None, windows: Windows | None = None, **policy: Any) -> None:
        self.now = 100.0
        self.hub = WritingHub()
        self.counters = UpstreamCounters()
        policy.setdefault("heartbeat", None)
        rules = UpstreamPolicy(**policy)
        self.topics: TopicLedger[str] = TopicLedger(
            self.hub, within_s=rules.subscribe_within_s, failed_again_s=rules.failed_again_s, unasked=rules.unasked,
            places=Places(rules.topics_most, rules.claims_of, "full"),
        )  # fmt: skip
        self.talk = talk or TinyTalk()
        self.outlet: Outlet[str] = Outlet(self.hub)
        self.connection: Connection[str] = Connection(
            self.talk, rules, self.topics, self.outlet, windows or Windows(), self.counters, lambda: 0.0, self.now
        )
        if self.connection.ready:
            self.connection.begin(self.now)

    def tend(self) -> list[str]:
        """What goes out."""
        return [self.word(effect) for effect in self.connection.tend(self.now)]

    @staticmethod
    def word(effect: Effect) -> str:
        match effect:
            case Send(Frame(payload)):
                return payload.decode()
            case Send(HttpRequest() as request):
                return request.method
            case Ping():
                return "ping"
            case Note():
                return f"note {effect.event}"
        raise AssertionError(effect)

    def live(self, *topics: str) -> None:
        """Wanted, sent, and with data."""
        for topic in topics:
            self.topics.want(topic, NO_FIELDS)
        self.tend()
        for topic in topics:
            self.says(f"{topic}=0")
        self.hub.read()

    def says(self, text: str) -> Event | Loss | None:
        return self.connection.message(text.encode(), True, self.now)


class MessageTests(ConnectionCase):
    """What a message means for the session."""

    def test_data(self) -> None:
        """Published before anything else, counted, and no reason to look for things to send."""
        self.connect()
        self.live("a")
        assert self.says("a=1") is Event.DATA
        assert self.hub.read() == ["a=1"]
        assert not self.connection.untended
        assert (self.counters.received, self.counters.received_bytes, self.counters.published) == (2, 6, 2)

    def test_what_is_json(self) -> None:
        """The hub hears of it."""
        self.connect()
        self.live("a")
        self.talk.message = lambda *_: Data(("a",), b"1", True, is_json=True)
        self.says("a=1")
        assert self.hub.read() == ["a=1 json"]

    def test_to_an_overlap(self) -> None:
        """While two connections overlap, the whole message goes to who judges them; the hub hears nothing of it."""
        self.connect()
        self.live("a")
        heard: list[tuple[str, bytes]] = []

        class Judge:
            gap, state, forget = self.hub.gap, self.hub.state, self.hub.forget

            @staticmethod
            def heard(topic: str, data: Data[str]) -> None:
                heard.append((topic, data.payload))

        self.outlet.turn(Judge)
        assert self.says("a=1") is Event.DATA
        assert (heard, self.hub.read()) == ([("a", b"1")], [])
        self.outlet.straighten()
        self.says("a=2")
        assert (len(heard), self.hub.read()) == (1, ["a=2"])

    def test_what_is_no_data(self) -> None:
        """Each is counted by what it was."""
        self.connect()
        self.live("a")
        for text in ("beat", "pong", "held", "x=1", "nonsense", "ok a"):
            assert self.says(text) is None
        assert self.connection.untended
        counters = self.counters
        assert (counters.beats, counters.held, counters.unrouted, counters.unknown, counters.acks) == (2, 1, 1, 1, 1)

    def test_a_gap_in_its_place(self) -> None:
        """Before the publication that shows it."""
        self.connect()
        self.live("a")
        assert self.says("a~3=1") is Event.DATA
        assert self.hub.read() == ["a gap 3 upstream", "a=1"]
        assert self.counters.gaps == 1

    def test_a_gap_of_the_connection(self) -> None:
        """All topics that had data may have lost some."""
        self.connect()
        self.live("a", "b")
        self.topics.want("c", NO_FIELDS)
        assert self.says("lost 2") is None
        assert self.hub.read() == ["c pending", "a gap 2 upstream", "b gap 2 upstream"]

    def test_released_by_an_ack(self) -> None:
        """Messages that waited for it are data."""
        self.connect()
        self.live("a")
        assert self.says("found a") is Event.DATA
        assert self.hub.read() == ["a=held"]

    def test_left_out_of_an_ack(self) -> None:
        """Those have failed, with the reason."""
        self.connect()
        self.live("a", "b")
        assert self.says("no b left out of the list") is None
        assert self.hub.read() == ["b failed: left out of the list"]
        assert self.counters.fails == 1

    def test_held_and_given_up(self) -> None:
        """Counted on behind what earlier connections gave up, also when a topic that goes was what was waited for."""
        self.connect()
        self.talk.dropped = 2
        self.tend()
        self.connection = Connection(
            TinyTalk(), UpstreamPolicy(), self.topics, self.outlet, Windows(), self.counters, lambda: 0.0, self.now
        )
        self.tend()
        assert self.counters.held_dropped == 2

    def test_parts(self) -> None:
        """Each part counts as a message; the gravest signal wins."""
        self.connect()
        self.live("a")
        assert self.says("a=1\nbeat\na=2") is Event.DATA
        assert self.hub.read() == ["a=1", "a=2"]
        assert self.says("a=1\ndo drain\na=2") is Event.CLOSE
        loss = self.says("do drain\ndo reconnect\na=3")
        assert isinstance(loss, Loss)
        assert self.hub.read() == ["a=1", "a=2", "a=3"]

    def test_answers(self) -> None:
        """What goes out in answer goes out with the next tend."""
        self.connect()
        assert self.says("ping 2") is None
        assert self.tend() == ["pong", "pong"]
        assert self.says("call") is None
        assert self.tend() == ["GET"]

    def test_more_answers_than_may_go(self) -> None:
        """A loss, in the message or in its parts."""
        self.connect(windows=Windows(send=SlidingWindow(1, 1)))
        assert self.says("ping 65") == Loss(LossKind.OVERRUN, text="too many answers wait for limits.send")


class LoginTests(ConnectionCase):
    """Before anything may be sent."""

    def test_steps(self) -> None:
        """Next, done, refused."""
        self.connect(TinyTalk(login=True))
        self.topics.want("a", NO_FIELDS)
        assert self.tend() == ["key"]
        assert self.says("hi") is None
        assert self.tend() == ["me"]
        assert self.connection.next_deadline(stale=False) > 1e9
        assert self.says("in") is Event.READY
        assert self.tend() == ["+a"]
        assert self.says("out") == Loss(LossKind.LOGIN, text="the upstream refused the login")

    def test_impossible(self) -> None:
        """A value is missing."""
        talk = TinyTalk(login=True)
        talk.impossible = "login needs ${env.KEY}, which has no value"
        with pytest.raises(DialImpossible, match="login needs"):
            self.connect(talk)


class FailureTests(ConnectionCase):
    """Topics that the upstream will not have."""

    def test_named(self) -> None:
        """That topic, with the reason; strangers' text on one line."""
        self.connect()
        self.live("a", "b")
        assert self.says("no a no\x1bsuch product") is None
        assert self.hub.read() == ["a failed: no such product"]

    def test_unnamed_and_alone(self) -> None:
        """Only one topic can be meant."""
        self.connect()
        self.live("a")
        self.topics.want("b", NO_FIELDS)
        self.tend()
        assert self.says("no ? bad symbol") is None
        assert self.hub.read() == ["b pending", "b failed: bad symbol"]
        assert self.says("no ? too fast") is None
        assert self.tend() == ["note fail"]

    def test_unnamed_among_many(self) -> None:
        """Halved until the culprit is alone; what is wanted meanwhile waits."""
        self.connect()
        for topic in "abcd":
            self.topics.want(topic, NO_FIELDS)
        assert self.tend() == ["+a,b,c,d"]
        self.says("no ? bad symbol")
        self.topics.want("e", NO_FIELDS)
        assert self.tend() == ["+a,b"]
        self.says("ok a,b")
        assert self.tend() == ["+c,d"]
        self.says("no ? bad symbol")
        assert self.tend() == ["+c"]
        self.hub.read()
        self.says("no ? bad symbol")
        assert self.tend() == ["+d"]
        self.says("d=1")
        assert self.hub.read() == ["c failed: bad symbol", "d live", "d=1"]
        assert self.connection.next_deadline(stale=False) == 110
        self.says("beat")
        assert self.tend() == ["+e"]

    def test_named_together(self) -> None:
        """A whole message was refused: the same way, among its topics."""
        self.connect()
        self.live("x")
        for topic in "ab":
            self.topics.want(topic, NO_FIELDS)
        self.tend()
        self.says("no a,b bad symbol")
        assert self.tend() == ["+a"]
        self.now += 10
        assert self.tend() == ["+b"]

    def test_replied(self) -> None:
        """The answer to a request is a message."""
        self.connect()
        self.live("a")
        assert self.connection.replied(b"a=1", 200, 1, self.now) is Event.DATA

    def test_without_a_reason(self) -> None:
        """Something is said all the same."""
        self.connect()
        self.live("a")
        self.says("no a")
        assert self.hub.read() == ["a failed: the upstream refused it"]

    def test_retried(self) -> None:
        """After a long pause, by the conversation's own means."""
        self.connect()
        self.live("a")
        self.says("no a down")
        assert self.tend() == []
        assert self.connection.next_deadline(stale=False) == 400
        self.now = 400.0
        assert self.tend() == ["+a"]

    def test_what_cannot_be_asked_for(self) -> None:
        """The conversation says so; the others are asked for."""
        self.connect(TinyTalk(forbidden="x"))
        self.topics.want("a", NO_FIELDS)
        self.topics.want("x", NO_FIELDS)
        assert self.tend() == ["+a"]
        assert self.hub.read() == ["a pending", "x pending", "x failed: it is forbidden"]

    def test_confirmed_when_sent(self) -> None:
        """Where the upstream has no way to confirm."""
        self.connect(TinyTalk(acks=False))
        self.topics.want("a", NO_FIELDS)
        self.tend()
        assert self.topics.unconfirmed() == []


class RepairTests(ConnectionCase):
    """What the dialect wants done about a gap."""

    def test_asked_for_anew(self) -> None:
        """`resubscribe`: that topic alone, three times in five minutes; then gaps are only marked, and that is told."""
        self.connect(TinyTalk(repair="resubscribe"))
        self.live("a", "b")
        for _ in range(3):
            assert self.says("a~1=1") is Event.DATA
            assert self.tend() == ["-a", "+a"]
            self.says("a=2")
        assert self.says("a~1=3") is Event.DATA
        assert self.says("a~1=3") is Event.DATA
        assert self.tend() == ["note gaps"]
        assert self.says("b~1=1") is Event.DATA
        assert self.tend() == ["-b", "+b"]
        self.now += 301
        self.says("a~1=4")
        assert self.tend() == ["-a", "+a"]

    def test_reconnected(self) -> None:
        """`reconnect`: the whole connection, and no more often."""
        self.connect(TinyTalk(repair="reconnect"))
        self.live("a")
        why = Loss(LossKind.ASKED, text="messages of the connection are missing")
        assert [self.says("lost 1") for _ in range(4)] == [why, why, why, None]

    def test_ended_by_the_upstream(self) -> None:
        """`do: resubscribe` with a topic, or with all."""
        self.connect()
        self.live("a", "b")
        assert self.says("do again a") is None
        assert self.tend() == ["-a", "+a"]
        assert self.says("do again") is None
        assert self.tend() == ["-a,b", "+a,b"]
        assert self.says("do reconnect") == Loss(LossKind.ASKED, text="the upstream asked us to reconnect")

    def test_a_snapshot_for_a_newcomer(self) -> None:
        """As often as a repair, and with the same bound."""
        self.connect()
        self.live("a")
        for _ in range(5):
            self.connection.refresh("a", self.now)
        assert self.tend() == ["-a", "+a"] * 3

    def test_what_cannot_be_begun_anew(self) -> None:
        """A topic that is not there, or on its way out."""
        self.connect()
        self.connection.refresh("a", self.now)
        assert self.tend() == []


class SendingTests(ConnectionCase):
    """When things go out."""

    def test_more_topics_than_places(self) -> None:
        """Told once of a connection, with the number."""
        self.connect(topics_most=1, claims_of=place_of_its_own)
        for topic in "ab":
            self.topics.want(topic, {"name": topic})
        assert self.connection.tend(self.now)[0] == Note("full", {"most": 1}, warning=True)
        self.topics.want("c", {"name": "c"})
        assert self.tend() == []

    def test_has_asked(self) -> None:
        """Once the login is done, all that is wanted was sent for, and nothing of it waits for limits."""
        self.connect(TinyTalk(login=True), Windows(subscribe=SlidingWindow(1, 10)))
        assert not self.connection.has_asked
        self.tend()
        for text in ("hi", "in"):
            self.says(text)
            self.tend()
        assert self.connection.has_asked
        self.topics.want("a", NO_FIELDS)
        assert not self.connection.has_asked
        assert self.tend() == ["+a"]
        assert self.connection.has_asked
        self.topics.want("b", NO_FIELDS)
        assert (self.tend(), self.connection.has_asked) == ([], False)
        self.now += 11.0
        assert (self.tend(), self.connection.has_asked) == (["+b"], True)

    def test_one_difference_at_a_time(self) -> None:
        """While the first waits for limits, what comes and goes costs nothing."""
        self.connect(windows=Windows(subscribe=SlidingWindow(1, 10)))
        self.live("a")
        self.topics.want("b", NO_FIELDS)
        assert self.connection.next_deadline(stale=False) == float("-inf")
        assert self.tend() == []
        for _ in range(10):
            self.topics.want("c", NO_FIELDS)
            self.topics.unwant("c")
        self.topics.want("d", NO_FIELDS)
        self.topics.unwant("a")
        assert 110 < self.connection.next_deadline(stale=False) < 111
        assert self.tend() == []
        self.now = 111.0
        assert self.tend() == ["+b"]
        self.now = 122.0
        assert self.tend() == ["-a"]
        self.now = 133.0
        assert self.tend() == ["+d"]

    def test_topics_in_the_url(self) -> None:
        """They are not asked for in messages."""
        self.connect(topics_in_url=True)
        self.topics.want("a", NO_FIELDS)
        assert self.tend() == []
        assert self.connection.next_deadline(stale=False) > 1e9

    def test_beats(self) -> None:
        """A ping, or what the conversation says; pongs count as sent."""
        self.connect(TinyTalk(every_s=20), heartbeat=HeartbeatSpec())
        assert self.connection.next_deadline(stale=False) == 120
        self.now = 120.0
        assert self.tend() == ["ping"]
        self.connect(TinyTalk(every_s=20), heartbeat=HeartbeatSpec(ping=False))
        self.now = 120.0
        assert self.tend() == ["!"]

    def test_what_was_saved_is_fetched_anew(self) -> None:
        """Beside the connection, every so often."""
        self.connect(refresh_s=1800.0)
        assert self.connection.next_deadline(stale=False) == 1900
        self.now = 1900.0
        assert self.tend() == ["PUT"]
        assert self.connection.next_deadline(stale=False) == 3700

    def test_pongs_count(self) -> None:
        """The upstream's pings are answered at once, and the answers use up the limit."""
        self.connect(windows=Windows(send=SlidingWindow(1, 10)))
        self.connection.ponged(self.now)
        self.topics.want("a", NO_FIELDS)
        assert self.tend() == []
        self.now = 111.0
        assert self.tend() == ["+a"]

    def test_beats_that_wait(self) -> None:
        """They are bounded."""
        self.connect(TinyTalk(every_s=1), Windows(send=SlidingWindow(1, 1e6)), heartbeat=HeartbeatSpec(ping=False))
        with pytest.raises(Overrun):
            for _ in range(100):
                self.now += 1
                self.tend()


class ProofTests(ConnectionCase):
    """When a connection was a good one."""

    def test_enough_data_or_very_long(self) -> None:
        """Thirty seconds from first to last data, or ten minutes."""
        self.connect()
        assert not self.connection.proved(400)
        assert self.connection.proved(700)
        self.live("a")
        self.now = 129.0
        self.says("a=1")
        assert not self.connection.proved(131)
        self.now = 130.0
        self.says("a=1")
        assert self.connection.proved(131)

    def test_summary(self) -> None:
        """For the line at its end."""
        self.connect()
        self.live("a")
        assert self.connection.summary(101.23456) == {"open_s": 1.235, "received": 1, "published": 1, "sent": 1}

    def test_silence_is_expected_of_pushers(self) -> None:
        """Who pushes unasked is expected to speak; others only when something is subscribed."""
        for unasked, deadline in ((True, 160), (False, float("inf"))):
            self.connect(TinyTalk(unasked=unasked), unasked=unasked, silence=SilenceSpec(data_s=60))
            self.tend()
            assert self.connection.next_deadline(stale=True) == deadline


class FetchedSnapshotTests(ConnectionCase):
    """A snapshot by HTTP, with deltas beside it."""

    def begin(self) -> None:
        sequence = Sequence(at=parse_path("n"), step=1)
        self.connect(TinyTalk(fetched="a", repair="resync"), sequence_of=lambda fields: sequence)
        for topic in "ab":
            self.topics.want(topic, NO_FIELDS)
        self.tend()
        self.hub.read()

    def replied(self, text: str) -> None:
        self.connection.replied(text.encode(), 200, 7, self.now)

    def test_the_first_one(self) -> None:
        """Asked for with the first delta; published with what follows it, and then the topic is live."""
        self.begin()
        assert self.says("a=5") is Event.DATA
        assert self.tend() == ["GET"]
        self.says("a=6")
        self.says("b=1")
        assert self.hub.read() == ["b live", "b=1"]
        assert self.topics.unconfirmed() == []
        self.replied("a#5")
        assert self.hub.read() == ["a live", "a#5", "a=6"]
        self.says("a=7")
        assert self.hub.read() == ["a=7"]
        assert self.tend() == []

    def test_one_that_is_too_old(self) -> None:
        """Another is asked for, three times in all."""
        self.begin()
        self.says("a=5")
        assert self.tend() == ["GET"]
        for _ in range(3):
            self.replied("a#3")
            assert self.tend() == ["GET"]
        self.replied("a#3")
        self.replied("a#3")
        assert self.tend() == ["note gaps"]

    def test_one_that_failed(self) -> None:
        """The conversation says so: `resync`."""
        self.begin()
        self.says("a=5")
        self.tend()
        assert self.says("do resync a") is None
        assert self.tend() == ["GET"]
        assert self.says("do resync b") is None
        assert self.tend() == ["-b", "+b"]

    def test_after_a_gap(self) -> None:
        """The hole is marked, and a fresh one fetched; what comes meanwhile waits."""
        self.begin()
        self.says("a=5")
        self.replied("a#5")
        self.hub.read()
        self.tend()
        self.says("a~2=8")
        assert self.tend() == ["GET"]
        self.says("a=9")
        assert self.hub.read() == ["a gap 2 upstream", "a=8"]
        self.says("a~1=11")
        assert self.hub.read() == ["a gap 1 upstream"]
        assert self.tend() == ["GET"]
        self.replied("a#10")
        assert self.hub.read() == ["a#10", "a=11"]

    def test_in_band_needs_no_question(self) -> None:
        """A first message that is a snapshot is published at once."""
        self.begin()
        self.says("a#5")
        assert self.hub.read() == ["a live", "a#5"]
        assert self.tend() == []

    def test_no_longer_wanted(self) -> None:
        """What waited is forgotten with the topic."""
        self.begin()
        self.says("a=5")
        self.tend()
        self.topics.unwant("a")
        assert self.tend() == ["-a"]
        self.connection.refresh("a", self.now)
        assert self.tend() == []
        assert self.hub.read() == ["a forgotten"]

    def test_for_a_newcomer(self) -> None:
        """Fetched where it can be, without subscribing anew."""
        self.begin()
        self.says("a#5")
        self.connection.refresh("a", self.now)
        assert self.tend() == ["GET"]


class PublishTests(ConnectionCase):
    """What clients publish."""

    def test_at_once(self) -> None:
        """Rendered, sent, counted."""
        self.connect()
        upward = Upward(parse_publish("say $to $data"), {"to": "a"}, b'"hi"', True)
        assert self.word(self.connection.publish(upward, self.now)) == "say a hi"
        assert (self.counters.sent, self.connection.sent) == (1, 1)

    def test_limit(self) -> None:
        """Strictly, with when there is room."""
        self.connect(windows=Windows(send=SlidingWindow(1, 10)))
        upward = Upward(AS_IT_STANDS, {}, b"1", True)
        self.connection.publish(upward, self.now)
        with pytest.raises(TopicRefused) as caught:
            self.connection.publish(upward, self.now + 1)
        assert (caught.value.code, caught.value.message) == ("rate_limited", "limits.send of the upstream is reached")
        assert caught.value.retry_s == pytest.approx(9 + MARGIN_S)
        assert self.counters.sent == 1

    def test_cannot_be_said(self) -> None:
        """By what the message cannot hold, and by what is not known yet."""
        self.connect()
        for payload, name, code in ((b'"a\\"b"', "id", "bad_request"), (b"1", "token", "unavailable")):
            with pytest.raises(TopicRefused) as caught:
                self.connection.publish(Upward(parse_publish(f"say $data ${name}"), {}, payload, True), self.now)
            assert caught.value.code == code
        assert self.counters.sent == 0
