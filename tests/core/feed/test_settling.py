"""What answers change."""

from __future__ import annotations

from typing import Any

from relayd.core.feed.answers import Answer
from relayd.core.feed.asking import Asking
from relayd.core.feed.decode import JSON, Message
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.fields import Reading
from relayd.core.feed.hearing import Hearing
from relayd.core.feed.held import MAX_HELD
from relayd.core.feed.ledger import Ledger, State, Subscription
from relayd.core.feed.outcome import Ack, Data, Fail, Held, Unrouted
from relayd.core.feed.path import Scope, parse_path
from relayd.core.feed.resume import Resume
from relayd.core.feed.routing import Router
from relayd.core.feed.settling import Settling
from relayd.core.feed.voice import Voice
from tests.support.talk import LEARNT, dialect, read

SID = parse_path("sid")


class Bench:
    """Settling with all it needs; topics are asked for."""

    def __init__(self, spoken: Dialect, *topics: str) -> None:
        voice = Voice(wall=lambda: 0.0, uuid=lambda: "", secrets={}, saved={}, resume=Resume())
        self.ledger = Ledger[str](spoken)
        self.asking = Asking[str](spoken, voice, self.ledger)
        self.router = Router[str](spoken, None)
        self.hearing = Hearing[str](spoken, self.router, self.ledger, Resume())
        self.settling = Settling[str](spoken, self.ledger, self.asking, self.router, self.hearing)
        for topic in topics:
            self.asking.ask(self.ledger.join(topic, {"name": topic}))
            self.router.add(topic, {"name": topic})

    def one(self, topic: str) -> Subscription[str]:
        """A topic's subscription."""
        found = self.ledger.of_topic(topic)
        assert found is not None
        return found

    def come(self, bound: str, payload: bytes = b"x", number: int | None = None) -> Held | Unrouted:
        """A message under an id that is not known."""
        message = Message(payload, True, JSON, Scope({"sub": bound}))
        return self.settling.unrouted(message, Reading(({},), bound), number)

    def ack(self, *topics: str, sid: Any = None, bind: bool = True) -> Ack[str]:
        """These are confirmed."""
        answer = Answer([self.one(topic) for topic in topics])
        return self.settling.acked(answer, Scope({"sid": sid}), SID if bind else None)


class AckTests:
    """Confirmations."""

    def test_confirmed_and_left_out(self) -> None:
        """In the order they were wanted."""
        bench = Bench(dialect(LEARNT), "a", "b", "c")
        answer = Answer([bench.one("b"), bench.one("a")], [bench.one("c")])
        outcome = bench.settling.acked(answer, Scope({}))
        assert (outcome.topics, outcome.failed) == (("a", "b"), ("c",)) and "leaves it out" in outcome.text
        assert [bench.one(topic).state.value for topic in "abc"] == ["confirmed", "confirmed", "failed"]

    def test_bound(self) -> None:
        """What was held under the id is released, in order."""
        bench = Bench(dialect(LEARNT), "a", "b")
        assert bench.come("7", b"1") == bench.come("8", b"2") == bench.come("7", b"3", 9) == Held()
        outcome = bench.ack("a", sid=7)
        assert outcome.released == (Data(("a",), b"1", True), Data(("a",), b"3", True, seq=9))
        assert bench.settling.dropped == 0

    def test_released_with_a_number_of_its_own(self) -> None:
        """That of the topic comes before that of the connection."""
        bench = Bench(dialect(LEARNT, sequence={"at": "n", "step": 1}), "a")
        message = Message(b"x", True, JSON, Scope({"sub": "7", "n": 4}))
        assert bench.settling.unrouted(message, Reading(({},), "7"), 99) == Held()
        (released,) = bench.ack("a", sid=7).released
        assert released.seq == 4

    def test_an_ack_that_tells_no_id(self) -> None:
        """Confirms, and releases nothing."""
        bench = Bench(dialect(LEARNT), "a", "b")
        bench.come("7")
        assert bench.ack("a", sid=None).released == () and bench.ack("b", bind=False).released == ()
        assert bench.settling.dropped == 1

    def test_what_nobody_wants_any_more_ends(self) -> None:
        """By the id that was awaited for it."""
        bench = Bench(dialect(LEARNT), "a", "b")
        bench.router.discard("a")
        (idle,) = bench.ledger.leave("a")
        assert bench.asking.end([idle]) == [] and idle.state is State.ENDING
        outcome = bench.settling.acked(Answer([idle]), Scope({"sid": 7}), SID)
        assert outcome.topics == () and read(outcome.sends) == [{"op": "unsub", "sub": 7, "id": 3}]

    def test_released_to_nobody(self) -> None:
        """Counted."""
        bench = Bench(dialect(LEARNT, payload="p"), "a", "b")
        bench.come("7")
        assert bench.ack("a", sid=7).released == () and bench.settling.dropped == 1

    def test_more_than_can_be_held(self) -> None:
        """The subscription has a gap, told with its next publication."""
        bench = Bench(dialect(LEARNT), "a", "b")
        outcomes = [bench.come("7") for _ in range(MAX_HELD + 1)]
        assert outcomes[-1] == Unrouted() and outcomes[-2] == Held()
        assert len(bench.ack("a", sid=7).released) == MAX_HELD
        assert bench.hearing.gapped == {bench.one("a")}


class HoldTests:
    """Whether a message waits."""

    def test_only_while_an_ack_may_tell(self) -> None:
        """Else it is unrouted."""
        bench = Bench(dialect(LEARNT), "a")
        assert bench.come("7") == Held()
        bench.ack("a", sid=8)
        assert bench.come("7") == Unrouted() and bench.settling.dropped == 1
        assert bench.come("8") == Unrouted()
        plain = Bench(dialect(topic={"at": "n"}, subscribe={"send": "$name"}, control=[{"when": "ok", "ack": {}}]), "a")
        assert plain.come("7") == Unrouted()
        assert plain.settling.unrouted(Message(b"", True, JSON, Scope(None)), Reading(({},)), None) == Unrouted()

    def test_an_id_that_is_known(self) -> None:
        """Its message is nobody's for another reason."""
        bench = Bench(dialect(LEARNT), "a", "b")
        bench.ack("a", sid=7)
        assert bench.come("7") == Unrouted() and bench.come("8") == Held()

    def test_a_loss_before_it_stays_with_it(self) -> None:
        """The connection's counter is settled by the message that is held."""
        rule = {"per": "connection", "at": "n", "step": 1, "gap": "reconnect"}
        bench = Bench(dialect(LEARNT, sequence=rule), "a")
        assert bench.hearing.counter is not None
        for number in (1, 5):
            bench.hearing.counter.count(number)
        assert bench.come("7", number=5) == Held() and not bench.hearing.has_losses
        (released,) = bench.ack("a", sid=7).released
        assert (released.gap, released.missed, released.seq) == (True, 3, 5)


class FailTests:
    """Refusals."""

    def test_failed(self) -> None:
        """What waits for nobody is given up."""
        bench = Bench(dialect(LEARNT), "a")
        bench.come("7")
        outcome = bench.settling.failed(Answer(failed=[bench.one("a")], named=False), "no")
        assert outcome == Fail(("a",), "no", named=False) and bench.one("a").state is State.FAILED
        assert bench.settling.dropped == 1
