"""Tests of relayd.core.upstream.session: an upstream's life, told as a dialogue."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import pytest

from relayd.config.compile_upstream import compile_upstream
from relayd.config.load import load
from relayd.core.feed.connect import HttpStep
from relayd.core.feed.conversation import Conversation
from relayd.core.feed.outcome import Frame, HttpRequest
from relayd.core.feed.path import parse_paths
from relayd.core.feed.publish import Upward, parse_publish
from relayd.core.feed.resume import Resume
from relayd.core.feed.spec import CodeRule, HeartbeatSpec, ReconnectSpec, SilenceSpec
from relayd.core.feed.url import parse_http
from relayd.core.feed.voice import Voice
from relayd.core.hours import parse_hours
from relayd.core.routes import TopicRefused
from relayd.core.upstream.effects import (
    Close,
    Dial,
    DialImpossible,
    Drop,
    Effects,
    Loss,
    LossKind,
    Note,
    Ping,
    Send,
)
from relayd.core.upstream.places import Claim
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.prepare import Preparation
from relayd.core.upstream.session import UpstreamSession
from relayd.core.upstream.speaking import AWAY, KEPT_S
from relayd.core.upstream.states import OutOfOrder, State
from relayd.core.windows import SlidingWindow, Windows
from tests.support.upstream import NO_FIELDS, TinyTalk, WritingHub

WALL_S = 1_753_061_400.0
"""Monday, 21 July 2025, 10:30 in Tokyo: the time of a Dialogue at its start."""
BROKEN = Loss(LossKind.BROKEN, text="the connection was reset")


def token_steps(*, keep: bool = False) -> Preparation:
    """One HTTP step, which fetches a token."""
    http = {"method": "POST", "url": "https://feed.example/token"}
    step = HttpStep(parse_http(http), {"token": parse_paths("data.token")}, keep=keep)

    def speak(saved: Mapping[str, object]) -> Voice:
        return Voice(wall=lambda: 0.0, uuid=lambda: "u", secrets={}, saved=saved, resume=Resume())

    return Preparation((step,), speak)


def place_of_its_own(fields: Mapping[str, str], ends: bool = True) -> tuple[Claim, ...]:
    """Each topic takes a place for itself."""
    return (Claim((fields["name"],), ends=ends),)


class Dialogue:
    """A session with its clock; each call is an input and returns the effects in short words (notes left out)."""

    def __init__(
        self,
        *,
        random: float = 0.5,
        windows: Windows | None = None,
        preparation: Preparation | None = None,
        **policy: Any,
    ) -> None:
        self.talk_options: dict[str, Any] = {}
        policy.setdefault("heartbeat", None)
        self.now = 1000.0
        self.hub = WritingHub()
        self.notes: list[Note] = []
        self.impossible = ""
        self.forgotten = 0
        self.sockets = 0
        self.lingers = False
        """Whether sockets outlive their connections until `closed` is called."""
        self.talks: list[TinyTalk] = []
        self.session: UpstreamSession[str] = UpstreamSession(
            "feed",
            UpstreamPolicy(**policy),
            self.hub,
            converse=self._converse,
            preparation=preparation,
            forget_cursor=self._forget,
            random=lambda: random,
            wall=lambda: WALL_S + self.now - 1000.0,
            windows=windows,
        )

    def _converse(self, saved: Mapping[str, object]) -> TinyTalk:
        if self.impossible:
            raise DialImpossible(self.impossible)
        self.talks.append(TinyTalk(**self.talk_options, saved=saved))
        return self.talks[-1]

    def _forget(self) -> None:
        self.forgotten += 1

    @property
    def state(self) -> State:
        return self.session.state

    def words(self, effects: Effects) -> list[str]:
        words = []
        for effect in effects:
            match effect:
                case Note():
                    self.notes.append(effect)
                case Dial(request):
                    words.append(f"dial {request.url}" if "?" in request.url else "dial")
                case Send(Frame() as sent):
                    words.append(sent.payload.decode())
                case Send(HttpRequest() as sent):
                    words.append(f"{sent.method} {sent.url}")
                case Ping():
                    words.append("ping")
                case Close():
                    words.append("close")
                case Drop():
                    words.append("drop")
                    self.hang_up()
                case _:
                    raise AssertionError(effect)
        return words

    def do(self, call: Callable[..., Effects], *arguments: Any) -> list[str]:
        return self.words(call(*arguments, self.now)) + self.settle()

    def settle(self) -> list[str]:
        """Tick while something is due at once, as the ticker does."""
        words: list[str] = []
        for _ in range(20):
            if self.session.next_deadline() > self.now:
                return words
            words += self.words(self.session.tick(self.now))
        raise AssertionError(f"the session is never done ticking while {self.state.value}")

    def start(self) -> list[str]:
        return self.do(self.session.start)

    def stop(self) -> list[str]:
        return self.do(self.session.stop)

    def want(self, *topics: str) -> list[str]:
        for topic in topics:
            self.session.want(topic, NO_FIELDS, self.now)
        return self.settle()

    def unwant(self, *topics: str) -> list[str]:
        for topic in topics:
            self.session.unwant(topic, self.now)
        return self.settle()

    def open(self) -> list[str]:
        """TCP, then the WebSocket."""
        self.sockets += 1
        return self.do(self.session.tcp_up) + self.do(self.session.ws_open)

    def says(self, *texts: str) -> list[str]:
        words = []
        for text in texts:
            words += self.do(self.session.message, text.encode(), True)
        return words

    def hang_up(self, *, lingers: bool | None = None) -> None:
        """The sockets close with their connections, unless they linger."""
        while self.sockets and not (self.lingers if lingers is None else lingers):
            self.sockets -= 1
            self.session.socket_closed()

    def closed(self) -> list[str]:
        """Every socket has closed."""
        self.hang_up(lingers=False)
        return self.settle()

    def lost(self, loss: Loss = BROKEN) -> list[str]:
        self.hang_up()
        return self.do(self.session.lost, loss)

    def after(self, seconds: float) -> list[str]:
        """Let time pass, ticking at each deadline on the way."""
        words, end = [], self.now + seconds
        for _ in range(10_000):
            due = max(self.now, self.session.next_deadline())
            if due > end:
                self.now = end
                return words
            self.now = due
            words += self.words(self.session.tick(self.now))
        raise AssertionError("too many deadlines")

    def live(self, *topics: str) -> None:
        """Dialled, open, subscribed, data for each topic, and all of that read."""
        self.start()
        self.want(*topics)
        self.open()
        self.says(*(f"{topic}=0" for topic in topics))
        assert self.state is State.LIVE
        self.hub.read()


class ComingUpTests:
    """From nothing to the first data."""

    def test_demand(self) -> None:
        """Nothing is dialled until something is wanted; then it is subscribed, confirmed, live."""
        feed = Dialogue()
        assert feed.want("a") == []
        assert feed.start() == ["dial"]
        assert feed.want("b") == []
        assert feed.state is State.CONNECTING
        assert feed.open() == ["+a,b"]
        assert feed.state is State.SUBSCRIBING
        assert feed.says("ok a,b") == []
        assert feed.hub.read() == ["a pending", "b pending"]
        assert feed.says("a=1", "a=2", "b#3") == []
        assert feed.hub.read() == ["a live", "a=1", "a=2", "b live", "b#3"]
        assert feed.state is State.LIVE

    def test_nothing_wanted_nothing_dialled(self) -> None:
        """Idle, without a deadline."""
        feed = Dialogue()
        assert feed.start() == []
        assert (feed.state, feed.session.next_deadline()) == (State.IDLE, inf)

    def test_dial_at_start(self) -> None:
        """`dial: start` connects at once and stays, whatever is wanted."""
        feed = Dialogue(dial_at_start=True)
        assert feed.start() == ["dial"]
        assert feed.open() == []
        assert feed.want("a") == ["+a"]
        assert feed.unwant("a") == ["-a"]
        assert feed.after(3600) == []
        assert feed.state is State.SUBSCRIBING

    def test_login(self) -> None:
        """Steps go out as they are answered; nothing is subscribed before it is done."""
        feed = Dialogue()
        feed.talk_options = {"login": True}
        feed.start()
        feed.want("a")
        assert feed.open() == ["key"]
        assert feed.state is State.LOGIN
        assert feed.says("hi") == ["me"]
        assert feed.says("in") == ["+a"]
        assert feed.state is State.SUBSCRIBING

    def test_one_message_for_the_topics_of_one_turn(self) -> None:
        """What comes together goes out together, and what came and went costs nothing."""
        feed = Dialogue()
        feed.live("a")
        assert feed.want("b", "c", "d") == ["+b,c,d"]
        feed.session.want("e", NO_FIELDS, feed.now)
        feed.session.unwant("e", feed.now)
        feed.session.unwant("a", feed.now)
        feed.session.want("a", NO_FIELDS, feed.now)
        assert feed.settle() == []

    def test_pushed_unasked(self) -> None:
        """Without a subscribe block topics come as the upstream likes, and their loss is marked all the same."""
        feed = Dialogue(unasked=True, dial_at_start=True)
        feed.talk_options = {"unasked": True}
        feed.start()
        assert feed.open() == []
        feed.says("a=1")
        assert feed.want("b", "a") == []
        feed.says("b=1")
        assert feed.unwant("a", "b") == []
        assert feed.hub.read() == ["a live", "a=1", "b pending", "b live", "b=1"]
        feed.lost()
        feed.after(60)
        feed.open()
        feed.says("a=2")
        assert feed.hub.read() == ["a reconnecting", "b reconnecting", "a gap ? upstream", "a live", "a=2"]


class LossTests:
    """The connection goes, and comes back."""

    def test_all_that_is_wanted_is_subscribed_again(self) -> None:
        """The wanted set is the only truth, whatever changed while the upstream was away; holes are marked."""
        feed = Dialogue()
        feed.live("a", "b")
        feed.want("c")
        feed.hub.read()
        assert feed.lost() == []
        assert feed.state is State.BACKOFF
        assert feed.hub.read() == ["a reconnecting", "b reconnecting"]
        feed.unwant("b")
        feed.want("d")
        assert feed.hub.read() == ["b forgotten", "d pending"]
        assert feed.after(1) == ["dial"]
        assert feed.open() == ["+a,c,d"]
        feed.says("c=1", "a=2", "a=3")
        assert feed.hub.read() == ["c live", "c=1", "a gap ? upstream", "a live", "a=2", "a=3"]

    def test_delays_grow_until_a_session_settles(self) -> None:
        """Accepted and dropped is no success, nor is one message; thirty seconds of data are."""
        feed = Dialogue(random=1.0)
        feed.start()
        feed.want("a")
        waited = []
        for _ in range(8):
            feed.open()
            feed.says("a=1")
            feed.lost()
            waited.append(feed.session.next_deadline() - feed.now)
            assert feed.after(waited[-1]) == ["dial"]
        assert waited == [1, 2, 4, 8, 16, 32, 60, 60]
        feed.open()
        feed.says("a=1")
        feed.after(29.9)
        feed.says("a=2")
        feed.lost()
        assert feed.session.next_deadline() - feed.now == 60
        feed.after(60)
        feed.open()
        feed.says("a=1")
        feed.after(30)
        feed.says("a=2")
        feed.lost()
        assert feed.session.next_deadline() - feed.now == 1

    def test_a_long_quiet_session_settles_too(self) -> None:
        """A feed with nothing to say is not punished for being closed once a day."""
        feed = Dialogue(random=1.0, dial_at_start=True)
        feed.start()
        for _ in range(3):
            feed.open()
            feed.after(600)
            feed.lost()
            assert feed.session.next_deadline() - feed.now == 1
            feed.after(1)

    def test_late_news_change_nothing(self) -> None:
        """A connection that was given up may still report its end, or a message."""
        feed = Dialogue()
        feed.live("a")
        feed.lost()
        before = feed.session.next_deadline()
        assert feed.lost() == feed.says("a=1") == feed.do(feed.session.pong) == feed.do(feed.session.ponged) == []
        assert feed.session.next_deadline() == before
        assert feed.session.counters.losses == 1

    def test_nobody_waits_for_it_any_more(self) -> None:
        """When the last topic goes during a backoff nothing is dialled, and the pause is kept for the next one."""
        feed = Dialogue(random=1.0)
        feed.live("a")
        feed.lost()
        assert feed.unwant("a") == []
        assert (feed.state, feed.session.next_deadline()) == (State.IDLE, inf)
        assert feed.want("a") == []
        assert feed.after(0.9) == []
        assert feed.after(0.2) == ["dial"]

    def test_order_is_checked(self) -> None:
        """A connection that was never dialled cannot open."""
        feed = Dialogue()
        feed.start()
        with pytest.raises(OutOfOrder):
            feed.session.tcp_up(feed.now)


class DeadlineTests:
    """Whatever the upstream does not do has an end."""

    def test_connect_handshake_login(self) -> None:
        """Each step has its own."""
        feed = Dialogue(random=0.0)
        feed.talk_options = {"login": True}
        feed.want("a")
        feed.start()
        assert feed.after(14.9) == []
        assert feed.after(0.2) == ["drop", "dial"]
        feed.do(feed.session.tcp_up)
        feed.sockets += 1
        assert feed.after(9.9) == []
        assert feed.after(0.2) == ["drop", "dial"]
        feed.open()
        feed.says("hi")
        assert feed.after(9.9) == []
        assert feed.after(0.2) == ["drop", "dial"]
        assert [note.fields["why"] for note in feed.notes if note.event != "open"] == [
            "deadline: connecting took too long",
            "deadline: the handshake took too long",
            "deadline: the login took too long",
        ]

    def test_silence_of_data(self) -> None:
        """Beats and pongs keep nothing alive that brings no data."""
        feed = Dialogue(silence=SilenceSpec(data_s=60))
        feed.live("a")
        feed.after(29)
        feed.says("beat")
        feed.do(feed.session.pong)
        assert feed.state is State.LIVE
        feed.after(1)
        assert feed.state is State.STALE
        feed.do(feed.session.pong)
        assert feed.state is State.STALE
        feed.says("a=1")
        assert feed.state is State.LIVE
        assert feed.after(59) == []
        assert feed.after(1) == ["drop"]
        assert feed.session.why == "deadline: no data for silence.data"

    def test_silence_of_a_closed_market(self) -> None:
        """It closes an hour after the start, with the last data: no reconnect before the next opening, one after."""
        hours = parse_hours("09:00-11:30 Asia/Tokyo mon-fri")
        feed = Dialogue(silence=SilenceSpec(data_s=60, hours=hours))
        feed.live("a")
        for _ in range(120):
            feed.after(30)
            feed.says("a=1")
        assert feed.after(21.5 * 3600) == []
        assert feed.state is State.LIVE
        assert feed.after(59.9) == []
        assert feed.state is State.STALE
        assert feed.after(0.2) == ["drop"]
        assert feed.session.why == "deadline: no data for silence.data"

    def test_silence_of_data_means_nothing_without_topics(self) -> None:
        """Nothing subscribed, no data expected."""
        feed = Dialogue(silence=SilenceSpec(data_s=60), dial_at_start=True)
        feed.live("a")
        feed.unwant("a")
        assert feed.after(600) == []
        feed.want("b")
        assert feed.after(59) == []
        assert feed.after(1) == ["drop"]

    def test_silence_of_all(self) -> None:
        """Any frame will do, a pong too; stale is told on the way."""
        feed = Dialogue(silence=SilenceSpec(any_s=20))
        feed.live("a")
        feed.after(10)
        assert feed.state is State.STALE
        feed.do(feed.session.pong)
        assert feed.state is State.LIVE
        feed.after(9)
        feed.do(feed.session.ponged)
        feed.after(19)
        assert feed.state is State.STALE
        assert feed.after(1) == ["drop"]
        assert feed.session.why == "deadline: no frame for silence.any"

    def test_stale_before_any_data_stays_stale(self) -> None:
        """A pong does not make a session live that never had data."""
        feed = Dialogue(silence=SilenceSpec(any_s=20))
        feed.start()
        feed.want("a")
        feed.open()
        feed.after(10)
        feed.do(feed.session.pong)
        assert feed.state is State.STALE
        feed.says("a=1")
        assert feed.state is State.LIVE

    def test_pings(self) -> None:
        """A ping where no message is given; any frame answers it."""
        feed = Dialogue(heartbeat=HeartbeatSpec(within_s=10))
        feed.talk_options = {"every_s": 20}
        feed.live("a")
        assert feed.after(20) == ["ping"]
        feed.after(9)
        feed.do(feed.session.pong)
        assert feed.after(11) == ["ping"]
        feed.says("a=1")
        assert feed.after(20) == ["ping"]
        assert feed.after(10) == ["drop"]
        assert feed.session.why == "deadline: no answer to a heartbeat within heartbeat.within"

    def test_beats_in_the_dialect(self) -> None:
        """Where an answer is described only that one answers."""
        feed = Dialogue(heartbeat=HeartbeatSpec(within_s=10, ping=False, expects=True))
        feed.talk_options = {"every_s": 20}
        feed.live("a")
        assert feed.after(20) == ["!"]
        assert feed.says("pong") == []
        assert feed.after(20) == ["!"]
        feed.says("a=1")
        assert feed.after(10) == ["drop"]

    def test_goodbye(self) -> None:
        """A close that is not answered ends in two seconds."""
        feed = Dialogue()
        feed.live("a")
        assert feed.unwant("a") == ["close"]
        assert feed.state is State.DRAINING
        assert feed.after(1.9) == []
        assert feed.after(0.2) == ["drop"]
        assert feed.state is State.IDLE


class RefusalTests:
    """Some losses mean: do not come back soon."""

    def test_login_refused(self) -> None:
        """Five minutes, ten, twenty; topics fail with the reason, also new ones; admitted, they are pending again."""
        feed = Dialogue()
        feed.talk_options = {"login": True}
        feed.start()
        feed.want("a")
        feed.hub.read()
        for pause_s in (300, 600, 1200):
            feed.open()
            assert feed.says("out") == ["drop"]
            assert feed.state is State.REFUSED
            assert feed.session.next_deadline() - feed.now == pause_s
            assert feed.after(pause_s) == ["dial"]
        reason = "failed: the upstream refused: login: the upstream refused the login"
        assert feed.hub.read() == [f"a {reason}"] * 3
        feed.want("b")
        assert feed.hub.read() == [f"b {reason}"]
        feed.open()
        feed.says("in")
        assert feed.hub.read() == ["a pending", "b pending"]
        feed.says("a=1")
        feed.lost(Loss(LossKind.HTTP, status=401))
        assert feed.session.next_deadline() - feed.now == 300

    def test_refused_is_not_cut_short(self) -> None:
        """Topics coming and going do not bring the next dial nearer; a stop and a start begin afresh."""
        feed = Dialogue()
        feed.start()
        feed.want("a")
        feed.lost(Loss(LossKind.HTTP, status=403))
        feed.unwant("a")
        feed.want("a")
        assert feed.after(299) == []
        assert feed.stop() == []
        assert feed.state is State.STOPPED
        assert feed.start() == ["dial"]

    def test_stop_rule(self) -> None:
        """`stop` never comes back by itself, and the line in the log says so."""
        feed = Dialogue(reconnect=ReconnectSpec(codes=(CodeRule(4400, 4499, "stop"),)))
        feed.live("a")
        feed.lost(Loss(LossKind.CLOSED, code=4401, text="Unauthorized"))
        assert (feed.state, feed.session.next_deadline()) == (State.REFUSED, inf)
        assert feed.notes[-1].event == "refused"
        assert feed.notes[-1].fields["why"] == "closed 4401: Unauthorized"
        assert feed.notes[-1].fields["again_in_s"] == "never"


class EndTests:
    """Ends that we wish for."""

    def test_stop_in_every_state(self) -> None:
        """From wherever it is, it ends, and it can be started again."""
        feed = Dialogue()
        assert feed.stop() == []
        feed.start()
        assert feed.stop() == []
        feed.start()
        feed.want("a")
        assert feed.stop() == ["drop"]
        assert feed.state is State.STOPPED
        assert feed.start() == ["dial"]
        feed.open()
        assert feed.stop() == ["close"]
        assert feed.stop() == []
        assert feed.says("a=1", "do drain") == []
        assert feed.lost(Loss(LossKind.CLOSED, code=1000)) == []
        assert feed.state is State.STOPPED
        assert feed.session.next_deadline() == inf
        assert feed.session.tick(feed.now) == ()
        assert feed.hub.read() == ["a pending", "a live", "a=1", "a reconnecting"]

    def test_stopped_connections_of_a_dropped_attempt(self) -> None:
        """What was under way when the goodbye began is told late and ignored."""
        feed = Dialogue()
        feed.live("a")
        feed.unwant("a")
        assert feed.do(feed.session.tcp_up) == feed.do(feed.session.ws_open) == []
        assert feed.state is State.DRAINING

    def test_asked_to_come_anew(self) -> None:
        """`do: drain` says goodbye and dials again at once, if the session had settled; topics are marked."""
        feed = Dialogue(random=1.0)
        feed.live("a")
        feed.after(31)
        feed.says("a=1")
        feed.hub.read()
        assert feed.says("do drain") == ["close"]
        assert feed.says("a=2") == []
        assert feed.lost(Loss(LossKind.CLOSED, code=1000)) == ["dial"]
        assert feed.open() == ["+a"]
        assert feed.says("do drain") == ["close"]
        assert feed.lost(Loss(LossKind.CLOSED, code=1000)) == []
        assert feed.after(1) == ["dial"]
        assert feed.hub.read() == ["a=2", "a reconnecting"]

    def test_too_old(self) -> None:
        """At `max_age` or up to a tenth earlier, in good order, and then anew at once."""
        feed = Dialogue(random=0.5, max_age_s=1000.0)
        feed.live("a")
        assert feed.after(949) == []
        assert feed.after(2) == ["close"]
        assert feed.lost(Loss(LossKind.CLOSED, code=1000)) == ["dial"]

    def test_told_to_reconnect(self) -> None:
        """`do: reconnect` is a loss."""
        feed = Dialogue()
        feed.live("a")
        assert feed.says("do reconnect") == ["drop"]
        assert feed.state is State.BACKOFF


class LimitTests:
    """Dials and frames wait for their windows."""

    def test_dials(self) -> None:
        """However short the backoff, the window holds."""
        feed = Dialogue(random=0.0, windows=Windows(connect=SlidingWindow(2, 60)))
        feed.start()
        assert feed.want("a") == ["dial"]
        assert feed.lost() == ["dial"]
        assert feed.lost() == []
        assert feed.after(59) == []
        assert feed.after(2) == ["dial"]

    def test_first_send(self) -> None:
        """A feed that cuts the silent is not dialled for nothing, and not kept when nothing may be sent."""
        feed = Dialogue(dial_at_start=True, first_send_s=5, windows=Windows(subscribe=SlidingWindow(1, 600)))
        assert feed.start() == []
        assert feed.want("a") == ["dial"]
        assert feed.open() == ["+a"]
        assert feed.after(60) == []
        feed.lost()
        feed.after(5)
        assert feed.open() == []
        assert feed.after(5) == ["drop"]
        assert feed.session.why == "deadline: limits kept everything back for longer than limits.first_send"

    def test_more_answers_than_the_limit_lets_out(self) -> None:
        """The queue of answers is bounded: the connection is given up."""
        feed = Dialogue(windows=Windows(send=SlidingWindow(1, 1)))
        feed.live("a")
        assert feed.says("ping 100") == ["drop"]
        assert feed.session.why == "overrun: too many answers wait for limits.send"


    def test_beats_that_the_limit_keeps_back(self) -> None:
        """They are answers like any other, and bounded with them."""
        windows = Windows(send=SlidingWindow(1, 1000))
        feed = Dialogue(windows=windows, heartbeat=HeartbeatSpec(within_s=None, ping=False))
        feed.talk_options = {"every_s": 1}
        feed.live("a")
        assert feed.after(64) == []
        assert feed.after(1) == ["drop"]
        assert feed.session.why == "overrun: too many answers wait for limits.send"

    def test_a_tick_with_nothing_due(self) -> None:
        """While a dial is under way."""
        feed = Dialogue()
        feed.start()
        feed.want("a")
        assert feed.session.tick(feed.now) == ()
        assert feed.state is State.CONNECTING


    def test_places(self) -> None:
        """What is beyond `limits.topics` is not sent and has failed, with the setting's name; a free place is taken."""
        feed = Dialogue(topics_most=2, claims_of=place_of_its_own)
        feed.start()
        for name in "abcd":
            feed.session.want(name, {"name": name}, feed.now)
        feed.settle()
        assert feed.open() == ["+a,b"]
        full = "failed: limits.topics of upstream feed is reached (2)"
        assert feed.hub.read()[4:] == [f"c {full}", f"d {full}"]
        assert [note.event for note in feed.notes] == ["open", "full"]
        assert (feed.session.topics.waiting, feed.session.topics.crowded_out) == (2, 2)
        assert feed.unwant("a") == ["-a", "+c"]
        assert feed.hub.read() == ["a forgotten", "c pending"]
        assert feed.after(1000) == []
        assert feed.lost() == []
        assert feed.after(1) == ["dial"]
        assert feed.open() == ["+b,c"]
        assert feed.hub.read() == [f"d {full}"]
        assert (feed.session.topics.waiting, feed.session.topics.crowded_out) == (1, 3)

    def test_places_in_the_url(self) -> None:
        """The same, by connecting anew; what waits is no reason to."""
        feed = Dialogue(topics_most=1, claims_of=partial(place_of_its_own, ends=False), topics_in_url=True)
        feed.talk_options = {"in_url": True}
        feed.session.want("a", {"name": "a"}, feed.now)
        feed.session.want("b", {"name": "b"}, feed.now)
        assert feed.start() == ["dial ws://feed.example/?a"]
        feed.open()
        assert feed.after(100) == []
        feed.unwant("a")
        assert feed.after(1) == ["close"]
        assert feed.lost(Loss(LossKind.CLOSED, code=1000)) == ["dial ws://feed.example/?b"]

    def test_one_connection_at_a_time(self) -> None:
        """A dial waits until the old socket has closed, whoever ended it; five seconds at most."""
        feed = Dialogue(random=0.0, max_age_s=100.0)
        feed.lingers = True
        feed.live("a")
        assert feed.after(100) == ["close"]
        assert feed.lost(Loss(LossKind.CLOSED, code=1000)) == []
        assert feed.after(4.9) == []
        assert feed.closed() == ["dial"]
        feed.open()
        assert feed.lost() == []
        assert feed.after(4.9) == []
        assert feed.after(0.2) == ["dial"]
        feed.open()
        feed.lost()
        assert feed.closed() == ["dial"]


