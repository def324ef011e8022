"""A whole relay in front of a simulated feed, from the feed's own relay.yaml, and a browser behind it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.trial.unittest import TestCase

from relayd.app import Relay, build
from relayd.config.load import loads
from tests.feedsim.journal import LOST, most_in, unaccounted
from tests.feedsim.profile import Profile
from tests.feedsim.simulator import Simulator
from tests.support.browser import TEXT, Browser, handshake

reactor: Any = global_reactor

FEEDS = Path(__file__).parents[1] / "feeds"
FILES = {"wamp": "crossbar"}
"""Profiles whose file has another name."""
ADDRESS = re.compile(r"(ws|http)s?://[^/\"'\s]+")


class Rig:
    """`start`, then `await browse()`; `await stop()` at the end."""

    def __init__(self, profile: type[Profile], edit: Callable[[str], str] = str) -> None:
        """`edit` changes the text of the feed's file, for tests that cannot wait for its durations."""
        self.simulator = Simulator(profile, reactor)
        self.feed: Any = self.simulator.profile
        self.journal = self.simulator.journal
        self._edit = edit
        self._relay: Relay | None = None
        self._browsers: list[Browser] = []

    def start(self) -> None:
        """Both listen."""
        self.simulator.start()
        self.start_relay()

    def start_relay(self) -> None:
        """The relay listens."""
        name = FILES.get(self.feed.name, self.feed.name)
        text = (FEEDS / f"{name}.yaml").read_text("utf-8").replace("tcp:8080", "tcp:0:interface=127.0.0.1")
        text = ADDRESS.sub(lambda hit: f"{hit[1]}://{self.simulator.host}", text)
        text = self._edit(text)
        config = loads(text, f"{name}.yaml", self.feed.environ)
        service = build(config, reactor, environ=self.feed.environ)
        assert isinstance(service, Relay)
        self._relay = service
        service.startService()

    @property
    def relay(self) -> Relay:
        """The running relay."""
        assert self._relay is not None
        return self._relay

    @property
    def fleet(self) -> Any:
        """The connections of its one upstream."""
        [upstream] = self.relay.upstreams.values()
        return upstream.fleet

    @property
    def session(self) -> Any:
        """The session that stands for it."""
        return self.fleet.main

    async def stop_relay(self) -> None:
        """The relay alone."""
        for browser in self._browsers:
            if browser.lost is None:
                browser.transport.abortConnection()
        for browser in self._browsers:
            await browser.until(lambda browser=browser: browser.lost is not None)
        self._browsers.clear()
        relay, self._relay = self.relay, None
        await relay.stopService()
        for delayed in reactor.getDelayedCalls():
            if "_look" in repr(delayed) or "welcome" in repr(delayed):
                delayed.cancel()

    async def stop(self) -> None:
        """All of it."""
        if self._relay is not None:
            await self.stop_relay()
        await self.simulator.stop()

    async def browse(self, topics: list[str] | None = None) -> Watcher:
        """A browser of these topics, of all of the profile otherwise."""
        names = list(self.feed.topics) if topics is None else topics
        [listener] = [one for one in self.relay.listeners.services if hasattr(one, "port")]
        place = f"tcp:127.0.0.1:{listener.port.getHost().port}"
        browser = await connectProtocol(clientFromString(reactor, place), Browser())
        self._browsers.append(browser)
        browser.transport.write(handshake("/ws"))
        await browser.until(lambda: browser.head is not None or browser.lost)
        browser.say(op="subscribe", id=1, topics=names)
        await browser.until(lambda: any(one.get("op") == "subscribed" for one in browser.messages))
        return Watcher(browser, jumps_tell=self.feed.conflated)

    async def subscribed(self, *keys: str, within_s: float = 5.0) -> None:
        """Waits until the feed has these subscriptions, of the whole profile otherwise, and no others."""
        wanted = set(keys or self.feed.topics.values())

        def reached() -> bool:
            got: set[str] = set().union(*(peer.subscribed for peer in self.simulator.open))
            return bool(wanted <= got)

        await eventually(reached, within_s, "subscribed")

    async def caught_up(self, watcher: Watcher, within_s: float = 5.0) -> None:
        """Waits until the browser has the last message of every topic that was sent."""

        def reached() -> bool:
            for topic, told in self.journal.told.items():
                sent = [one.payload for one in told if one.sent]
                got = [one for one in watcher.received(topic) if one is not LOST]
                if len(got) < len(sent):
                    return False
            return True

        await eventually(reached, within_s, "caught up")

    async def caught_up_with(self, watcher: Watcher, topic: str, within_s: float = 5.0) -> None:
        """Waits until the browser has as many messages of a topic as were sent."""
        sent = sum(one.sent for one in self.journal.told[topic])
        await eventually(lambda: sum(one is not LOST for one in watcher.received(topic)) >= sent, within_s, "caught up")

    def broken_limits(self) -> list[str]:
        """Which rates of the feed's file were exceeded in any window, as the simulator counted; empty = none."""
        [limits] = [one.limits for one in self.relay.config.upstreams.values()]
        journal = self.journal
        asks = [one.at for one in journal.heard if "subscribe" in one.text]
        counted = (
            ("send", limits.send, journal.most_sent_in),
            ("connect", limits.connect, journal.most_connects_in),
            ("http", limits.http, journal.most_requests_in),
            ("subscribe", limits.subscribe, lambda span_s: most_in(asks, span_s)),
        )
        return [
            f"limits.{name}: {most(rate.period_s)} in {rate.period_s:g} s"
            for name, rate, most in counted
            if rate is not None and most(rate.period_s) > rate.count
        ]

    def unaccounted(self, watcher: Watcher) -> dict[str, list[str]]:
        """What is wrong with what the browser received, by topic; empty = nothing."""
        found = {topic: unaccounted(told, watcher.received(topic)) for topic, told in self.journal.told.items()}
        return {topic: problems for topic, problems in found.items() if problems}


