"""Tests of relayd.core.upstream.topics."""

from __future__ import annotations

from math import inf

from relayd.core.upstream.places import Claim, Places
from relayd.core.upstream.topics import Phase, TopicLedger
from tests.support.upstream import WritingHub

Fields = dict[str, str]


class LedgerCase:
    """A ledger whose topics are names; topics that begin with `slow` may be silent for ever, others for 10 s."""

    unasked = False

    def setup_method(self) -> None:
        self.hub = WritingHub()
        self.ledger: TopicLedger[str] = TopicLedger(
            self.hub,
            within_s=lambda fields: None if fields["name"].startswith("slow") else 10.0,
            failed_again_s=300.0,
            unasked=self.unasked,
        )

    def want(self, *topics: str) -> None:
        for topic in topics:
            self.ledger.want(topic, {"name": topic})

    def wants(self, now: float = 0.0) -> list[str]:
        return [wanted.topic for wanted in self.ledger.take_wants(now)]

    def sent(self, *topics: str, now: float = 0.0) -> None:
        """Wanted and sent, and what was told of it read."""
        self.want(*topics)
        assert self.wants(now) == list(topics)
        self.hub.read()

    def phases(self) -> dict[str, str]:
        return {topic: phase.value for topic, (phase, _) in self.ledger.phases().items()}


class WantedTests(LedgerCase):
    """The difference between what is wanted and what was sent."""

    def test_each_is_sent_once(self) -> None:
        """However often it is wanted."""
        self.want("a", "b", "a")
        assert self.ledger.difference_due
        assert self.wants() == ["a", "b"]
        self.want("b")
        assert self.wants() == []
        assert not self.ledger.difference_due
        assert self.phases() == {"a": "sent", "b": "sent"}
        assert self.hub.read() == ["a pending", "b pending"]

    def test_what_came_and_went_costs_nothing(self) -> None:
        """Before it was sent, and after it was only marked to be dropped."""
        self.want("a")
        self.ledger.unwant("a")
        self.ledger.unwant("a")
        assert (self.wants(), self.ledger.take_drops(0.0), len(self.ledger)) == ([], [], 0)
        self.sent("b")
        self.ledger.unwant("b")
        assert (self.ledger.wanted, self.ledger.difference_due, len(self.ledger)) == (False, True, 1)
        self.ledger.unwant("b")
        self.want("b")
        assert (self.wants(), self.ledger.take_drops(0.0)) == ([], [])

    def test_an_upstream_that_cannot_be_reached(self) -> None:
        """Who waits for the first data is told why, and told again when the topic is asked for."""
        self.want("a")
        self.hub.read()
        self.ledger.lost("the upstream cannot be reached")
        self.ledger.lost("the upstream cannot be reached")
        assert self.hub.read()[-1] == "a pending: the upstream cannot be reached"
        assert self.wants() == ["a"]
        assert self.hub.read() == ["a pending"]

    def test_dropped(self) -> None:
        """It is forgotten when the upstream is told, and may come anew."""
        self.sent("a")
        self.ledger.unwant("a")
        assert self.ledger.take_drops(0.0) == ["a"]
        assert (len(self.ledger), self.phases()) == (0, {})
        self.want("a")
        assert self.wants() == ["a"]

    def test_the_hub_hears_when_it_ends(self) -> None:
        """Not when nobody wants it any more, but when the upstream is told: until then data may come."""
        self.sent("a", "b")
        self.ledger.unwant("a")
        assert self.hub.read() == []
        self.ledger.take_drops(0.0)
        self.want("c")
        self.ledger.unwant("c")
        assert self.hub.read() == ["a forgotten", "c pending", "c forgotten"]

    def test_data_while_leaving(self) -> None:
        """Until the upstream is told, data is data."""
        self.sent("a")
        self.ledger.unwant("a")
        self.ledger.data("a")
        self.ledger.data("unknown")
        assert self.hub.read() == ["a live"]
        assert self.phases() == {}


