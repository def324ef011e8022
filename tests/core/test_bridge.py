"""One browser, one upstream connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from relayd.core import wire
from relayd.core.auth.access import Access, Anyone, Claim, Literal
from relayd.core.auth.verdict import Identity
from relayd.core.bridge import (
    EARLY_MOST_BYTES,
    HOLD_OVER_BYTES,
    VALUE_MOST_BYTES,
    Bridge,
    Bridges,
    BridgeState,
    Need,
    Passage,
    Visit,
    browser_values,
)
from relayd.core.closecode import (
    CLOSE_DONE,
    CLOSE_FORBIDDEN,
    CLOSE_INTERNAL,
    CLOSE_POLICY,
    CLOSE_POSITION_LOST,
    CLOSE_UPSTREAM,
)
from relayd.core.counters import BridgeCounters
from relayd.core.feed.publish import Upward, parse_publish
from relayd.core.publication import TopicState
from relayd.core.routes import RouteTable, TopicRefused
from relayd.core.wayup import WayUp
from tests.support.hub_rig import FakeSink, frames, route

ALICE = Identity("alice", {"sub": "alice", "tier": "gold", "roles": ["a", "b"]})


class FakeLine:
    """An upstream connection that obeys the test."""

    def __init__(self) -> None:
        self.heard: list[Upward] = []
        self.refuse: TopicRefused | None = None
        self.way = WayUp(self._speak)
        self.held = False
        self.ended = 0

    def _speak(self, upward: Upward) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.heard.append(upward)

    @property
    def texts(self) -> list[bytes]:
        """What it heard."""
        return [one.payload for one in self.heard]

    def hold(self, held: bool) -> None:
        self.held = held

    def end(self) -> None:
        self.ended += 1


class Crossing:
    """A bridge, its two ends and the clock between."""

    def __init__(
        self, *, most: int = 10, open_: bool = True, identity: Identity | None = None, **settings: Any
    ) -> None:
        settings.setdefault("access", Access(publish=Anyone.PUBLIC))
        self.table = RouteTable([route("echo/$room", exclusive=True, **settings)])
        self.line = FakeLine()
        self.sink = FakeSink()
        self.values: list[Mapping[str, str]] = []
        self.calls: list[tuple[float, Callable[[], None]]] = []
        self.counters = BridgeCounters()
        self.reported: list[str] = []
        self.bridges = Bridges(
            self._open,
            most=most,
            needs={"up": (Need("browser.query.k", is_required=False),)},
            protocols={"up": ("v3", "v1")},
            call_later=lambda delay_s, call: self.calls.append((delay_s, call)),
            counters=self.counters,
            report=self.reported.append,
        )
        self.bridge = self.open(Visit(identity))
        if open_:
            self.bridge.opened()

    def _open(self, bridge: Bridge, values: Mapping[str, str]) -> FakeLine:
        self.values.append(values)
        return self.line

    def open(self, visit: Visit) -> Bridge:
        """Another one, to the same line."""
        return self.bridges.open(self.table.find("echo/a"), visit, self.sink)


class OpeningTests:
    """Who may cross, and with what."""

    def test_values(self) -> None:
        """Those that the upstream wants, and a place is counted."""
        crossing = Crossing()
        assert crossing.values == [{}]
        crossing.sink = FakeSink()
        crossing.open(Visit(query={"k": "v", "other": "x"}))
        assert crossing.values[1] == {"browser.query.k": "v"}
        assert (crossing.counters.opened, crossing.counters.open) == (2, 2)
        crossing.bridges.ended()
        assert crossing.counters.open == 1

    def test_bound(self) -> None:
        """One too many is refused before anything is dialled."""
        crossing = Crossing(most=1)
        with pytest.raises(TopicRefused) as caught:
            crossing.open(Visit())
        assert (caught.value.code, caught.value.message) == ("unavailable", "limits.exclusive is reached (1)")
        assert len(crossing.values) == 1 and crossing.counters.refused == 1

    def test_fields(self) -> None:
        """The topic's own; what comes unasked for others is not for this browser."""
        bridge = Crossing().bridge
        assert bridge.fields == {"room": "a"}
        assert bridge.takes({"room": "a", "more": "x"})
        assert not bridge.takes({"room": "b"})
        assert not bridge.takes({})