class Watcher:
    """A browser on `/ws`, and what it received."""

    def __init__(self, browser: Browser, *, jumps_tell: bool = False) -> None:
        """`jumps_tell`: a jump in the offsets is the mark of a loss, as on conflated routes."""
        self.browser = browser
        self._jumps_tell = jumps_tell

    def received(self, topic: str) -> list[bytes | None]:
        """The payloads of a topic byte for byte, `LOST` where it was told of a loss."""
        found: list[bytes | None] = []
        last = None
        for opcode, raw in self.browser.frames:
            if opcode != TEXT:
                continue
            message = _head(raw)
            if message.get("topic") != topic:
                continue
            if message.get("op") == "lost":
                found.append(LOST)
            elif "op" not in message:
                if self._jumps_tell and last is not None and message["offset"] > last + 1:
                    found.append(LOST)
                last = message["offset"]
                found.append(raw[raw.index(b'"data":') + 7 : -1])
        return found

    def states(self, topic: str) -> list[tuple[str, str]]:
        """What it was told of a topic's state, with the reason."""
        return [
            (one["state"], one.get("why", ""))
            for one in self.browser.messages
            if one.get("op") == "state" and one["topic"] == topic
        ]


def _head(raw: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(raw)
    return value


def turn(seconds: float = 0.0) -> Deferred[None]:
    """Fires on a later turn of the reactor."""
    later: Deferred[None] = Deferred()
    reactor.callLater(seconds, later.callback, None)
    return later


async def eventually(condition: Callable[[], Any], within_s: float = 5.0, what: str = "it") -> None:
    """Waits, turn by turn, until the condition holds. Raises AssertionError when it does not in time."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, f"{what} did not come true within {within_s:g} s"
        await turn(0.005)


class FeedCase(TestCase):
    """A relay in front of one simulated feed."""

    timeout = 20

    def run_feed(self, profile: type[Profile], edit: Callable[[str], str] = str) -> Rig:
        """Start both; they are stopped at the end."""
        rig = Rig(profile, edit)
        rig.start()
        self.addCleanup(rig.stop)
        return rig