class AnswerTests(LedgerCase):
    """Acks, failures, and neither."""

    def test_confirmed_then_live(self) -> None:
        """Browsers hear of the data, not of the ack; acks of what is unknown or live change nothing."""
        self.sent("a", "b")
        assert self.ledger.unconfirmed() == ["a", "b"]
        self.ledger.acked(["a", "x"])
        assert [self.ledger.is_unanswered(topic) for topic in "abx"] == [False, True, False]
        assert [self.ledger.is_sent(topic) for topic in "abx"] == [True, True, False]
        assert not self.ledger.flowing
        assert [self.ledger.fields_of(topic) for topic in "ax"] == [{"name": "a"}, {}]
        assert (self.phases(), self.ledger.unconfirmed()) == ({"a": "confirmed", "b": "sent"}, ["b"])
        self.ledger.data("a")
        self.ledger.acked(["a"])
        assert (self.phases()["a"], self.ledger.live(), self.ledger.flowing) == ("live", ["a"], {"a"})
        assert self.hub.read() == ["a live"]

    def test_refused(self) -> None:
        """With the reason, and asked for again after a long pause; then it is pending."""
        self.sent("a", "b")
        self.ledger.failed(["a", "x"], "no such product", 5.0)
        assert self.ledger.phases()["a"] == (Phase.FAILED, "no such product")
        assert self.ledger.subscribed
        self.ledger.acked(["b"])
        assert self.ledger.next_deadline() == 305
        self.ledger.tick(304.9)
        assert not self.ledger.difference_due
        self.ledger.tick(305)
        assert self.ledger.take_retries(305) == ["a"]
        assert self.phases()["a"] == "sent"
        assert self.hub.read() == ["a failed: no such product", "a pending"]

    def test_refused_for_good(self) -> None:
        """What cannot even be asked for is not tried again on this connection."""
        self.sent("a")
        self.ledger.failed(["a"], "it needs a field", 5.0, again=False)
        assert self.ledger.next_deadline() == inf
        assert not self.ledger.subscribed

    def test_ended_after_it_was_live(self) -> None:
        """Nobody knows what is missed until it is back."""
        self.sent("a")
        self.ledger.data("a")
        self.ledger.failed(["a"], "revoked", 5.0)
        self.ledger.tick(305)
        assert self.ledger.take_retries(305) == ["a"]
        self.ledger.data("a")
        assert self.hub.read() == [
            "a live", "a failed: revoked", "a reconnecting", "a gap ? upstream", "a live",
        ]  # fmt: skip

    def test_a_late_ack_mends(self) -> None:
        """The upstream confirms after all; data does so too."""
        self.sent("a", "b")
        self.ledger.tick(10)
        why = "the upstream did not answer within subscribe.within"
        assert self.hub.read() == [f"a failed: {why}", f"b failed: {why}"]
        self.ledger.acked(["a"])
        self.ledger.data("b")
        assert self.hub.read() == ["a pending", "b live"]
        assert self.ledger.next_deadline() == inf

    def test_an_answer_in_time(self) -> None:
        """Ack or data end the waiting; a topic without a limit waits for ever."""
        self.sent("a", "b", "slow")
        assert self.ledger.next_deadline() == 10
        self.ledger.acked(["a"])
        self.ledger.data("b")
        assert self.ledger.next_deadline() == inf

    def test_a_failed_one_nobody_wants(self) -> None:
        """The conversation must forget it too; a retry that was due is no more."""
        self.sent("a", "b")
        self.ledger.failed(["a", "b"], "no", 0.0)
        self.ledger.unwant("a")
        self.ledger.tick(300)
        assert self.ledger.take_drops(0.0) == ["a"]
        self.ledger.unwant("b")
        assert self.ledger.take_drops(0.0) == ["b"]
        assert self.ledger.take_retries(300) == []

    def test_what_was_not_sent_cannot_fail(self) -> None:
        """An answer to an earlier connection's question, perhaps."""
        self.want("a")
        self.ledger.failed(["a"], "no", 0.0)
        assert self.phases() == {"a": "wanted"}


