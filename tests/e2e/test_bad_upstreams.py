"""Upstreams that refuse, hang, answer nonsense or leave: browsers are told, the log says why, and the dials are few."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from websockets.sync.client import connect

from tests.support import bad_upstream
from tests.support.bad_upstream import BadUpstream
from tests.support.daemon import Exchange, Start
from tests.support.ports import free_port
from tests.support.waiting import eventually

CONFIG = """\
listeners:
  - endpoint: tcp:$PORT:interface=127.0.0.1
upstreams:
  bad:
    connect: {url: "$BAD", within: 1s}
    topic: {at: {symbol: s}}
    subscribe: {send: {op: $verb, symbol: $symbol}}
    reconnect: {min: 200ms, max: 1s, settle: 5s}
  good:
    connect: {url: "$GOOD"}
    topic: {at: {channel: type, symbol: product_id}}
    subscribe: {each: $symbol, send: {type: $verb, channels: [{name: $channel, product_ids: $topics}]}}
    control: [{when: {type: subscriptions}, ack: {all: channels, at: {channel: name, symbol: product_ids}}}]
routes:
  - {topic: bad/$symbol, upstream: bad, allow: {symbol: any}}
  - {topic: good/$channel/$symbol, upstream: good, allow: {channel: [ticker], symbol: "*-USD"}}
"""

# case -> what the upstream does, what the log says of it, what browsers are told
CASES: dict[str, tuple[Callable, str, str]] = {
    "hangs in the handshake": (bad_upstream.hangs, "deadline", "reconnecting"),
    "answers 401": (bad_upstream.answers("401 Unauthorized"), "http 401", "failed"),
    "answers 429": (bad_upstream.answers("429 Too Many Requests", "Retry-After: 3"), "http 429", "reconnecting"),
    "answers 503": (bad_upstream.answers("503 Service Unavailable"), "http 503", "reconnecting"),
    "sends garbage": (bad_upstream.sends_garbage, "handshake", "reconnecting"),
    "sends bad frames": (bad_upstream.sends_bad_frames, "protocol", "reconnecting"),
    "closes at once for ever": (bad_upstream.closes_at_once, "broken", "reconnecting"),
}


def read_until(client, wanted: Callable[[dict], bool], within_s: float = 10) -> dict:
    """Reads messages until one is wanted."""
    deadline = time.monotonic() + within_s
    while True:
        message = json.loads(client.recv(timeout=max(0.01, deadline - time.monotonic())))
        if wanted(message):
            return message


def is_state(state: str) -> Callable[[dict], bool]:
    """Whether a message says this of the bad topic."""
    return lambda m: (m.get("op"), m.get("topic"), m.get("state")) == ("state", "bad/A", state)


class BadUpstreamTests:
    """Each beside a good one, which must not notice."""

    @pytest.mark.parametrize("case", CASES)
    def test_told_and_bounded(self, start: Start, exchange: Exchange, case: str):
        """The topic's state, one line of log with the reason, at most a dial a back-off; the good feed flows on."""
        behave, logged, state = CASES[case]
        with BadUpstream(behave) as upstream:
            daemon = start(CONFIG.replace("$BAD", upstream.url).replace("$GOOD", exchange.feed))
            with connect(daemon.url("/ws?topics=bad/A,good/ticker/BTC-USD")) as client:
                told = read_until(client, is_state(state))
                assert told["why"], "a state without a reason"
                daemon.says(rf"bad.*{logged}")
                dialled, since = upstream.dialled, time.monotonic()
                read_until(client, lambda m: m.get("topic") == "good/ticker/BTC-USD" and "data" in m)
                time.sleep(2)
                # The shortest back-off is 200 ms with full jitter, so ten a second would already be a storm.
                assert upstream.dialled - dialled <= 10 * (time.monotonic() - since)
            assert daemon.stop() == 0
            assert "Traceback" not in daemon.output
            warned = [line for line in daemon.output.splitlines() if " warn " in line or " error " in line]
            assert len(warned) <= 2 * upstream.dialled + 2, "more than a line or two for each attempt"

    def test_refuses(self, start: Start, exchange: Exchange):
        """Nobody listens there; when somebody does, the topic comes to life by itself."""
        port = free_port()
        daemon = start(CONFIG.replace("$BAD", f"ws://127.0.0.1:{port}/").replace("$GOOD", exchange.feed))
        with connect(daemon.url("/ws?topics=bad/A")) as client:
            told = read_until(client, is_state("reconnecting"))
            assert told["why"]
            daemon.says(r"bad.*connect.*refused")
        assert daemon.stop() == 0

    def test_comes_back(self, start: Start, exchange: Exchange):
        """The exchange refuses for a while: `reconnecting`, then `live` and data again, without a new connection."""
        daemon = start(CONFIG.replace("$BAD", "ws://127.0.0.1:9/").replace("$GOOD", exchange.feed))
        topic = "good/ticker/BTC-USD"
        with connect(daemon.url(f"/ws?topics={topic}")) as client:
            read_until(client, lambda m: "data" in m)
            exchange.tell("/refuse?status=503")
            exchange.tell("/drop")
            read_until(client, lambda m: m.get("state") == "reconnecting")
            exchange.tell("/refuse")
            read_until(client, lambda m: m.get("state") == "live", 15)
            read_until(client, lambda m: "data" in m)

    def test_never_dialled_for_nobody(self, start: Start, exchange: Exchange):
        """An upstream whose topics nobody wants is left in peace."""
        with BadUpstream(bad_upstream.closes_at_once) as upstream:
            daemon = start(CONFIG.replace("$BAD", upstream.url).replace("$GOOD", exchange.feed))
            eventually(lambda: daemon.get("/topics")[0] == 200, "relayd serves")
            time.sleep(0.5)
            assert upstream.dialled == 0