class SubprotocolTests:
    """What the browser's handshake is answered, before there is an upstream to ask."""

    @pytest.mark.parametrize(
        ("offers", "chosen"),
        [([], None), (["v1"], "v1"), (["x", "v1", "v3"], "v1"), (["v3", "v1"], "v3"), (["x", "V1"], None)],
    )
    def test_chosen(self, offers: list[str], chosen: str | None) -> None:
        """The first of its offers that the upstream's block holds."""
        crossing = Crossing()
        assert crossing.bridges.foresee(crossing.table, "echo/a", offers) == Passage(chosen)

    def test_no_protocols(self) -> None:
        """Where the block names none, none is answered."""
        crossing = Crossing()
        bridges = Bridges(crossing._open, most=1, needs={}, call_later=lambda *_: None, counters=BridgeCounters())
        assert bridges.foresee(crossing.table, "echo/a", ["v1"]) == Passage(None)

    @pytest.mark.parametrize("name", ["shared", "nowhere", "", "a//b"])
    def test_no_bridge(self, name: str) -> None:
        """Topics that are read by all, and such as there are not."""
        crossing = Crossing()
        table = RouteTable([route("echo/$room", exclusive=True), route("shared")])
        assert crossing.bridges.foresee(table, name, ["v1"]) is None

    def test_told_to_the_line(self) -> None:
        """Which offers it to the upstream."""
        crossing = Crossing()
        assert crossing.bridge.subprotocol is None
        assert crossing.open(Visit(subprotocol="v1")).subprotocol == "v1"


class ValueTests:
    """`${browser.X}`."""

    VISIT = Visit(ALICE, "tok", {"q": "v", "empty": ""})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("browser.token", "tok"),
            ("browser.claims.tier", "gold"),
            ("browser.query.q", "v"),
            ("browser.query.empty", ""),
        ],
    )
    def test_found(self, name: str, value: str) -> None:
        """By its name."""
        assert browser_values((Need(name),), self.VISIT) == {name: value}

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("browser.token", "unauthorized"),
            ("browser.claims.tier", "unauthorized"),
            ("browser.query.q", "bad_request"),
        ],
    )
    def test_missing(self, name: str, code: str) -> None:
        """The refusal names the placeholder; where it has a default it is left to that."""
        with pytest.raises(TopicRefused) as caught:
            browser_values((Need(name),), Visit())
        assert (caught.value.code, caught.value.message) == (
            code, f"the upstream needs ${{{name}}}, which this browser does not bring",
        )  # fmt: skip
        assert browser_values((Need(name, is_required=False),), Visit()) == {}

    def test_several(self) -> None:
        """A list is no value."""
        with pytest.raises(TopicRefused):
            browser_values((Need("browser.claims.roles"),), self.VISIT)

    @pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\0b", "é" * (VALUE_MOST_BYTES // 2 + 1)])
    def test_hostile(self, value: str) -> None:
        """Refused, and not repeated."""
        with pytest.raises(TopicRefused) as caught:
            browser_values((Need("browser.query.q"),), Visit(query={"q": value}))
        assert caught.value.code == "bad_request" and value not in caught.value.message

    def test_longest(self) -> None:
        """8 KiB fit."""
        value = "x" * VALUE_MOST_BYTES
        assert browser_values((Need("browser.token"),), Visit(token=value)) == {"browser.token": value}

    def test_secret(self) -> None:
        """Nothing of it is in the repr."""
        assert repr(self.VISIT) == "Visit()"


