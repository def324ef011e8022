"""What is done with a message that was recognised."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from relayd.core.feed.decode import JSON
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.hearing import Hearing
from relayd.core.feed.ledger import Ledger
from relayd.core.feed.outcome import Beat, Data, Outcome, Unrouted
from relayd.core.feed.plan import NotKnown, Plan, Planner, there
from relayd.core.feed.resume import Resume
from relayd.core.feed.routing import Router, Target
from relayd.core.resolver import Resolver
from tests.support.talk import dialect

BTC = {"channel": "t", "symbol": "BTC"}
FILLER = ",".join(["0.00001"] * 300)


class Bench:
    """A planner, and all that its plans act upon."""

    def __init__(self, spoken: Dialect) -> None:
        assert spoken.extractor is not None
        self.extractor = spoken.extractor
        self.router = Router[str](spoken, None)
        self.router.add("t/BTC", BTC)
        self.ledger = Ledger[str](spoken)
        self.resume = Resume()
        self.hearing = Hearing[str](spoken, self.router, self.ledger, self.resume)
        self.planner = Planner[str](spoken, spoken.extractor, self.hearing, self.resume)

    @property
    def target(self) -> Target[str]:
        """Of BTC."""
        found = self.router.find(BTC)
        assert found is not None
        return found

    def plan(self) -> Plan[str]:
        """For data of BTC."""
        return self.planner.data(self.target, JSON)

    def decoded(self, text: str) -> Any:
        """A message as the extractor sees it."""
        return self.extractor.message[JSON](text.encode())

    def take(self, plan: Plan[str], text: str) -> Outcome[str] | None:
        """What a message is."""
        return plan.take(text.encode(), True, self.decoded(text), None, None)


class PlainTests:
    """Nothing is counted."""

    def test_whole(self) -> None:
        """Its bytes as they are, for those who want them now."""
        bench = Bench(dialect())
        plan = bench.plan()
        assert plan.is_whole and plan.is_data and not bench.planner.counts
        assert bench.take(plan, '{"ch":"t"}') == Data(("t/BTC",), b'{"ch":"t"}', True, is_json=True)
        bench.router.add("too", BTC)
        assert bench.take(plan, "{}") == Data(("t/BTC", "too"), b"{}", True, is_json=True)
        for topic in ("t/BTC", "too"):
            bench.router.discard(topic)
        assert bench.take(plan, "{}") is None

    def test_a_slice(self) -> None:
        """None without it."""
        bench = Bench(dialect(payload="d"))
        plan = bench.plan()
        assert not plan.is_whole and bench.take(plan, '{"d": [1.50] }') == Data(
            ("t/BTC",), b"[1.50]", True, is_json=True
        )
        assert bench.take(plan, "{}") is None

    def test_who_wants_it_may_be_known_elsewhere(self) -> None:
        """Then it is asked in each era."""
        spoken, names = dialect(subscribe=None, sequence={"for": {"channel": "u"}, "at": "n", "step": 1}), ["a"]
        assert spoken.extractor is not None
        resolver = Resolver(lambda fields: tuple(names))
        router = Router[str](spoken, resolver)
        planner = Planner[str](spoken, spoken.extractor, Hearing(spoken, router, Ledger(spoken), Resume()), Resume())
        for fields in (BTC, {"channel": "u", "symbol": "BTC"}):
            names[:] = ["a"]
            target = router.find(fields)
            assert target is not None
            take = planner.data(target, JSON).take
            message = spoken.extractor.message[JSON](b"{}")
            names[:] = ["b"]
            assert take(b"{}", True, message, None, None) == Data(("b",), b"{}", True, is_json=True)
            names.clear()
            assert take(b"{}", True, message, None, None) == Data(("b",), b"{}", True, is_json=True)
            resolver.change()
            assert take(b"{}", True, message, None, None) is None

    def test_losses_of_a_subscription(self) -> None:
        """They are told with what comes next, once; also where messages are numbered."""
        for numbered in ({}, {"sequence": {"at": "n", "step": 1}}):
            bench = Bench(dialect(**numbered))
            one = bench.ledger.join("t/BTC", BTC)[0]
            plan = bench.plan()
            bench.hearing.gapped.add(one)
            heard = [bench.take(plan, text) for text in ('{"n":1}', '{"n":2}')]
            assert [isinstance(one, Data) and (one.gap, one.repair) for one in heard] == [(True, "mark"), (False, "")]


class NumberedTests:
    """Sequences, snapshots, and what the connection counts."""

    @pytest.mark.parametrize("body", ['{"n":%d}', f'{{"n":%d,"b":[{FILLER}]}}', f'{{"b":[{FILLER}],"n":%d}}'])
    def test_numbers_in_the_payload(self, body: str) -> None:
        """Small, at the head of a large one, or behind."""
        bench = Bench(dialect(payload="d", sequence={"at": "d.n", "step": 1, "gap": "resync"}))
        plan = bench.plan()
        heard = [bench.take(plan, '{"d":%s}' % (body % number)) for number in (1, 2, 5)]
        told = [(one.seq, one.gap, one.missed, one.repair) for one in heard if isinstance(one, Data)]
        assert told == [(1, False, None, ""), (2, False, None, ""), (5, True, 2, "resync")]
        assert bench.take(plan, "{}") is None

    def test_snapshots(self) -> None:
        """Any of the flags; numbers begin anew."""
        bench = Bench(
            dialect(sequence={"at": "n", "step": 1}, snapshot=[{"when": {"s": True}}, {"when": {"type": "full"}}])
        )
        plan = bench.plan()
        texts = ['{"n":7}', '{"n":9,"s":true}', '{"n":1,"type":"full"}', '{"n":2}', '{"s":true}', '{"n":99}']
        heard = [bench.take(plan, text) for text in texts]
        told = [(one.snapshot, one.gap) for one in heard if isinstance(one, Data)]
        assert told == [(False, False), (True, False), (True, False), (False, False), (True, False), (False, False)]

    def test_the_counter_of_the_connection(self) -> None:
        """Alone; a message without a number is not counted."""
        bench = Bench(dialect(sequence={"per": "connection", "at": "n", "step": 1, "gap": "reconnect"}))
        plan = bench.plan()
        heard = [bench.take(plan, text) for text in ('{"n":1}', "{}", '{"n":2}', '{"n":5}', '{"n":6}')]
        told = [(one.seq, one.missed) for one in heard if isinstance(one, Data)]
        assert bench.planner.counts and told == [(1, None), (None, None), (2, None), (5, 2), (6, None)]

    def test_ranges_of_the_connection(self) -> None:
        """What is told is their end."""
        bench = Bench(dialect(sequence={"per": "connection", "first": "U", "last": "u"}))
        heard = bench.take(bench.plan(), '{"U":1,"u":4}')
        assert isinstance(heard, Data) and heard.seq == 4

    def test_what_does_not_fit_is_not_counted(self) -> None:
        """It goes the general way, which would take it for a repetition."""
        bench = Bench(dialect(payload="d", dedupe="i", sequence={"at": "d.n", "step": 1}))
        plan = bench.plan()
        with pytest.raises(msgspec.ValidationError):
            bench.take(plan, '{"i":1,"d":{"n":1.5}}')
        assert isinstance(bench.take(plan, '{"i":1,"d":{"n":1}}'), Data)
        assert bench.take(plan, '{"i":1,"d":{"n":2}}') == Beat()

    def test_replays(self) -> None:
        """Up to the cursor of the connection before, which stands in the message or beside it."""
        bench = Bench(dialect(cursor={"at": "us"}))
        bench.resume.replayed(5, b"")
        bench.resume.connected()
        heard = [bench.take(bench.plan(), f'{{"us":{us}}}') for us in (4, 6)]
        assert heard[0] == Beat() and isinstance(heard[1], Data) and bench.resume.cursor == 6
        bench = Bench(dialect(transport="sse", cursor={"at": "sse.id"}))
        for sse in (None, {"id": "e7"}):
            heard = [bench.plan().take(b"{}", True, bench.decoded("{}"), None, sse)]
            assert isinstance(heard[0], Data) and bench.resume.cursor == (sse and "e7")

    def test_prepared(self) -> None:
        """Nothing is counted, and what is needed of the payload is decoded."""
        bench = Bench(dialect(payload="d", sequence={"at": "d.n", "step": 1}))
        plan = bench.plan()
        inner = plan.prepare(bench.decoded('{"d":{"n":7}}'), None)
        assert inner is not None and plan.prepare(bench.decoded('{"d":{}}'), inner) is inner
        assert bench.target.counter is not None and bench.target.counter.due is None
        with pytest.raises(NotKnown):
            plan.prepare(bench.decoded("{}"), None)
        bench.router.discard("t/BTC")
        with pytest.raises(NotKnown):
            plan.prepare(bench.decoded('{"d":{"n":7}}'), None)


class UnwantedTests:
    """What nobody wants."""

    def test_guards(self) -> None:
        """Nothing is there by which a rule might match."""
        bench = Bench(dialect(control=[{"when": {"ok": 1}, "do": "beat"}]))
        guards = tuple(guard for guard in bench.extractor.guards if guard is not None)
        plan = bench.planner.unwanted(guards, JSON)
        assert len(guards) == 1 and not plan.is_data and bench.take(plan, "{}") == Unrouted()
        with pytest.raises(NotKnown):
            bench.take(plan, '{"ok":1}')

    def test_counted(self) -> None:
        """Also by what stands in the payload, also twice."""
        bench = Bench(dialect(payload="d", sequence={"per": "connection", "at": "d.n", "step": 1}, dedupe="d.n"))
        plan = bench.planner.unwanted((), JSON)
        text = json.dumps({"d": {"n": 3}})
        assert [bench.take(plan, text) for _ in range(2)] == [Unrouted(), Beat(3)]
        with pytest.raises(NotKnown):
            bench.take(plan, "{}")

    def test_without_a_number(self) -> None:
        """It counts for nothing: the next number follows the last one; of what follows no more, the loss is kept."""
        for dedupe in (None, "i"):
            bench = Bench(dialect(sequence={"per": "connection", "at": "n", "step": 1}, dedupe=dedupe))
            plan, counter = bench.planner.unwanted((), JSON), bench.hearing.counter
            assert counter is not None
            for text, gap in (('{"n":1}', False), ('{"i":"x"}', False), ('{"n":2}', False), ('{"n":5}', True)):
                assert bench.take(plan, text) == Unrouted()
                assert counter.gap is gap
            assert counter.tell() == (True, 2)


def test_there() -> None:
    """Null is there."""
    assert there(None) is None
    with pytest.raises(NotKnown):
        there(msgspec.UNSET)