class ImpossibleTests:
    """A dial that cannot be prepared."""

    def test_the_reason_is_told_and_it_is_tried_again(self) -> None:
        """A secret file may come later."""
        feed = Dialogue(random=1.0)
        feed.start()
        feed.impossible = "the file of ${file./run/key} is missing"
        assert feed.want("a") == []
        assert feed.state is State.BACKOFF
        assert feed.notes[-1].event == "unreachable"
        assert feed.notes[-1].fields["why"] == "config: the file of ${file./run/key} is missing"
        feed.impossible = ""
        assert feed.after(1) == ["dial"]
        feed.talks[-1].impossible = "login needs ${env.KEY}, which has no value"
        assert feed.open() == ["drop"]
        assert feed.state is State.BACKOFF


class NoteTests:
    """One line at open, one at the end, and nothing secret in them."""

    def test_lines(self) -> None:
        """They carry the counters and the reason."""
        feed = Dialogue(random=1.0)
        feed.live("a")
        feed.after(2)
        feed.lost()
        assert [(note.event, note.warning) for note in feed.notes] == [("open", False), ("close", True)]
        assert feed.notes[0].fields == {"upstream": "feed", "attempts": 1}
        assert feed.notes[1].fields == {
            "upstream": "feed",
            "why": "broken: the connection was reset",
            "open_s": 2.0,
            "received": 1,
            "published": 1,
            "sent": 1,
            "again_in_s": 1.0,
        }

    def test_an_expected_end_is_no_warning(self) -> None:
        """And no next dial is promised."""
        feed = Dialogue()
        feed.live("a")
        feed.unwant("a")
        feed.lost(Loss(LossKind.CLOSED, code=1000))
        assert (feed.notes[-1].warning, "again_in_s" in feed.notes[-1].fields) == (False, False)
        assert feed.notes[-1].fields["why"] == "nobody wants anything of it"