class UpTests:
    """From the browser."""

    def test_as_it_stands(self) -> None:
        """Text and binary, with the topic's fields."""
        crossing = Crossing()
        crossing.bridge.up(b"a", True)
        crossing.bridge.up(b"\xff", False)
        assert [(one.payload, one.is_text, one.fields) for one in crossing.line.heard] == [
            (b"a", True, {"room": "a"}), (b"\xff", False, {"room": "a"}),
        ]  # fmt: skip

    def test_in_the_words_of_the_route(self) -> None:
        """Where it has a template."""
        publish = parse_publish({"m": "$data"})
        crossing = Crossing(publish=publish)
        crossing.bridge.up(b"1", True)
        assert crossing.line.heard[0].publish is publish

    def test_may_not(self) -> None:
        """Who may not publish and does is closed."""
        crossing = Crossing(access=Access(publish=(Claim("sub", (Literal("bob"),)),)), identity=ALICE)
        crossing.bridge.up(b"a", True)
        assert (crossing.sink.closed, crossing.line.heard, crossing.line.ended) == (CLOSE_FORBIDDEN, [], 1)

    def test_early(self) -> None:
        """The browser is not read before the upstream is there; what had been read waits, in order."""
        crossing = Crossing(open_=False)
        assert crossing.sink.paused
        crossing.bridge.up(b"1", True)
        crossing.bridge.up(b"2", True)
        assert crossing.line.heard == []
        crossing.bridge.opened()
        assert crossing.line.texts == [b"1", b"2"]
        assert not crossing.sink.paused
        crossing.bridge.opened()
        assert crossing.counters.paused == 1

    def test_early_is_bounded(self) -> None:
        """More than two reads and a message cannot come from a browser that is not read."""
        crossing = Crossing(open_=False)
        crossing.bridge.up(b"x" * (1 << 20), True)
        crossing.bridge.up(b"x" * EARLY_MOST_BYTES, True)
        assert crossing.sink.closed is None
        crossing.bridge.up(b"x", True)
        assert crossing.sink.closed is CLOSE_POLICY

    def test_full(self) -> None:
        """While the upstream's buffer is full the browser is not read."""
        crossing = Crossing()
        crossing.line.way.filled()
        crossing.bridge.up(b"1", True)
        assert crossing.sink.paused and crossing.line.texts == [b"1"]
        crossing.bridge.up(b"2", True)
        crossing.line.way.drained()
        assert not crossing.sink.paused and crossing.line.texts == [b"1", b"2"]

    def test_limit(self) -> None:
        """What `limits.send` holds up is said when it may, and the browser waits meanwhile."""
        crossing = Crossing()
        crossing.line.refuse = TopicRefused("rate_limited", "limits.send", 0.5)
        crossing.bridge.up(b"1", True)
        crossing.bridge.up(b"2", True)
        assert crossing.sink.paused
        assert [delay_s for delay_s, _ in crossing.calls] == [0.5]
        crossing.line.refuse = None
        for _, call in crossing.calls:
            call()
        assert crossing.line.texts == [b"1", b"2"] and not crossing.sink.paused

    def test_cannot_be_said(self) -> None:
        """What the upstream's messages cannot hold has no place for an error: closed."""
        crossing = Crossing()
        crossing.line.refuse = TopicRefused("bad_request", "a quote")
        crossing.bridge.up(b"1", True)
        assert (crossing.sink.closed, crossing.line.ended) == (CLOSE_POLICY, 1)
        crossing.bridge.up(b"2", True)
        assert crossing.line.heard == []


class DownTests:
    """From the upstream."""

    def test_at_once(self) -> None:
        """In the frame type it came in."""
        crossing = Crossing()
        crossing.bridge.publish(crossing.bridge, b"a", True)
        crossing.bridge.publish(crossing.bridge, b"\xff", False, snapshot=True)
        assert frames(crossing.sink.taken) == [(wire.TEXT, b"a"), (wire.BINARY, b"\xff")]
        assert (crossing.bridge.sent_messages, crossing.bridge.sent_bytes) == (2, 6)

    def test_browser_that_does_not_read(self) -> None:
        """The upstream is held at once, and read again when all is taken."""
        crossing = Crossing()
        crossing.sink.room = 0
        crossing.bridge.publish(crossing.bridge, b"x" * HOLD_OVER_BYTES, True)
        assert crossing.line.held and crossing.counters.held == 1
        crossing.bridge.publish(crossing.bridge, b"y", True)
        assert crossing.counters.held == 1
        crossing.sink.read(1000)
        assert crossing.line.held
        crossing.sink.read(1 << 20)
        assert not crossing.line.held and crossing.sink.produce is None
        assert [payload[-1:] for _, payload in frames(crossing.sink.taken)] == [b"x", b"y"]

    def test_a_loss(self) -> None:
        """Cannot be told here."""
        crossing = Crossing()
        crossing.bridge.gap(crossing.bridge, 3, "upstream")
        assert crossing.sink.closed is CLOSE_POSITION_LOST

    def test_refused(self) -> None:
        """The subscription that the upstream does not give; other states are no news."""
        crossing = Crossing()
        for state in (TopicState.PENDING, TopicState.LIVE, TopicState.RECONNECTING):
            crossing.bridge.state(crossing.bridge, state)
        crossing.bridge.forget(crossing.bridge)
        assert crossing.sink.closed is None
        crossing.bridge.state(crossing.bridge, TopicState.FAILED, "no such room")
        assert crossing.sink.closed is CLOSE_FORBIDDEN