class AnewTests(LedgerCase):
    """Topics that are begun anew on the same connection."""

    def test_named_and_all(self) -> None:
        """Live ones get a mark when they are back; those on their way in or out are left alone."""
        self.sent("a", "b", "c")
        self.ledger.data("a")
        self.ledger.data("a")
        self.ledger.unwant("c")
        self.want("d")
        self.hub.read()
        assert self.ledger.again(["a", "x"], 0.0) == ["a"]
        assert self.ledger.again(None, 0.0) == ["a", "b"]
        self.ledger.data("a")
        assert self.hub.read() == ["a reconnecting", "a gap ? upstream", "a live"]

    def test_a_failed_one(self) -> None:
        """It is asked for at once, and is pending again."""
        self.sent("a")
        self.ledger.failed(["a"], "no", 0.0)
        assert self.ledger.again(["a"], 0.0) == ["a"]
        assert self.hub.read() == ["a failed: no", "a pending"]
        assert self.ledger.next_deadline() == 10


class ConnectionTests(LedgerCase):
    """The connection goes, with all that was sent on it."""

    def test_lost(self) -> None:
        """Everything is wanted anew; live ones are told, leaving ones forgotten."""
        self.sent("live", "acked", "failed", "leaving")
        self.ledger.data("live")
        self.ledger.data("leaving")
        self.ledger.acked(["acked"])
        self.ledger.failed(["failed"], "no", 0.0)
        self.ledger.unwant("leaving")
        self.hub.read()
        self.ledger.lost()
        assert self.hub.read() == ["leaving forgotten", "live reconnecting"]
        assert not self.ledger.subscribed
        assert self.ledger.next_deadline() == inf
        assert self.wants() == ["live", "acked", "failed"]
        assert self.hub.read() == ["failed pending"]
        self.ledger.lost()
        self.ledger.unwant("live")
        assert self.hub.read() == ["live forgotten"]

    def test_refused_and_admitted(self) -> None:
        """All fail with the reason, new ones too, until the upstream lets us in."""
        self.sent("a", "b")
        self.ledger.data("a")
        self.ledger.lost()
        self.hub.read()
        self.ledger.refused("bad key")
        self.want("c")
        assert self.hub.read() == ["a failed: bad key", "b failed: bad key", "c failed: bad key"]
        self.ledger.admitted()
        self.ledger.admitted()
        assert self.hub.read() == ["a reconnecting", "b pending", "c pending"]