class HttpTests:
    """HTTP before and beside the connection."""

    def feed(self) -> Dialogue:
        """Its URL needs a token."""
        feed = Dialogue(random=1.0, preparation=token_steps())
        feed.start()
        return feed

    def test_steps_before_the_connection(self) -> None:
        """They are made at each dial, and what they saved is the conversation's."""
        feed = self.feed()
        assert feed.want("a") == ["POST https://feed.example/token"]
        assert feed.after(9.9) == []
        assert feed.do(feed.session.replied, b'{"data": {"token": "t1"}}', 200, 0) == ["dial"]
        assert feed.talks[-1].saved == {"token": "t1"}
        assert feed.do(feed.session.replied, b'{"data": {"token": "t2"}}', 200, 0) == []
        assert feed.open() == ["+a"]
        feed.lost()
        assert feed.after(1) == ["POST https://feed.example/token"]

    def test_steps_that_fail(self) -> None:
        """Refused, unanswered, late: each is a failed dial, and a late reply to it changes nothing."""
        feed = self.feed()
        feed.want("a")
        assert feed.do(feed.session.replied, b"busy", 500, 0) == []
        assert feed.session.why == "http 500: connect.before: busy"
        assert feed.do(feed.session.replied, b'{"data": {"token": "t"}}', 200, 0) == []
        feed.after(1)
        assert feed.do(feed.session.unanswered, Loss(LossKind.CONNECT, text="refused"), 0) == []
        assert feed.session.why == "connect: refused"
        assert feed.do(feed.session.unanswered, Loss(LossKind.CONNECT, text="late"), 0) == []
        assert feed.after(2) == ["POST https://feed.example/token"]
        assert feed.after(10) == ["drop"]
        assert feed.session.why == "deadline: connecting took too long"

    def test_the_connection_has_its_own_time(self) -> None:
        """It begins when the steps are done."""
        feed = self.feed()
        feed.want("a")
        feed.after(9)
        feed.do(feed.session.replied, b'{"data": {"token": "t"}}', 200, 0)
        assert feed.after(14.9) == []
        assert feed.after(0.2) == ["drop"]

    def test_what_is_kept_is_kept_until_a_refusal(self) -> None:
        """A broken connection is no refusal; a 401 is."""
        feed = Dialogue(random=1.0, preparation=token_steps(keep=True))
        feed.start()
        feed.want("a")
        assert feed.do(feed.session.replied, b'{"data": {"token": "t1"}}', 200, 0) == ["dial"]
        feed.lost()
        assert feed.after(1) == ["dial"]
        assert feed.talks[-1].saved == {"token": "t1"}
        feed.lost(Loss(LossKind.HTTP, status=401))
        assert feed.after(300) == ["POST https://feed.example/token"]

    def test_requests_and_replies(self) -> None:
        """A request goes out as it is; its reply is a message like any other, if it still has a connection."""
        feed = Dialogue(dial_at_start=True)
        feed.live("a")
        assert feed.says("call") == ["GET http://feed.example/"]
        assert feed.do(feed.session.replied, b"a=9", 200, 1) == []
        assert feed.hub.read() == ["a=9"]
        assert feed.do(feed.session.unanswered, Loss(LossKind.CONNECT, text="refused"), 1) == []
        assert feed.hub.read() == ["a failed: HTTP status 503"]
        feed.lost()
        assert feed.do(feed.session.replied, b"a=10", 200, 1) == []
        assert feed.hub.read() == []


