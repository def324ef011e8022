"""Data messages, the general way."""

from __future__ import annotations

import json
from typing import Any

from relayd.core.feed.decode import Message
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.hearing import Hearing
from relayd.core.feed.ledger import Ledger
from relayd.core.feed.outcome import Data
from relayd.core.feed.resume import Resume
from relayd.core.feed.routing import Router
from relayd.core.resolver import Resolver
from tests.support.talk import LEARNT, dialect


class Ear:
    """Hearing, with those who listen."""

    def __init__(self, spoken: Dialect, **topics: dict[str, str]) -> None:
        self.dialect = spoken
        self.ledger = Ledger[str](spoken)
        self.router = Router[str](spoken, None)
        self.resume = Resume()
        for topic, fields in topics.items():
            if not spoken.unasked:
                self.ledger.join(topic, fields)
            self.router.add(topic, fields)
        self.hearing = Hearing[str](spoken, self.router, self.ledger, self.resume)

    def message(self, doc: Any) -> Message:
        """A message of one frame."""
        made = self.dialect.decode.messages(json.dumps(doc, separators=(",", ":")).encode(), True)
        assert isinstance(made, Message)
        return made

    def hear(self, doc: Any, held_gap: tuple[bool, int | None] | None = None) -> Data[str] | None:
        """What a message is data of."""
        message = self.message(doc)
        reading = self.dialect.fields.read(message.scope)
        return None if reading is None else self.hearing.data(message, reading, held_gap)


BTC = {"channel": "t", "symbol": "BTC"}
ETH = {"channel": "t", "symbol": "ETH"}


class DataTests:
    """Whose data it is."""

    def test_one_topic(self) -> None:
        """The target is remembered."""
        ear = Ear(dialect(), a=BTC)
        assert ear.hear({"ch": "t", "sym": "BTC"}) == Data(("a",), b'{"ch":"t","sym":"BTC"}', True, is_json=True)
        assert ear.hearing.heard is ear.router.find(BTC)
        assert ear.hear({"ch": "t", "sym": "ETH"}) is None and ear.hearing.heard is None

    def test_who_wants_it_may_be_known_elsewhere(self) -> None:
        """Then it is asked in each era."""
        ear = Ear(dialect(), a=BTC)
        target = ear.router.find(BTC)
        assert target is not None and ear.hearing.is_wanted(target) and ear.hearing.resolver is None
        pushed = dialect(subscribe=None)
        topics = ["x"]
        resolver = Resolver(lambda fields: tuple(topics))
        router = Router[str](pushed, resolver)
        hearing = Hearing[str](pushed, router, Ledger[str](pushed), Resume())
        target = router.find(BTC)
        assert target is not None and hearing.is_wanted(target)
        topics.clear()
        assert hearing.resolver is resolver and hearing.resolve(target) == ("x",)
        resolver.change()
        assert not hearing.is_wanted(target)

    def test_payload(self) -> None:
        """The first path that exists; without any it is no data."""
        ear = Ear(dialect(payload=["d.0", "e"], decode={"split": "l"}), a=BTC)
        assert ear.hear({"ch": "t", "sym": "BTC", "d": [{"x": 1.50}]}) == Data(("a",), b'{"x":1.5}', True, is_json=True)
        assert ear.hear({"ch": "t", "sym": "BTC", "e": None}) == Data(("a",), b"null", True, is_json=True)
        assert ear.hear({"ch": "t", "sym": "BTC"}) is None and ear.hearing.lacks_payload
        assert ear.hear({"ch": "t", "sym": "ETH"}) is None and not ear.hearing.lacks_payload

    def test_payload_outside_of_the_message(self) -> None:
        """It is no slice of it."""
        ear = Ear(dialect(payload="outer.x", decode={"split": "l"}), a=BTC)
        assert ear.hear({"ch": "t", "sym": "BTC", "x": 1}) is None

    def test_several_topics_of_one_message(self) -> None:
        """Each once, in the order they were wanted; numbers are those of the first that has one."""
        spoken = dialect(
            topic={"key_of": ["a", "b"]},
            subscribe=None,
            sequence=[{"for": {"name": "b"}, "at": "n", "step": 1}],
            snapshot={"for": {"name": "a"}, "when": {"n": 1}},
        )
        ear = Ear(spoken, y={"name": "b"}, x={"name": "a"}, z={"name": "b"})
        heard = ear.hear({"a": 1, "b": 2, "n": 1})
        assert heard is not None and (heard.topics, heard.seq, heard.snapshot) == (("y", "x", "z"), 1, True)
        assert ear.hearing.heard is None
        heard = ear.hear({"b": 2, "n": 5})
        assert heard is not None and (heard.topics, heard.gap, heard.missed) == (("y", "z"), True, 3)

    def test_numbers_of_several_topics(self) -> None:
        """Each follows its own; the first that has one is told."""
        spoken = dialect(topic={"key_of": ["a", "b"]}, subscribe=None, sequence={"at": "n", "step": 1})
        ear = Ear(spoken, x={"name": "a"}, y={"name": "b"})
        ear.hear({"a": 0, "n": 1})
        heard = ear.hear({"a": 0, "b": 0, "n": 5})
        assert heard is not None and (heard.seq, heard.gap, heard.missed) == (5, True, 3)

    def test_bound(self) -> None:
        """The fields the subscription was made with, and those of the message; they must not disagree."""
        spoken = dialect(LEARNT, topic={"bound": "sub", "at": {"entity": "e", "name": "n"}})
        ear = Ear(spoken, all={"name": "x"}, one={"name": "x", "entity": "lamp"})
        one = ear.ledger.of_topic("all")
        assert one is not None and ear.ledger.bind(one, 7) == "7"
        assert isinstance(both := ear.hear({"sub": 7, "e": "lamp"}), Data) and both.topics == ("all", "one")
        assert isinstance(some := ear.hear({"sub": "7"}), Data) and some.topics == ("all",)
        assert ear.hear({"sub": 7, "n": "y"}) is None and ear.hear({"sub": 8}) is None

    def test_answered_under_another_name(self) -> None:
        """Of an id that stands for two."""
        spoken = dialect(LEARNT)
        ear = Ear(spoken, a={"name": "a"}, b={"name": "b"})
        for one in ear.ledger.all():
            ear.ledger.bind(one, "s")
        assert isinstance(heard := ear.hear({"sub": "s"}), Data) and heard.topics == ("a", "b")