class PlaceTests(LedgerCase):
    """Two places on a connection."""

    def setup_method(self) -> None:
        super().setup_method()
        places: Places[str] = Places(2, lambda fields: (Claim((fields["name"][0],)),), "it is full")
        self.ledger = TopicLedger(
            self.hub, within_s=lambda fields: 10.0, failed_again_s=300.0, unasked=False, places=places
        )

    def test_beyond_the_limit(self) -> None:
        """Failed with the reason, and not sent, until a place frees; no difference is due meanwhile."""
        self.want("a", "b", "c", "d")
        assert self.wants() == ["a", "b"]
        assert self.hub.read()[-2:] == ["c failed: it is full", "d failed: it is full"]
        assert self.ledger.phases()["c"] == (Phase.FAILED, "it is full")
        assert (self.ledger.waiting, self.ledger.crowded_out, self.ledger.difference_due) == (2, 2, False)
        assert self.ledger.subscribed
        self.ledger.unwant("a")
        assert self.ledger.take_drops(0.0) == ["a"]
        assert self.wants() == ["c"]
        assert self.hub.read() == ["a forgotten", "c pending"]
        assert self.phases() == {"b": "sent", "c": "sent", "d": "failed"}

    def test_gone_while_it_waits(self) -> None:
        """The upstream never heard of it."""
        self.want("a", "b", "c")
        self.wants()
        self.ledger.unwant("c")
        assert (self.ledger.waiting, self.ledger.take_drops(0.0), len(self.ledger)) == (0, [], 2)

    def test_a_refusal_frees_a_place(self) -> None:
        """Then the refused one waits in its turn, and is asked for by the conversation's own means."""
        self.want("a", "b", "c")
        self.wants()
        self.ledger.acked(["b"])
        self.ledger.failed(["a"], "no", 0.0)
        assert self.wants() == ["c"]
        self.ledger.acked(["c"])
        self.ledger.tick(300)
        self.hub.read()
        assert self.ledger.take_retries(300) == []
        assert self.ledger.waiting == 1
        assert self.hub.read() == ["a failed: it is full"]
        self.ledger.unwant("c")
        assert self.ledger.take_drops(0.0) == ["c"]
        assert (self.wants(300), self.ledger.take_retries(300)) == ([], ["a"])
        assert self.hub.read() == ["c forgotten", "a pending"]

    def test_silence_frees_none(self) -> None:
        """The upstream may have subscribed it all the same."""
        self.want("a", "b", "c")
        self.wants()
        self.ledger.acked(["b"])
        self.ledger.tick(10)
        assert self.phases() == {"a": "failed", "b": "confirmed", "c": "failed"}
        assert not self.ledger.difference_due
        self.ledger.tick(310)
        assert self.ledger.take_retries(310) == ["a"]

    def test_what_cannot_be_asked_for_frees_its_place(self) -> None:
        """At once."""
        self.want("a", "b", "c")
        self.wants()
        self.ledger.failed(["b"], "it needs a field", 0.0, again=False)
        assert self.wants() == ["c"]

    def test_a_late_answer_takes_a_place_that_is_not_there(self) -> None:
        """What the upstream sends counts, by ack or by data; then a place must free twice."""
        self.want("a", "b", "c", "d")
        self.wants()
        self.ledger.failed(["a", "b"], "no", 0.0)
        assert self.wants() == ["c", "d"]
        self.ledger.acked(["a"])
        self.ledger.data("b")
        self.want("e")
        assert self.wants() == []
        for topic in "abc":
            assert not self.ledger.difference_due
            self.ledger.unwant(topic)
            self.ledger.take_drops(0.0)
        assert self.wants() == ["e"]

    def test_anew(self) -> None:
        """What waits is not begun anew; a refused one is, where there is a place."""
        self.want("a", "b", "c")
        self.wants()
        assert self.ledger.again(None, 0.0) == ["a", "b"]
        self.ledger.failed(["a"], "no", 0.0)
        assert self.wants() == ["c"]
        assert self.ledger.again(None, 0.0) == ["b", "c"]

    def test_a_new_connection(self) -> None:
        """All are asked for anew, in the order of asking."""
        self.want("a", "b", "c")
        self.wants()
        self.ledger.lost()
        assert self.ledger.waiting == 0
        self.hub.read()
        assert self.wants() == ["a", "b"]
        assert self.hub.read() == ["c failed: it is full"]

    def test_who_came_later(self) -> None:
        """Takes nobody's place with a new connection."""
        self.want("a", "b")
        self.wants()
        self.want("c")
        self.ledger.lost()
        assert self.wants() == ["a", "b"]

    def test_a_shared_subscription(self) -> None:
        """Topics that the feed does not tell apart need one place."""
        self.want("a1", "a2", "b", "c1", "c2")
        assert self.wants() == ["a1", "a2", "b"]
        self.ledger.unwant("a1")
        self.ledger.take_drops(0.0)
        assert self.wants() == []
        self.ledger.unwant("a2")
        self.ledger.take_drops(0.0)
        assert self.wants() == ["c1", "c2"]


