"""Conversations: what is said, what is understood, and what is never lost or doubled."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.core.feed.conversation import Conversation, Wanted
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.errors import Refused
from relayd.core.feed.outcome import (
    Ack,
    Beat,
    Control,
    Data,
    Fail,
    Frame,
    Held,
    HttpRequest,
    Login,
    Parts,
    Unknown,
    Unrouted,
)
from relayd.core.feed.publish import AS_IT_STANDS, Upward, parse_publish
from relayd.core.feed.resume import Resume
from relayd.core.resolver import Resolver
from relayd.core.upstream.effects import DialImpossible
from tests.support.feeds import NAMES, Replay
from tests.support.talk import LEARNT, dialect, named, read, say, talk, wanted

TICK = {"ch": "t", "sym": "BTC"}
RAW = b'{"ch": "t", "sym": "BTC"}'


class DialTests:
    """The opening request."""

    def test_values(self) -> None:
        """Secrets, what was saved, the clock; ids are not used up."""
        spoken = dialect(
            connect={"url": "wss://h/${env.K}", "query": {"t": "$token", "n": "$now", "u": "$uuid", "c": "$cursor"},
                     "headers": {"X": "$token"}, "protocols": ["p"],
                     "before": [{"http": {"url": "http://h"}, "save": {"token": "t"}}]}
        )  # fmt: skip
        request = talk(spoken, secrets={"env.K": "k/1"}, saved={"token": "t"}).dial_request()
        assert request.url == "wss://h/k%2F1?t=t&n=1700000000&u=u-1"
        assert dict(request.headers) == {"X": "t"} and request.protocols == ("p",)

    def test_cursor(self) -> None:
        """As it was when the connection was made, with its rewind; a text goes back as it came."""
        spoken = dialect(connect={"url": "wss://h", "query": {"c": "$cursor"}}, cursor={"at": "us", "rewind": 5})
        resume = Resume()
        first = talk(spoken, resume=resume)
        say(first, {"us": 100})
        assert first.dial_request().url == "wss://h"
        assert talk(spoken, resume=resume).dial_request().url == "wss://h?c=95"
        resume.cursor = "[7]"
        assert talk(spoken, resume=resume).dial_request().url == "wss://h?c=%5B7%5D"

    def test_topics(self) -> None:
        """Those wanted by now; none, no entry."""
        spoken = dialect(
            connect={"url": "wss://h", "query": {"t": "$topics", "first": "$name"}}, topic={"at": "ch"},
            subscribe={"in": "url"}, control=None,
        )  # fmt: skip
        conversation = talk(spoken, open=False)
        assert conversation.dial_request().url == "wss://h"
        assert conversation.want(named("a/1", "b")) == []
        assert conversation.dial_request().url == "wss://h?t=a%2F1&t=b&first=a%2F1"
        assert conversation.is_confirmed("b") is False and conversation.open() == [] and conversation.is_confirmed("b")
        conversation.drop(["a/1"])
        assert conversation.dial_request().url == "wss://h?t=b&first=b"

    def test_what_is_missing(self) -> None:
        """Named; and a URL that a drain told is looked at."""
        with pytest.raises(DialImpossible, match=r"env\.K"):
            talk(dialect(connect={"url": "wss://${env.K}"})).dial_request()
        assert talk().dial_request("wss://b.example.com/x").url == "wss://b.example.com/x"
        with pytest.raises(DialImpossible):
            talk().dial_request("wss://evil.org")


class HeartbeatTests:
    """Beats."""

    def test_a_ping(self) -> None:
        """There is nothing to say."""
        assert talk().beat() == [] and talk().heartbeat_every_s() == 20.0
        off = talk(dialect(heartbeat="off"))
        assert off.beat() == [] and off.heartbeat_every_s() is None

    def test_a_message(self) -> None:
        """With an id of its own; its answer is told apart."""
        conversation = talk(
            dialect(heartbeat={"send": {"op": "ping", "id": "$id"}, "expect": {"op": "pong"}, "every": "5s"})
        )
        assert read(conversation.beat()) == [{"op": "ping", "id": 1}] and conversation.heartbeat_every_s() == 5.0
        assert say(conversation, {"op": "pong"}) == Beat(answer=True)
        assert say(conversation, {"ch": "hb"}) == Beat()

    def test_a_message_that_lacks_a_value(self) -> None:
        """It is not sent."""
        assert talk(dialect(heartbeat={"send": "${env.K}"})).beat() == []

    @pytest.mark.parametrize(("saved", "every_s"), [({"ms": 18_000}, 18.0), ({}, None), ({"ms": "soon"}, None)])
    def test_an_interval_that_the_server_tells(self, saved: dict[str, object], every_s: float | None) -> None:
        """Or has not told yet."""
        spoken = dialect(heartbeat={"send": "x", "every": "${ms}ms"}, login=[{"expect": "hi", "save": {"ms": "ms"}}])
        assert talk(spoken, saved=saved).heartbeat_every_s() == every_s

    def test_a_companion(self) -> None:
        """It beats for us."""
        conversation = talk(dialect(heartbeat={"also": {"channel": "hb", "symbol": "$symbol"}}))
        assert conversation.heartbeat_every_s() is None
        assert read(conversation.want(wanted("t/BTC"))) == [
            {"op": "subscribe", "ch": "t", "syms": ["BTC"], "id": 1},
            {"op": "subscribe", "ch": "hb", "syms": ["BTC"], "id": 2},
        ]


LOGIN: Any = [
    {"expect": {"t": "hello"}, "save": {"sid": "sid"}},
    {"send": {"auth": "${env.K}", "sid": "$sid"}, "expect": {"t": "ok"}, "fail": {"t": "no"}},
]


class LoginTests:
    """Before anything may be asked for."""

    def test_what_is_wanted_meanwhile(self) -> None:
        """Goes out when the login is done."""
        conversation = talk(dialect(login=LOGIN), secrets={"env.K": "k"})
        assert conversation.want(wanted("t/BTC")) == [] and not conversation.ready
        assert say(conversation, {"t": "other"}) == Unknown() and say(conversation, {"ch": "hb"}) == Beat()
        assert say(conversation, TICK) == Data(("t/BTC",), RAW, True, is_json=True)
        hello = say(conversation, {"t": "hello", "sid": 7})
        assert isinstance(hello, Login) and hello.step == "next" and read(hello.sends) == [{"auth": "k", "sid": 7}]
        done = say(conversation, {"t": "ok"})
        assert isinstance(done, Login) and done.step == "done" and conversation.ready
        assert read(done.sends) == [{"op": "subscribe", "ch": "t", "syms": ["BTC"], "id": 1}]
        assert say(conversation, {"t": "ok"}) == Unknown()

    def test_refused(self) -> None:
        """By the upstream, or because it did not say what is needed."""
        conversation = talk(dialect(login=LOGIN), secrets={"env.K": "k"})
        assert say(conversation, {"t": "hello"}) == Login("refused")
        conversation = talk(dialect(login=LOGIN), secrets={"env.K": "k"})
        say(conversation, {"t": "hello", "sid": 7})
        assert say(conversation, {"t": "no"}) == Login("refused") and not conversation.ready

    def test_a_first_message_that_cannot_be_made(self) -> None:
        """The connection is of no use."""
        for login, secrets, why in (
            ([{"send": "${env.K}"}], {}, r"\$\{env\.K\}"),
            ([{"send": "key: ${env.K}"}], {"env.K": 'a"b'}, "login: "),
        ):
            with pytest.raises(DialImpossible, match=why):
                talk(dialect(login=login), open=False, secrets=secrets).open()

    def test_nothing_is_an_answer_before_the_connection_is_open(self) -> None:
        """Nothing was asked."""
        assert say(talk(dialect(login=LOGIN), open=False), {"t": "hello"}) == Unknown()


class WantTests:
    """Coming and going."""

    def test_wanted_twice_is_asked_once(self) -> None:
        """And dropped twice is ended once."""
        conversation = talk()
        assert len(conversation.want(wanted("t/BTC", "t/BTC"))) == 1 and conversation.want(wanted("t/BTC")) == []
        assert len(conversation.drop(["t/BTC", "t/BTC", "x"])) == 1 and conversation.drop(["t/BTC"]) == []

    def test_refused(self) -> None:
        """Told once, with the reason; nothing else is kept from being asked for."""
        spoken = dialect(subscribe={"each": "$symbol", "join": ",", "send": {"s": "$topics"}})
        conversation = talk(spoken)
        assert read(conversation.want(wanted("t/A", "t/B,C", "t/D"))) == [{"s": "A,D"}]
        (refused,) = conversation.take_refused()
        assert refused.topics == ("t/B,C",) and "','" in refused.text and conversation.take_refused() == []
        assert not conversation.is_confirmed("t/B,C") and conversation.drop(["t/B,C"]) == []

    def test_refused_while_being_written(self) -> None:
        """For a value that is not there."""
        conversation = talk(dialect(subscribe={"send": {"k": "${env.K}", "s": "$symbol"}}))
        assert conversation.want(wanted("t/A")) == []
        (refused,) = conversation.take_refused()
        assert refused.topics == ("t/A",) and "env.K" in refused.text

    def test_confirmed(self) -> None:
        """By an ack; shared with those who come later."""
        conversation = talk(dialect(topic={"at": {"channel": "ch", "symbol": "sym", "more": "m"}}))
        conversation.want(wanted("t/A"))
        assert not conversation.is_confirmed("t/A") and not conversation.is_confirmed("x")
        assert say(conversation, {"ok": 1}) == Ack(("t/A",)) and conversation.is_confirmed("t/A")
        assert conversation.want([Wanted("other", {"channel": "t", "symbol": "A", "more": "x"})]) == []
        assert conversation.is_confirmed("other")

    def test_unasked(self) -> None:
        """Nothing is sent; whoever resolves fields decides, anew in each era."""
        topics: list[str] = ["x"]
        resolver = Resolver(lambda fields: tuple(topics))
        conversation = talk(dialect(subscribe=None, control=None), resolver=resolver)
        assert conversation.want(wanted("t/BTC")) == [] and say(conversation, TICK) == Data(
            ("x",), RAW, True, is_json=True
        )
        say(conversation, TICK)
        topics[:] = ["y"]
        assert [say(conversation, TICK) for _ in range(3)] == [Data(("x",), RAW, True, is_json=True)] * 3
        resolver.change()
        assert say(conversation, TICK) == Data(("y",), RAW, True, is_json=True) and conversation.drop(["t/BTC"]) == []
        topics.clear()
        resolver.change()
        assert say(conversation, TICK) == say(conversation, TICK) == Unrouted()
        topics[:] = ["z"]
        resolver.change()
        assert say(conversation, TICK) == Data(("z",), RAW, True, is_json=True)
        alone = talk(dialect(subscribe=None, control=None))
        alone.want(wanted("t/BTC"))
        assert say(alone, TICK) == Data(("t/BTC",), RAW, True, is_json=True)

    def test_again(self) -> None:
        """What failed is asked for again; what is to start anew is ended first."""
        conversation = talk(dialect(sequence={"at": "n", "step": 1}))
        conversation.want(wanted("t/A", "t/BTC"))
        assert say(conversation, {"error": "no", "id": 1}) == Fail(("t/A", "t/BTC"), "no", named=False)
        assert read(conversation.retry(["t/A"])) == [{"op": "subscribe", "ch": "t", "syms": ["A"], "id": 2}]
        assert read(conversation.retry(["t/BTC", "x"])) == [{"op": "subscribe", "ch": "t", "syms": ["BTC"], "id": 3}]
        say(conversation, {"ok": 3})
        say(conversation, {**TICK, "n": 5})
        assert [one["op"] for one in read(conversation.resubscribe(["t/BTC"]))] == ["unsubscribe", "subscribe"]
        fresh = say(conversation, {**TICK, "n": 50})
        assert isinstance(fresh, Data) and not fresh.gap

    def test_snapshots_and_refreshes(self) -> None:
        """Their replies come back by number."""
        spoken = dialect(
            connect={"url": "wss://h", "refresh": {"every": "5m", "http": {"url": "http://h/r"}}},
            snapshot={"http": {"url": "http://h/$symbol"}},
        )
        conversation = talk(spoken)
        conversation.want(wanted("t/A"))
        (request,) = conversation.snapshot("t/A")
        assert isinstance(request, HttpRequest) and request.url == "http://h/A" and conversation.snapshot("x") == []
        assert conversation.reply(b"{}", 200, request.number) == Data(("t/A",), b"{}", True, snapshot=True)
        (refresh,) = conversation.refresh()
        assert conversation.reply(b"{}", 200, refresh.number) == Beat()


HTTP: Any = {
    "each": "$symbol",
    "verbs": ["register", "unregister"],
    "http": {"method": "PUT", "url": "http://h/$verb", "json": {"s": "$topics"}},
    "ack": {"all": "list", "at": {"symbol": "."}},
    "fail": {"text": "message"},
}


class ReplyTests:
    """Replies to `subscribe.http`."""

    def start(self, **changed: Any) -> Conversation[str]:
        """Two topics are asked for."""
        conversation = talk(dialect(subscribe={**HTTP, **changed}, control=None))
        assert read(conversation.want(wanted("t/A", "t/B"))) == [("PUT", "http://h/register", {"s": ["A", "B"]})]
        return conversation

    def test_a_list(self) -> None:
        """What it leaves out has failed, whatever the status is."""
        for status in (200, 400):
            outcome = self.start().reply(b'{"list": ["A"]}', status)
            assert isinstance(outcome, Ack) and (outcome.topics, outcome.failed) == (("t/A",), ("t/B",))

    def test_no_list(self) -> None:
        """A success confirms all, a failure gives its reason, or its status."""
        assert self.start(ack=None).reply(b"", 204) == Ack(("t/A", "t/B"))
        assert self.start().reply(b"{}") == Ack(("t/A", "t/B"))
        assert self.start().reply(b'{"message":"no"}', 403) == Fail(("t/A", "t/B"), "no", named=False)
        assert self.start().reply(b"<html>", 500) == Fail(("t/A", "t/B"), "HTTP status 500", named=False)

    def test_an_end(self) -> None:
        """Confirms nothing; a state list confirms what is in it."""
        conversation = self.start(ack=None)
        (request,) = conversation.drop(["t/A"])
        assert isinstance(request, HttpRequest) and request.url == "http://h/unregister"
        assert (
            conversation.reply(b"", 500, request.number) == Ack()
            and conversation.reply(b"", 200, request.number) == Unknown()
        )
        conversation = self.start()
        conversation.drop(["t/A"])
        assert conversation.reply(b'{"list": ["B"]}') == Ack(("t/B",))

    def test_a_reply_to_nothing(self) -> None:
        """Or to what is over."""
        assert talk().reply(b"{}") == Unknown() and self.start().reply(b"{}", 200, 99) == Unknown()
        conversation = self.start()
        conversation.drop(["t/A", "t/B"])
        assert conversation.reply(b"{}", 200, 1) == Unknown()


class MessageTests:
    """What comes."""

    def test_kinds(self) -> None:
        """In the order in which they are tried."""
        conversation = talk()
        conversation.want(wanted("t/BTC"))
        assert say(conversation, TICK) == say(conversation, TICK) == Data(("t/BTC",), RAW, True, is_json=True)
        assert say(conversation, {"ch": "t", "sym": "X"}) == say(conversation, {"ch": "t", "sym": "X"}) == Unrouted()
        assert say(conversation, {"ch": "hb", "sym": "BTC"}) == Beat() and say(conversation, {"x": 1}) == Unknown()
        assert say(conversation, "pong") == Unknown() and conversation.message(b"\xff", False) == Unknown()

    def test_a_payload_that_is_not_always_there(self) -> None:
        """A message without it is nothing, and says nothing of those that have one."""
        conversation = talk(dialect(payload="d"))
        conversation.want(wanted("t/BTC"))
        for _ in range(2):
            assert say(conversation, TICK) == Unrouted()
            assert say(conversation, {**TICK, "d": 5}) == Data(("t/BTC",), b"5", True, is_json=True)

    def test_what_is_wanted_later(self) -> None:
        """Is no longer unwanted."""
        conversation = talk()
        for _ in range(2):
            assert say(conversation, TICK) == Unrouted()
        conversation.want(wanted("t/BTC"))
        assert say(conversation, TICK) == Data(("t/BTC",), RAW, True, is_json=True)

    def test_parts(self) -> None:
        """One is itself, several are parts, none is an empty frame."""
        conversation = talk(dialect(decode={"split": "."}))
        conversation.want(wanted("t/BTC"))
        data = Data(("t/BTC",), RAW, True, is_json=True)
        for _ in range(2):
            assert say(conversation, [TICK]) == data and say(conversation, []) == Parts(())
            assert say(conversation, [TICK, {"ch": "hb"}, {"x": 1}]) == Parts((data, Beat(), Unknown()))
            assert say(conversation, [TICK, TICK]) == Parts((data, data))

    def test_held_and_told(self) -> None:
        """By an ack; a failure gives up what waits."""
        conversation = talk(dialect(LEARNT))
        conversation.want(named("a", "b"))
        assert say(conversation, {"sub": 7}) == Held()
        outcome = say(conversation, {"id": 1, "sid": 7})
        assert isinstance(outcome, Ack) and outcome.released == (Data(("a",), b'{"sub": 7}', True, is_json=True),)
        assert say(conversation, {"sub": 8}) == Held()
        assert say(conversation, {"id": 2, "error": "no"}) == Fail(("b",), "no") and conversation.dropped == 1
        assert say(conversation, {"sub": 8}) == Unrouted()
        conversation.drop(["b"])

    def test_without_a_compiled_way(self) -> None:
        """All the same."""
        general = dialect(LEARNT, topic={"bound": "sub", "unless": "x"})
        conversation = talk(general)
        conversation.want(named("a"))
        assert general.extractor is None and say(conversation, {"id": 1, "sid": 7}) == Ack(("a",))
        assert say(conversation, {"sub": 7}) == Data(("a",), b'{"sub": 7}', True, is_json=True)

    def test_an_id_that_changes_its_meaning(self) -> None:
        """What was learnt of it is forgotten."""
        conversation = talk(dialect(LEARNT))
        conversation.want(named("a", "b"))
        say(conversation, {"id": 1, "sid": 5})
        for _ in range(2):
            assert isinstance(heard := say(conversation, {"sub": 5}), Data) and heard.topics == ("a",)
        conversation.resubscribe(["a"])
        say(conversation, {"id": 4, "sid": 6})
        say(conversation, {"id": 2, "sid": 5})
        for _ in range(2):
            assert isinstance(heard := say(conversation, {"sub": 5}), Data) and heard.topics == ("b",)

    def test_controls(self) -> None:
        """Each with what it says."""
        rules = [
            {"when": {"k": "a"}, "do": "drain", "url": "u"},
            {"when": {"k": "b"}, "do": "reconnect"},
            {"when": {"k": "c"}, "do": "resubscribe"},
            {"when": {"k": "d"}, "do": "resubscribe", "at": {"symbol": "s"}},
            {"when": {"k": "e"}, "send": {"pong": "${msg.p}"}},
            {"when": {"k": "e"}, "do": "beat"},
            {"when": {"k": "f"}, "send": "got it", "ack": {"id": "i"}},
            {"when": {"k": "g"}, "send": "so what", "fail": {"text": "t"}},
        ]
        conversation = talk(dialect(control=rules))
        conversation.want(wanted("t/A", "t/B"))
        assert say(conversation, {"k": "a", "u": "wss://x"}) == Control("drain", url="wss://x")
        assert say(conversation, {"k": "a", "u": 5}) == Control("drain") and say(conversation, {"k": "b"}) == Control(
            "reconnect"
        )
        assert say(conversation, {"k": "c"}) == Control("resubscribe", ("t/A", "t/B"))
        assert say(conversation, {"k": "d", "s": "B"}) == Control("resubscribe", ("t/B",))
        assert read(say(conversation, {"k": "e", "p": [1]}).sends) == [{"pong": [1]}]
        assert say(conversation, {"k": "e"}) == Beat()
        assert read(say(conversation, {"k": "f", "i": 1}).sends) == ["got it"]
        failed = say(conversation, {"k": "g", "t": "why"})
        assert (
            isinstance(failed, Fail)
            and (failed.topics, failed.text) == ((), "why")
            and read(failed.sends) == ["so what"]
        )

    def test_a_loss_of_the_connection(self) -> None:
        """Told with whatever can tell it first."""
        rule = {"per": "connection", "at": "n", "step": 1, "gap": "reconnect"}
        conversation = talk(dialect(sequence=rule))
        conversation.want(wanted("t/BTC"))
        assert say(conversation, {"ch": "hb", "n": 1}) == Beat(1)
        assert (
            say(conversation, {"ch": "hb", "n": 4}) == Beat(4, True, 2, "reconnect")
            and say(conversation, {"ch": "hb"}) == Beat()
        )
        heard = say(conversation, {**TICK, "n": 9})
        assert isinstance(heard, Data) and (heard.seq, heard.gap, heard.missed) == (9, True, 4)

    def test_what_came_before(self) -> None:
        """Is of no interest."""
        conversation = talk(dialect(dedupe="i"))
        conversation.want(wanted("t/BTC"))
        assert isinstance(say(conversation, {**TICK, "i": 1}), Data) and say(conversation, {**TICK, "i": 1}) == Beat()
        assert say(conversation, {"ch": "hb", "i": 1}) == Beat() and say(conversation, {"x": 1, "i": 1}) == Beat()

    def test_events(self) -> None:
        """Their names may be topics, their ids cursors."""
        spoken = dialect(
            transport="sse", topic={"at": "sse.event"}, subscribe=None, control=None, cursor={"at": "sse.id"}
        )
        conversation = talk(spoken)
        conversation.want(named("tick"))
        assert conversation.message(b"5", True, {"event": "tick", "id": "a7"}) == Data(
            ("tick",), b"5", True, is_json=True
        )
        assert conversation.resume.cursor == "a7" and conversation.message(b"5", True) == Unknown()


# -- what must hold whatever happens -------------------------------------------------------------------------------

BY_ID = dialect(subscribe={"send": {"op": "$verb", "key": "$symbol", "id": "$id"}})
BY_FIELDS = dialect(
    subscribe={"send": {"op": "$verb", "key": "$symbol", "id": "$id"}},
    control=[{"when": {"ack": "*"}, "ack": {"at": {"symbol": "ack"}}}],
)
CHOSEN = dialect(
    topic={"bound": "sub"},
    subscribe={"send": {"op": "subscribe", "key": "$symbol", "id": "$id"}, "bind": "s$id"},
    unsubscribe={"send": {"op": "unsubscribe", "sub": "$bound", "id": "$id"}},
)
TOLD = dialect(
    topic={"bound": "sub"},
    subscribe={"send": {"op": "subscribe", "key": "$symbol", "id": "$id"}},
    unsubscribe={"send": {"op": "unsubscribe", "sub": "$bound", "id": "$id"}},
    control=[{"when": {"ok": "*"}, "ack": {"id": "ok", "bind": "sub"}}, {"when": {"error": "*"}, "fail": {"id": "id"}}],
)


class Upstream:
    """A server that takes subscriptions strictly: asking twice, or ending what is not there, is a fault."""

    def __init__(self, spoken: Dialect) -> None:
        self.spoken = spoken
        self.active: dict[str, str] = {}
        self.acks: list[Any] = []
        self._next = 100

    def hear(self, frames: list[Any]) -> None:
        """What we say, in order."""
        for frame in frames:
            if frame["op"] == "subscribe":
                key = frame["key"]
                assert key not in self.active, f"{key} was asked for twice"
                self._next += 1
                sub = f"s{frame['id']}" if self.spoken is CHOSEN else str(self._next)
                self.active[key] = sub
                self.acks.append({"ok": frame["id"], "sub": sub, "ack": key, "symbol": key})
                continue
            key = frame.get("key") or next((key for key, sub in self.active.items() if sub == frame["sub"]), None)
            assert key in self.active, f"{frame} ends what is not there"
            del self.active[key]
            self.acks.append({"ok": frame["id"], "ack": key})


class ChurnTests:
    """Coming and going, with acks that are late, doubled, or missing."""

    @settings(max_examples=80, deadline=None)
    @given(st.sampled_from([BY_ID, BY_FIELDS, CHOSEN, TOLD]), st.integers(0, 2**32), st.integers(5, 60))
    def test_never_doubled_and_never_lost(self, spoken: Dialect, seed: int, length: int) -> None:
        """The upstream has what is wanted, and of the rest only what an ack that never came would have ended."""
        dice = random.Random(seed)
        conversation, server = talk(spoken), Upstream(spoken)
        want: set[str] = set()
        topics = [f"t/{letter}{more}" for letter in "ABCD" for more in ("", "+")]
        lost = False
        for _ in range(length):
            step = dice.random()
            some = dice.sample(topics, dice.randint(1, 4))
            if step < 0.35:
                # Topics that differ only in a field that asking does not use share a subscription.
                asked = [Wanted(one, {"channel": "t", "symbol": one[2], "more": one[3:]}) for one in some]
                server.hear(read(conversation.want(asked)))
                want |= set(some)
            elif step < 0.65:
                server.hear(read(conversation.drop(some)))
                want -= set(some)
            elif server.acks:
                ack = server.acks.pop(dice.randrange(len(server.acks)) if dice.random() < 0.2 else 0)
                fate = dice.random()
                if fate < 0.1:
                    lost = True
                    continue
                for _ in range(2 if fate < 0.25 else 1):
                    server.hear(read(say(conversation, ack).sends))
            assert conversation.take_refused() == []
        while server.acks:
            server.hear(read(say(conversation, server.acks.pop(0)).sends))
        keys = {topic[2] for topic in want}
        assert keys <= set(server.active)
        if not (lost and spoken is TOLD):
            assert keys == set(server.active)

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.text("abcdefgh~/ ", min_size=1, max_size=12), unique=True, max_size=80),
        st.none() | st.integers(1, 30),
        st.none() | st.integers(120, 400),
        st.sampled_from([None, ","]),
    )
    def test_every_topic_is_in_exactly_one_message(
        self, symbols: list[str], batch: int | None, most: int | None, join: str | None
    ) -> None:
        """However they are cut."""
        block = {
            "each": "$symbol",
            "send": {"op": "$verb", "s": "$topics", "id": "$id"},
            "batch": batch,
            "bytes": most,
            "join": join,
        }
        conversation = talk(dialect(subscribe={key: value for key, value in block.items() if value is not None}))
        frames = conversation.want([Wanted(symbol, {"channel": "t", "symbol": symbol}) for symbol in symbols])
        said = [one["s"].split(join) if join else one["s"] for one in read(frames)]
        assert [symbol for one in said for symbol in one] == symbols
        assert [one["id"] for one in read(frames)] == list(range(1, len(frames) + 1))
        assert most is None or all(len(json.dumps(one, separators=(",", ":")).encode()) <= most for one in read(frames))
        assert conversation.take_refused() == []


WORDS = ["type", "event", "id", "channel", "data", "stream", "result", "error", "arg", "ch", "topic", "method", "op"]
WORDS += ["product_id", "symbol", "params", "success", "status", "payload"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
JUNK = st.recursive(
    SCALARS | st.sampled_from(["subscribe", "error", "hb", "snapshot", "pong", "0x1", "bts:error", "*"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(WORDS), inner),
    max_leaves=12,
)


class JunkTests:
    """What a peer can say."""

    @settings(max_examples=120, deadline=None)
    @given(st.sampled_from(NAMES), st.integers(0, 30), st.lists(st.binary(max_size=40) | JUNK, max_size=6), st.data())
    def test_nothing_raises(self, name: str, played: int, junk: list[Any], data: st.DataObject) -> None:
        """Anywhere in any of the written-out feeds: junk, and their own messages with something else in them."""
        replay = Replay(name)
        for line in replay.lines[:played]:
            replay.play(line)
        own = [line["in"] for line in replay.lines if "in" in line]  # a text where the feed does not speak plain JSON
        for one in [*junk, *(mutated(data.draw(st.sampled_from(own)), data) for _ in range(3))]:
            said = one if isinstance(one, bytes | str) else json.dumps(one)
            payload = said.encode() if isinstance(said, str) else said
            is_text = data.draw(st.booleans())
            replay.conversation.message(payload, is_text)
            replay.conversation.reply(payload, data.draw(st.sampled_from([200, 401, 500])))
        replay.conversation.take_refused()


def mutated(message: Any, data: st.DataObject) -> Any:
    """The message with one value replaced; of a text, one character."""
    if isinstance(message, str):
        at = data.draw(st.integers(0, max(0, len(message) - 1)))
        return message[:at] + data.draw(st.text(max_size=2)) + message[at + 1 :]
    copy = json.loads(json.dumps(message))
    place = copy
    while isinstance(place, dict | list) and place:
        keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(JUNK)
            break
        place = place[key]
    return copy


class PublishTests:
    """What clients publish."""

    def test_values(self) -> None:
        """Typed fields, the next id, what was saved."""
        spoken = dialect(topic={"at": {"channel": "ch", "symbol": "sym"}, "types": {"symbol": "int"}})
        publish = parse_publish({"n": "$id", "k": "$key", "s": "$symbol", "m": "$data"})
        conversation = talk(spoken, saved={"key": "s3"})
        upward = Upward(publish, {"channel": "c", "symbol": "7"}, b"[1]", True)
        assert conversation.publish(upward).payload == b'{"n":1,"k":"s3","s":7,"m":[1]}'
        assert conversation.publish(upward).payload.startswith(b'{"n":2,')
        with pytest.raises(Refused):
            conversation.publish(upward._replace(fields={"channel": "c", "symbol": "x"}))

    def test_as_it_stands(self) -> None:
        """Nothing is rendered, no id used up."""
        assert talk().publish(Upward(AS_IT_STANDS, {}, b"\xff", False)) == Frame(b"\xff", False)


def test_follows() -> None:
    """A connection that begins with what is known goes on where the last one ended."""
    spoken = dialect(connect={"url": "wss://h/", "query": {"c": "$cursor"}}, cursor={"at": "t"})
    resume = Resume()
    first = talk(spoken, resume=resume)
    say(first, {"t": 7})
    second = talk(spoken, resume=resume)
    assert not second.follows
    say(second, {"t": 7})
    assert second.follows