class UrlTests:
    """Topics that stand in the URL, and URLs that a message gives."""

    def test_a_change_is_a_new_connection(self) -> None:
        """Changes are gathered; one that is taken back changes nothing."""
        feed = Dialogue(topics_in_url=True, change_s=5.0)
        feed.talk_options = {"in_url": True}
        feed.want("a")
        assert feed.start() == ["dial ws://feed.example/?a"]
        assert feed.open() == []
        feed.says("a=1")
        assert feed.state is State.LIVE
        assert feed.want("b") == []
        feed.unwant("b")
        assert feed.after(60) == []
        feed.want("b")
        feed.after(3)
        feed.want("c")
        assert feed.after(2) == ["close"]
        assert feed.lost(Loss(LossKind.CLOSED, code=1000)) == ["dial ws://feed.example/?a,b,c"]
        feed.open()
        feed.says("a=2")
        feed.unwant("a")
        assert feed.after(5) == ["close"]
        assert feed.lost(Loss(LossKind.CLOSED, code=1000)) == ["dial ws://feed.example/?b,c"]

    def test_a_goodbye_that_says_where_to_go(self) -> None:
        """The next connection goes there, the one after it to the usual place."""
        feed = Dialogue(random=1.0)
        feed.live("a")
        assert feed.says("do drain ws://other.example/?x") == ["close"]
        feed.lost(Loss(LossKind.CLOSED, code=1000))
        assert feed.after(1) == ["dial ws://other.example/?x"]
        feed.lost()
        assert feed.after(2) == ["dial"]

    def test_a_cursor_that_the_upstream_does_not_know(self) -> None:
        """`forget-cursor` is told to whoever keeps it, and the dial is an ordinary one."""
        feed = Dialogue(random=1.0, reconnect=ReconnectSpec(status=(CodeRule(400, 400, "forget-cursor"),)))
        feed.start()
        feed.want("a")
        feed.lost(Loss(LossKind.HTTP, status=400))
        assert (feed.forgotten, feed.after(1)) == (1, ["dial"])