class EndedTests(LedgerCase):
    """What is ended and wanted again on one connection, while something of it may be on its way; the hub has forgotten
    it meanwhile, and made another topic of that name."""

    def setup_method(self) -> None:
        """One that had data, and was ended."""
        super().setup_method()
        self.ledger.want("a before", {"name": "a"})
        self.wants()
        self.ledger.data("a before")
        self.ledger.unwant("a before")
        assert self.ledger.take_drops(100.0) == ["a before"]
        self.hub.read()

    def test_late_data(self) -> None:
        """What comes before the ack may be of the subscription before: a hole may follow it. Told once."""
        self.sent("a", now=105.0)
        self.ledger.data("a")
        self.ledger.acked(["a"])
        self.ledger.acked(["a", "unknown"])
        assert self.hub.read() == ["a live", "a gap ? upstream"]

    def test_late_data_before_it_was_sent(self) -> None:
        """As where limits hold the message back."""
        self.want("a")
        self.ledger.data("a")
        assert self.wants(105.0) == ["a"]
        self.ledger.acked(["a"])
        self.ledger.data("a")
        assert self.hub.read() == ["a pending", "a live", "a gap ? upstream", "a live"]

    def test_data_after_the_ack(self) -> None:
        """Is of the new one."""
        self.sent("a", now=105.0)
        self.ledger.acked(["a"])
        self.ledger.data("a")
        assert self.hub.read() == ["a live"]

    def test_long_after(self) -> None:
        """Nothing of the old one is on its way any more."""
        assert self.ledger.next_deadline() == 110.0
        self.ledger.tick(110.0)
        assert self.ledger.next_deadline() == inf
        self.sent("a", now=110.0)
        self.ledger.data("a")
        self.ledger.acked(["a"])
        assert self.hub.read() == ["a live"]

    def test_on_another_connection(self) -> None:
        """Nor there: whether it is wanted again before the loss, or after it."""
        self.want("a")
        self.ledger.lost()
        assert self.wants(105.0) == ["a"]
        self.hub.read()
        self.ledger.data("a")
        self.ledger.acked(["a"])
        assert self.hub.read() == ["a live"]
        self.ledger.unwant("a")
        self.ledger.take_drops(106.0)
        self.ledger.lost()
        self.sent("a", now=106.0)
        self.ledger.data("a")
        self.ledger.acked(["a"])
        assert self.hub.read() == ["a live"]

    def test_deltas(self) -> None:
        """A mark would take away the snapshot that came with the ack."""
        self.ledger._is_delta = lambda fields: True
        self.sent("a", now=105.0)
        self.ledger.data("a")
        self.ledger.acked(["a"])
        assert self.hub.read() == ["a live"]


class OtherConnectionTests(LedgerCase):
    """Topics that another connection served until now, or is to serve."""

    def test_confirmed(self) -> None:
        """By an answer or by data, and not while it is given up."""
        self.sent("a", "b", "c")
        self.ledger.acked(["a"])
        self.ledger.data("b")
        assert [self.ledger.is_confirmed(topic) for topic in "abcd"] == [True, True, False, False]
        self.ledger.unwant("a")
        assert not self.ledger.is_confirmed("a")

    def test_inherited_with_data(self) -> None:
        """A loss before the first data here is a hole, and so is a failure; once."""
        self.sent("a", "b")
        for topic in "abx":
            self.ledger.inherit(topic, gap_due=False)
        self.ledger.failed(["b"], "no", 0.0)
        assert self.ledger.broken() == ["b"]
        self.ledger.lost()
        assert self.ledger.broken() == ["a", "b"]
        assert self.hub.read() == ["b failed: no", "a reconnecting"]

    def test_inherited_again_and_again(self) -> None:
        """What moved in silence had data: also where it moves once more before any comes, a loss is a hole."""
        self.sent("a")
        for _ in range(2):
            self.ledger.inherit("a", gap_due=False)
        self.ledger.lost()
        assert self.ledger.broken() == ["a"]

    def test_inherited_with_a_gap(self) -> None:
        """The next data is marked, also where some came already."""
        self.sent("a", "b")
        self.ledger.data("b")
        self.hub.read()
        for topic in "ab":
            self.ledger.inherit(topic, gap_due=True)
            self.ledger.data(topic)
        assert self.hub.read() == ["a gap ? upstream", "a live", "b gap ? upstream", "b live"]

    def test_told(self) -> None:
        """How it stands: waiting, broken, failed."""
        self.sent("a", "b")
        self.ledger.failed(["b"], "no", 0.0)
        self.ledger.inherit("a", gap_due=True)
        self.hub.read()
        for topic in "abx":
            self.ledger.tell(topic)
        assert self.hub.read() == ["a reconnecting", "b failed: no"]

    def test_released(self) -> None:
        """What was not asked for here goes without a word."""
        self.want("a", "b")
        self.hub.read()
        assert self.ledger.is_waiting("a")
        self.ledger.release("a")
        assert (self.wants(), self.hub.read()) == (["b"], [])
        assert [self.ledger.is_waiting(topic) for topic in "abx"] == [False, False, False]