class CountTests:
    """Sequences and what came before."""

    def test_of_the_connection(self) -> None:
        """A loss is told with the next publication, once."""
        rule = {"per": "connection", "at": "n", "step": 1, "gap": "reconnect"}
        ear = Ear(dialect(sequence=rule), a=BTC)
        assert [ear.hearing.count(ear.message({"n": number})) for number in (1, 2, None, 5)] == [1, 2, None, 5]
        assert ear.hearing.has_losses
        heard = ear.hear({"ch": "t", "sym": "BTC"})
        assert heard is not None and (heard.gap, heard.missed, heard.repair) == (True, 2, "reconnect")
        assert not ear.hearing.has_losses
        heard = ear.hear({"ch": "t", "sym": "BTC"})
        assert heard is not None and not heard.gap

    def test_of_a_message_that_was_held(self) -> None:
        """What the counter said when it came counts, not what it says now."""
        ear = Ear(dialect(sequence={"per": "connection", "at": "n", "step": 1}), a=BTC)
        for number in (1, 9):
            ear.hearing.count(ear.message({"n": number}))
        heard = ear.hear({"ch": "t", "sym": "BTC"}, (False, None))
        assert heard is not None and not heard.gap and ear.hearing.has_losses
        heard = ear.hear({"ch": "t", "sym": "BTC"}, (True, 3))
        assert heard is not None and (heard.gap, heard.missed) == (True, 3)

    def test_no_counter(self) -> None:
        """Nothing is counted."""
        ear = Ear(dialect(), a=BTC)
        assert ear.hearing.count(ear.message({"n": 1})) is None and not ear.hearing.has_losses

    def test_losses_of_a_subscription(self) -> None:
        """Messages that could not be held: marked on its next publication, unless a gap is told anyway."""
        ear = Ear(dialect(sequence={"at": "n", "step": 1, "gap": "resync"}), a=BTC, b=ETH)
        one, two = ear.ledger.all()
        ear.hearing.gapped |= {one, two}
        heard = ear.hear({"ch": "t", "sym": "BTC", "n": 1})
        assert heard is not None and (heard.gap, heard.missed, heard.repair) == (True, None, "mark")
        assert ear.hearing.gapped == {two}
        heard = ear.hear({"ch": "t", "sym": "BTC", "n": 2})
        assert heard is not None and not heard.gap
        target = ear.router.find(ETH)
        assert target is not None
        target.count(1, False)
        heard = ear.hear({"ch": "t", "sym": "ETH", "n": 5})
        assert heard is not None and (heard.missed, heard.repair) == (3, "resync") and not ear.hearing.gapped

    def test_losses_of_a_subscription_that_is_over(self) -> None:
        """Nobody is left to be told."""
        ear = Ear(dialect(), a=BTC, b=ETH)
        one, _ = ear.ledger.all()
        ear.hearing.gapped.add(one)
        ear.ledger.remove(one)
        assert ear.hear({"ch": "t", "sym": "ETH"}) is not None and not ear.hearing.has_losses

    def test_losses_where_nothing_is_asked_for(self) -> None:
        """There is no subscription to look at."""
        ear = Ear(dialect(subscribe=None), a=BTC)
        ear.hearing.gapped.add(Ear(dialect(), a=BTC).ledger.all()[0])
        heard = ear.hear({"ch": "t", "sym": "BTC"})
        assert heard is not None and not heard.gap

    def test_known_messages(self) -> None:
        """Replayed up to the cursor, or repeated."""
        ear = Ear(dialect(cursor={"at": "us"}, dedupe="i"), a=BTC)
        first = ear.message({"us": 5, "i": "a"})
        assert not ear.hearing.is_known(first) and ear.hearing.is_known(first)
        ear.resume.connected()
        assert ear.hearing.is_known(ear.message({"us": 4, "i": "b"})) and not ear.hearing.is_known(
            ear.message({"us": 6})
        )
        assert not Ear(dialect(), a=BTC).hearing.is_known(first)
