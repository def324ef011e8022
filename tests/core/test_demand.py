"""Tests of relayd.core.demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from relayd.core.demand import Demand
from relayd.core.feed.outcome import Frame
from relayd.core.upstream.effects import Close, Dial, Drop, Effects, Loss, LossKind, Send
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.session import UpstreamSession
from relayd.core.upstream.states import State
from relayd.core.windows import SlidingWindow, Windows
from tests.support.upstream import TinyTalk, WritingHub


@dataclass(frozen=True)
class Route:
    """As far as demand looks at one."""

    linger_s: float


@dataclass(frozen=True)
class Topic:
    """As far as demand looks at one."""

    name: str
    route: Route = Route(5.0)
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)


class WritingSession:
    """Writes down what it is asked."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def want(self, topic: Topic, fields: Mapping[str, str], now: float) -> None:
        self.heard.append(f"{now:g} want {topic.name}")

    def unwant(self, topic: Topic, now: float) -> None:
        self.heard.append(f"{now:g} unwant {topic.name}")

    def refresh(self, topic: Topic, now: float) -> None:
        self.heard.append(f"{now:g} refresh {topic.name}")


class DemandTests:
    """First and last browsers, and what lies between."""

    def setup_method(self) -> None:
        self.now = 0.0
        self.woken = 0
        self.session = WritingSession()
        self.demand: Demand[Topic] = Demand(self.session, monotonic=lambda: self.now, wake=self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def test_linger(self) -> None:
        """The last browser left: five seconds later the upstream is told, unless one came back."""
        a = Topic("a")
        self.demand.wanted(a)
        self.now = 10.0
        self.demand.unwanted(a)
        assert self.demand.next_deadline() == 15
        self.now = 14.0
        self.demand.wanted(a)
        assert self.demand.next_deadline() == inf
        self.demand.unwanted(a)
        self.demand.tick(18.9)
        assert self.session.heard == ["0 want a"]
        self.demand.tick(19)
        assert self.session.heard == ["0 want a", "19 unwant a"]

    def test_each_route_has_its_own(self) -> None:
        """Lingers of different lengths end in order of time."""
        quick, slow, none = Topic("quick", Route(1)), Topic("slow", Route(60)), Topic("none", Route(0))
        for topic in (slow, quick, none):
            self.demand.wanted(topic)
            self.demand.unwanted(topic)
        assert self.demand.next_deadline() == 0
        self.demand.tick(100)
        assert self.session.heard[-3:] == ["100 unwant none", "100 unwant quick", "100 unwant slow"]

    def test_pin(self) -> None:
        """Wanted whoever listens."""
        a = Topic("a")
        self.demand.pin(a)
        self.demand.unwanted(a)
        assert (self.session.heard, self.demand.next_deadline()) == (["0 want a"], inf)

    def test_refresh(self) -> None:
        """A newcomer's snapshot is asked for at once."""
        self.demand.refresh(Topic("a"))
        assert self.session.heard == ["0 refresh a"]

    def test_the_ticker_is_woken(self) -> None:
        """Whenever something may be due sooner, and not for a browser that came back in time."""
        a = Topic("a")
        self.demand.wanted(a)
        self.demand.unwanted(a)
        assert self.woken == 2
        self.demand.wanted(a)
        assert self.woken == 2


class FakeUpstream:
    """The far end of one connection: obeys subscriptions strictly, in order, and answers late."""

    def __init__(self) -> None:
        self.subscribed: set[str] = set()
        self.answers: list[str] = []

    def hears(self, text: str) -> None:
        for topic in text[1:].split(","):
            if text[0] == "+":
                assert topic not in self.subscribed, f"{topic} is subscribed twice"
                self.subscribed.add(topic)
            else:
                assert topic in self.subscribed, f"{topic} is unsubscribed without being subscribed"
                self.subscribed.remove(topic)
        if text[0] == "+":
            self.answers.append(f"ok {text[1:]}")


class ChurnMachine(RuleBasedStateMachine):
    """Browsers come and go, acks come late, connections break, limits hold frames back."""

    @initialize(limited=st.booleans())
    def begin(self, limited: bool) -> None:
        self.now = 0.0
        windows = Windows(send=SlidingWindow(2, 1.0), subscribe=SlidingWindow(3, 7.0)) if limited else Windows()
        self.hub = WritingHub()
        self.topics = [Topic(name, Route(linger_s)) for name, linger_s in (("a", 0), ("b", 1), ("c", 1), ("d", 5))]
        self.readers = dict.fromkeys(self.topics, 0)
        self.upstream: FakeUpstream | None = None
        self.session: UpstreamSession[Topic] = UpstreamSession(
            "feed",
            UpstreamPolicy(heartbeat=None),
            TopicHub(self.hub),
            converse=lambda saved: TopicTalk(self.topics),
            random=lambda: 0.5,
            wall=lambda: 0.0,
            windows=windows,
        )
        self.demand: Demand[Topic] = Demand(self.session, monotonic=lambda: self.now, wake=lambda: None)
        self.carry_out(self.session.start(self.now))

    def carry_out(self, effects: Effects) -> None:
        for effect in effects:
            match effect:
                case Send(Frame() as sent):
                    assert self.upstream is not None
                    self.upstream.hears(sent.payload.decode())
                case Dial():
                    assert self.upstream is None, "a second connection"
                    self.upstream = FakeUpstream()
                    self.carry_out(self.session.tcp_up(self.now))
                    self.carry_out(self.session.ws_open(self.now))
                case Drop():
                    self.hang_up()
                case Close():
                    self.hang_up()
                    self.carry_out(self.session.lost(Loss(LossKind.CLOSED, code=1000), self.now))

    def hang_up(self) -> None:
        """TCP ends with the connection."""
        if self.upstream is not None:
            self.upstream = None
            self.session.socket_closed()

    def settle(self) -> None:
        for _ in range(50):
            if min(self.session.next_deadline(), self.demand.next_deadline()) > self.now:
                return
            self.demand.tick(self.now)
            self.carry_out(self.session.tick(self.now))
        raise AssertionError("never done")

    @rule(which=st.integers(0, 3))
    def comes(self, which: int) -> None:
        topic = self.topics[which]
        self.readers[topic] += 1
        if self.readers[topic] == 1:
            self.demand.wanted(topic)

    @rule(which=st.integers(0, 3))
    def goes(self, which: int) -> None:
        topic = self.topics[which]
        if self.readers[topic]:
            self.readers[topic] -= 1
            if not self.readers[topic]:
                self.demand.unwanted(topic)

    @rule()
    def turn(self) -> None:
        self.settle()

    @rule()
    def an_answer_arrives(self) -> None:
        if self.upstream is not None and self.upstream.answers:
            answer = self.upstream.answers.pop(0)
            self.carry_out(self.session.message(answer.encode(), True, self.now))

    @rule(which=st.integers(0, 3))
    def data_arrives(self, which: int) -> None:
        if self.upstream is not None and self.topics[which].name in self.upstream.subscribed:
            self.carry_out(self.session.message(f"{self.topics[which].name}=1".encode(), True, self.now))

    @rule()
    def the_connection_breaks(self) -> None:
        if self.upstream is not None:
            self.hang_up()
            self.carry_out(self.session.lost(Loss(LossKind.BROKEN), self.now))

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        for _ in range(200):
            due = max(self.now, min(self.session.next_deadline(), self.demand.next_deadline()))
            if due > end:
                break
            self.now = due
            self.settle()
        self.now = end

    @invariant()
    def a_frame_never_doubles(self) -> None:
        """FakeUpstream asserts it for each frame; here: one connection, and only in states that have one."""
        if not hasattr(self, "session"):
            return
        if self.upstream is not None:
            assert self.session.state in (State.SUBSCRIBING, State.LIVE, State.STALE)

    def teardown(self) -> None:
        """When all has settled, what is subscribed is what somebody reads: nothing doubled, nothing lost."""
        if not hasattr(self, "session"):
            return
        self.time_passes(400.0)
        wanted = {topic.name for topic, readers in self.readers.items() if readers}
        assert (self.upstream.subscribed if self.upstream is not None else set()) == wanted
        assert set(self.session.topics.phases()) == {topic for topic, readers in self.readers.items() if readers}
        for name in ("a", "b", "c", "d"):
            assert_every_hole_is_marked([line for line in self.hub.heard if line.split("=")[0].split()[0] == name])


def assert_every_hole_is_marked(lines: list[str]) -> None:
    """Between data before and after a time without the upstream stands a gap."""
    had_data = hole = False
    for line in lines:
        if "=" in line:
            assert not (had_data and hole), f"data joined without a mark: {lines}"
            had_data, hole = True, False
        elif " gap " in line or line.endswith("forgotten"):
            had_data = hole = False
        elif line.endswith("reconnecting") or line.endswith("pending"):
            hole = True


class TopicHub:
    """A sink of topics that tells a hub of names."""

    def __init__(self, hub: WritingHub) -> None:
        self._hub = hub

    def publish(
        self,
        topic: Topic,
        payload: bytes,
        is_text: bool,
        snapshot: bool = False,
        is_json: bool = False,
        at: float | None = None,
    ) -> None:
        self._hub.publish(topic.name, payload, is_text, snapshot)

    def gap(self, topic: Topic, missed: int | None, why: str) -> None:
        self._hub.gap(topic.name, missed, why)

    def forget(self, topic: Topic) -> None:
        self._hub.forget(topic.name)

    def state(self, topic: Topic, state: object, why: str = "") -> None:
        self._hub.state(topic.name, state, why)


class TopicTalk:
    """A tiny talk about topics instead of names."""

    def __init__(self, topics: list[Topic]) -> None:
        self._talk = TinyTalk()
        self._of = {topic.name: topic for topic in topics}

    def __getattr__(self, name: str) -> object:
        return getattr(self._talk, name)

    def want(self, topics: object) -> object:
        return self._talk.want([_named(wanted) for wanted in topics])

    def drop(self, topics: list[Topic]) -> object:
        return self._talk.drop([topic.name for topic in topics])

    def is_confirmed(self, topic: Topic) -> bool:
        return self._talk.is_confirmed(topic.name)

    def message(self, payload: bytes, is_text: bool, sse: object = None) -> object:
        outcome = self._talk.message(payload, is_text)
        if hasattr(outcome, "topics"):  # data for a topic that was dropped meanwhile is unrouted, and has none
            outcome.topics = tuple(self._of[name] for name in outcome.topics)
        return outcome


def _named(wanted: object) -> object:
    return type(wanted)(wanted.topic.name, wanted.fields)


ChurnMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
ChurnTests = ChurnMachine.TestCase