class UnaskedTests(LedgerCase):
    """An upstream that pushes what it likes."""

    unasked = True

    def test_topics_come_by_themselves(self) -> None:
        """They are known from their first data, cannot be dropped or begun anew, and their holes are marked."""
        self.ledger.data("a")
        self.want("b", "a")
        assert self.wants() == ["b"]
        self.ledger.unwant("b")
        assert self.ledger.take_drops(0.0) == []
        assert self.ledger.again(None, 0.0) == []
        self.ledger.lost()
        assert self.wants() == ["b"]
        self.ledger.data("a")
        assert self.hub.read() == ["a live", "b pending", "a reconnecting", "a gap ? upstream", "a live"]


class FollowTests:
    """A cursor: the upstream goes on where the last connection ended."""

    def setup_method(self) -> None:
        """Two topics with data, and a connection that is lost."""
        self.hub = WritingHub()
        self.ledger: TopicLedger[str] = TopicLedger(
            self.hub, within_s=lambda fields: None, failed_again_s=300.0, unasked=False
        )
        for topic in ("a", "b"):
            self.ledger.want(topic, {})
        self.connect()
        for topic in ("a", "b"):
            self.ledger.data(topic)
        self.ledger.lost()
        self.hub.read()

    def connect(self) -> None:
        """A new connection, on which all is asked for."""
        self.ledger.acked(wanted.topic for wanted in self.ledger.take_wants(0.0))

    def test_no_mark(self) -> None:
        """Nothing is missing, of either."""
        self.connect()
        self.ledger.data("a", follows=True)
        self.ledger.data("b", follows=True)
        assert self.hub.read() == ["a live", "b live"]

    def test_nobody_knows(self) -> None:
        """The mark stands."""
        self.connect()
        self.ledger.data("a")
        assert self.hub.read() == ["a gap ? upstream", "a live"]

    def test_a_quiet_topic_has_its_mark_later(self) -> None:
        """It said nothing on the connection that followed; the next one does not follow."""
        self.connect()
        self.ledger.data("a", follows=True)
        self.ledger.lost()
        self.connect()
        self.hub.read()
        self.ledger.data("b")
        assert self.hub.read() == ["b gap ? upstream", "b live"]

    def test_what_an_earlier_connection_missed_stays_missed(self) -> None:
        """It did not follow, and the topic was quiet on it: that the next one follows it undoes nothing."""
        self.connect()
        self.ledger.data("a")
        self.ledger.lost()
        self.connect()
        self.hub.read()
        self.ledger.data("a", follows=True)
        self.ledger.data("b", follows=True)
        assert self.hub.read() == ["a live", "b gap ? upstream", "b live"]

    def test_a_dial_that_failed_missed_nothing(self) -> None:
        """What lies between is still one connection."""
        self.ledger.lost("unreachable", opened=False)
        self.connect()
        self.hub.read()
        self.ledger.data("a", follows=True)
        assert self.hub.read() == ["a live"]

    def test_inherited_and_not_sure(self) -> None:
        """Another connection had it until now, and this one may turn out to follow that."""
        self.connect()
        self.ledger.data("a")
        self.ledger.inherit("a", gap_due=True, sure=False)
        self.ledger.inherit("b", gap_due=True)
        self.hub.read()
        self.ledger.data("a", follows=True)
        self.ledger.data("b", follows=True)
        assert self.hub.read() == ["a live", "b gap ? upstream", "b live"]

    def test_what_was_ended_on_the_connection(self) -> None:
        """Begun anew, or refused: no cursor covers that."""
        self.connect()
        self.ledger.data("a", follows=True)
        self.ledger.again(["a"], 0.0)
        self.ledger.failed(["b"], "no", 0.0)
        self.hub.read()
        self.ledger.data("a", follows=True)
        self.ledger.data("b", follows=True)
        assert self.hub.read() == ["a gap ? upstream", "a live", "b gap ? upstream", "b live"]


class UnaskedInheritanceTests(LedgerCase):
    """The same for an upstream that pushes what it likes."""

    unasked = True

    def test_inherited(self) -> None:
        """It is known from then on."""
        self.ledger.inherit("a", gap_due=False)
        self.ledger.lost()
        assert self.hub.read() == ["a reconnecting"]