class RefreshTests:
    """A newcomer needs a snapshot."""

    def test_asked_for_anew(self) -> None:
        """On the same connection, if there is one that may send."""
        feed = Dialogue()
        feed.session.refresh("a", feed.now)
        feed.live("a")
        feed.session.refresh("a", feed.now)
        assert feed.settle() == ["-a", "+a"]
        feed.says("a#1")
        assert feed.hub.read() == ["a reconnecting", "a gap ? upstream", "a live", "a#1"]


class MoreOrderTests:
    """Inputs that come twice, or where they cannot."""

    def test_started_twice(self) -> None:
        """The second start changes nothing."""
        feed = Dialogue(random=1.0)
        feed.live("a")
        feed.lost()
        assert feed.start() == []
        assert feed.after(1) == ["dial"]

    def test_a_second_opening(self) -> None:
        """It cannot open twice."""
        feed = Dialogue()
        feed.live("a")
        with pytest.raises(OutOfOrder):
            feed.session.ws_open(feed.now)

    def test_an_opening_without_a_dial(self) -> None:
        """Steps were under way, and nothing was dialled."""
        feed = Dialogue(preparation=token_steps())
        feed.start()
        feed.want("a")
        feed.do(feed.session.tcp_up)
        with pytest.raises(OutOfOrder):
            feed.session.ws_open(feed.now)