class EndTests:
    """One end goes, and the other with it."""

    @pytest.mark.parametrize(
        ("code", "refused", "close"),
        [
            (1000, False, CLOSE_DONE),
            (4009, False, CLOSE_UPSTREAM),
            (None, False, CLOSE_UPSTREAM),
            (None, True, CLOSE_FORBIDDEN),
        ],
    )
    def test_of_the_upstream(self, code: int | None, refused: bool, close: object) -> None:
        """The browser learns how."""
        crossing = Crossing()
        crossing.bridge.ended(code, refused=refused)
        assert (crossing.sink.closed, crossing.line.ended) == (close, 1)
        crossing.bridge.ended(None, refused=False)
        crossing.bridge.publish(crossing.bridge, b"late", True)
        crossing.bridge.opened()
        assert crossing.counters.ended_by_upstream == 1 and crossing.sink.taken == b""

    def test_of_the_browser(self) -> None:
        """The line hangs up; nothing waits for anything."""
        crossing = Crossing()
        crossing.line.way.filled()
        crossing.bridge.up(b"1", True)
        crossing.bridge.leave()
        crossing.bridge.leave()
        assert crossing.bridge.state_now is BridgeState.CLOSED
        assert (crossing.line.ended, crossing.line.way.paused, crossing.sink.closed) == (1, 0, None)
        crossing.line.way.drained()

    def test_while_held(self) -> None:
        """A browser that goes while the upstream is not read."""
        crossing = Crossing()
        crossing.sink.room = 0
        crossing.bridge.publish(crossing.bridge, b"x" * (HOLD_OVER_BYTES + 1), True)
        crossing.bridge.leave()
        assert crossing.line.ended == 1

    def test_before_there_is_a_line(self) -> None:
        """Between the refusal of the hub and the dial nothing can go wrong."""
        crossing = Crossing()
        bridge = Bridge(crossing.bridges, crossing.table.find("echo/a"), Visit(), FakeSink())
        bridge.up(b"early", True)
        bridge.leave()
        assert bridge.state_now is BridgeState.CLOSED


class FaultTests:
    """An error of ours ends both ends of one bridge."""

    def test_failed(self) -> None:
        """Closed as an internal error, once."""
        crossing = Crossing()
        crossing.bridge.failed()
        crossing.bridge.failed()
        assert (crossing.sink.closed, crossing.line.ended) == (CLOSE_INTERNAL, 1)

    def test_at_the_beginning(self) -> None:
        """The line is dialled by then: it hangs up."""
        crossing = Crossing()
        sink = FakeSink()

        def fail() -> None:
            raise KeyError("pause")

        sink.pause = fail
        with pytest.raises(KeyError):
            crossing.bridges.open(crossing.table.find("echo/a"), Visit(), sink)
        assert crossing.line.ended == 1

    def test_without_a_line(self) -> None:
        """None was made: nothing is counted as open."""
        crossing = Crossing()

        def fail(*_: object) -> FakeLine:
            raise KeyError("line")

        crossing.bridges._open_line = fail
        with pytest.raises(KeyError):
            crossing.open(Visit())
        assert (crossing.counters.open, crossing.counters.opened) == (1, 1)

    def test_by_a_timer(self) -> None:
        """Nobody else would hear of it."""
        crossing = Crossing()
        crossing.line.refuse = TopicRefused("rate_limited", "limits.send", 0.5)
        crossing.bridge.up(b"1", True)
        crossing.line.refuse = KeyError("fault")
        [(_, call)] = crossing.calls
        call()
        assert (crossing.reported, crossing.sink.closed, crossing.line.ended) == (["bridge"], CLOSE_INTERNAL, 1)

    def test_while_it_ends(self) -> None:
        """What fails there stops neither the rest of the end nor the close."""
        crossing = Crossing()

        def fail(_: object) -> None:
            raise KeyError("leave")

        crossing.line.way.leave = fail
        with pytest.raises(KeyError):
            crossing.bridge.ended(None, refused=False)
        assert (crossing.sink.closed, crossing.line.ended) == (CLOSE_UPSTREAM, 1)