class RealDialectTests:
    """The session with a real conversation: Coinbase Exchange, as tests/feeds/coinbase.yaml writes it."""

    def setup_method(self) -> None:
        path = Path(__file__).parents[2] / "feeds" / "coinbase.yaml"
        environ = {"CB_SECRET": "aw==", "CB_KEY": "key", "CB_PASS": "pass"}
        dialect = compile_upstream(load(str(path), environ).upstreams["coinbase"])
        self.now = 0.0
        self.sent: list[dict[str, Any]] = []
        self.hub = WritingHub()
        self.session: UpstreamSession[str] = UpstreamSession(
            "coinbase",
            UpstreamPolicy.of(dialect),
            self.hub,
            converse=lambda saved: Conversation(
                dialect,
                wall=lambda: 1_700_000_000.0,
                uuid=lambda: "u",
                secrets={f"env.{name}": value for name, value in environ.items()},
                saved=saved,
            ),
            random=lambda: 1.0,
            wall=lambda: WALL_S,
            windows=Windows(send=SlidingWindow(8, 1.0)),
        )
        self.session.start(self.now)

    def run(self) -> list[dict[str, Any]]:
        """Everything that is due at once; what was sent since the last time comes back decoded."""
        while self.session.next_deadline() <= self.now:
            self.carry_out(self.session.tick(self.now))
        sent, self.sent = self.sent, []
        return sent

    def carry_out(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                assert isinstance(effect.sending, Frame)
                self.sent.append(json.loads(effect.sending.payload))
            elif isinstance(effect, Drop):
                self.session.socket_closed()
            elif isinstance(effect, Dial):
                assert effect.request.url == "wss://ws-feed.exchange.coinbase.com"

    def want(self, channel: str, symbol: str) -> None:
        self.session.want(f"{channel}/{symbol}", {"channel": channel, "symbol": symbol}, self.now)

    def open(self) -> list[dict[str, Any]]:
        self.run()
        self.carry_out(self.session.tcp_up(self.now))
        self.carry_out(self.session.ws_open(self.now))
        return self.run()

    def says(self, **message: Any) -> list[str]:
        self.carry_out(self.session.message(json.dumps(message).encode(), True, self.now))
        return self.hub.read()

    def test_a_day_in_the_life(self) -> None:
        """Subscribe, confirm, live, gap, loss, back, unsubscribe."""
        self.want("ticker", "BTC-USD")
        self.want("matches", "BTC-USD")
        assert self.open() == [
            {"type": "subscribe", "channels": [{"name": "ticker", "product_ids": ["BTC-USD"]}]},
            {"type": "subscribe", "channels": [{"name": "heartbeat", "product_ids": ["BTC-USD"]}]},
            {"type": "subscribe", "channels": [{"name": "matches", "product_ids": ["BTC-USD"]}]},
        ]
        self.hub.read()
        channels = [{"name": name, "product_ids": ["BTC-USD"]} for name in ("ticker", "heartbeat", "matches")]
        assert self.says(type="subscriptions", channels=channels) == []
        assert {phase.value for phase, _ in self.session.topics.phases().values()} == {"confirmed"}
        ticker = {"type": "ticker", "product_id": "BTC-USD"}
        assert self.says(**ticker, price="1")[0] == "ticker/BTC-USD live"
        assert self.says(type="match", product_id="BTC-USD", trade_id=7)[0] == "matches/BTC-USD live"
        assert self.says(type="match", product_id="BTC-USD", trade_id=10)[0] == "matches/BTC-USD gap 2 upstream"
        self.now = 14.0
        self.says(type="heartbeat", product_id="BTC-USD", sequence=1)
        self.now = 28.0
        assert self.run() == []
        self.now = 29.0
        self.run()
        assert self.session.why == "deadline: no heartbeat within heartbeat.within"
        assert self.hub.read() == ["ticker/BTC-USD reconnecting", "matches/BTC-USD reconnecting"]
        self.session.unwant("matches/BTC-USD", self.now)
        self.now = 31.0
        assert self.open() == [
            {"type": "subscribe", "channels": [{"name": "ticker", "product_ids": ["BTC-USD"]}]},
            {"type": "subscribe", "channels": [{"name": "heartbeat", "product_ids": ["BTC-USD"]}]},
        ]
        self.hub.read()
        assert self.says(**ticker, price="2")[:2] == ["ticker/BTC-USD gap ? upstream", "ticker/BTC-USD live"]
        self.want("ticker", "ETH-USD")
        self.session.unwant("ticker/BTC-USD", self.now)
        assert self.run() == [
            {"type": "unsubscribe", "channels": [{"name": "ticker", "product_ids": ["BTC-USD"]}]},
            {"type": "unsubscribe", "channels": [{"name": "heartbeat", "product_ids": ["BTC-USD"]}]},
            {"type": "subscribe", "channels": [{"name": "ticker", "product_ids": ["ETH-USD"]}]},
            {"type": "subscribe", "channels": [{"name": "heartbeat", "product_ids": ["ETH-USD"]}]},
        ]
        assert self.hub.read() == ["ticker/ETH-USD pending", "ticker/BTC-USD forgotten"]
        assert self.says(**ticker, price="3") == []
        assert self.session.counters.unrouted == 1

    def test_one_bad_product(self) -> None:
        """The error does not say which: the batch is halved, and only the culprit fails."""
        for symbol in ("BTC-USD", "NO-USD"):
            self.want("ticker", symbol)
        self.open()
        self.hub.read()
        assert self.says(type="error", reason="NO-USD is not a valid product") == []
        assert self.run()[0]["channels"] == [{"name": "ticker", "product_ids": ["BTC-USD"]}]
        self.says(type="subscriptions", channels=[{"name": "ticker", "product_ids": ["BTC-USD"]}])
        assert self.run()[0]["channels"] == [{"name": "ticker", "product_ids": ["NO-USD"]}]
        assert self.says(type="error", reason="NO-USD is not a valid product") == [
            "ticker/NO-USD failed: NO-USD is not a valid product"
        ]


class PublishTests:
    """What clients publish."""

    HELLO = Upward(parse_publish("hello $data"), {}, b"5", True)

    def refused(self, feed: Dialogue) -> str:
        """Why nothing is taken."""
        with pytest.raises(TopicRefused) as caught:
            feed.session.publish(self.HELLO, feed.now)
        assert caught.value.code == "unavailable"
        return caught.value.message

    def test_at_once(self) -> None:
        """In the words of the feed; nobody has to read anything of it."""
        feed = Dialogue()
        feed.live("a")
        assert feed.do(feed.session.publish, self.HELLO) == ["hello 5"]

    def test_dialled_on_demand(self) -> None:
        """The first is refused and dials, the next is taken; a minute after the last the connection ends."""
        feed = Dialogue()
        feed.start()
        assert self.refused(feed) == AWAY[State.IDLE]
        assert feed.settle() == ["dial"]
        assert self.refused(feed) == AWAY[State.CONNECTING]
        assert feed.open() == []
        assert feed.do(feed.session.publish, self.HELLO) == ["hello 5"]
        assert feed.after(KEPT_S - 1) == []
        assert feed.do(feed.session.publish, self.HELLO) == ["hello 5"]
        assert feed.after(KEPT_S - 1) == []
        assert feed.after(1) == ["close"]
        assert self.refused(feed) == AWAY[State.DRAINING]

    def test_while_it_is_away(self) -> None:
        """Refused, and never said later."""
        feed = Dialogue()
        feed.talk_options = {"login": True}
        assert self.refused(feed) == AWAY[State.STOPPED]
        feed.start()
        feed.settle()
        feed.open()
        assert self.refused(feed) == AWAY[State.LOGIN]
        feed.lost()
        assert self.refused(feed) == AWAY[State.BACKOFF]
        feed.after(30)
        assert feed.open() == ["key"]
        assert feed.says("in") == []
        assert feed.do(feed.session.publish, self.HELLO) == ["hello 5"]


class SuccessionTests:
    """Sessions that take over from one another."""

    def test_asked_for_a_successor(self) -> None:
        """It goes on until it is retired, with its reason; then it ends for ever."""
        told: list[tuple[str, str | None]] = []
        feed = Dialogue()

        def renew(why: str, url: str | None) -> bool:
            told.append((why, url))
            feed.session.may_renew = False
            return True

        feed.session._renew = renew
        feed.live("a")
        assert feed.says("do drain ws://other/") == []
        assert told == [("the upstream asked us to come anew", "ws://other/")]
        feed.says("a=2")
        assert feed.hub.read() == ["a=2"]
        feed.session.retire("the upstream asked us to come anew")
        assert feed.settle() == ["close"]
        assert feed.lost() == []
        assert (feed.state, feed.after(1000.0)) == (State.STOPPED, [])

    def test_retired_without_a_connection(self) -> None:
        """It stops at once."""
        feed = Dialogue()
        feed.start()
        feed.want("a")
        feed.lost()
        feed.session.retire("old")
        assert (feed.settle(), feed.state) == ([], State.STOPPED)

    def test_followed(self) -> None:
        """The first dial goes where the upstream said; without haste where the old connection had not proved itself."""
        old, new = Dialogue(random=1.0), Dialogue(random=1.0)
        old.session._renew = lambda why, url: True
        old.live("a")
        old.session.may_renew = False
        old.says("do drain")
        new.session.follow(old.session, "ws://other/?1", new.now)
        new.start()
        assert new.want("a") == []
        assert new.after(1.0) == ["dial ws://other/?1"]

    def test_followed_at_once(self) -> None:
        """A connection that nobody asked to come anew, or that had lasted, is no reason to wait."""
        for asked, seconds in ((False, 0.0), (True, 601.0)):
            old, new = Dialogue(random=1.0), Dialogue(random=1.0)
            old.session._renew = lambda why, url: True
            old.live("a")
            old.after(seconds)
            if asked:
                old.session.may_renew = False
                old.says("do drain")
            new.now = old.now
            new.session.follow(old.session, None, new.now)
            new.start()
            assert new.want("a") == ["dial"]
