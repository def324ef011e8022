"""Upstreams that refuse, hang, answer nonsense or leave: browsers are told, the log says why, and the dials are few.

All of them stand in one relay.yaml, beside a good one, and are watched at the same time.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support import bad_upstream
from tests.support.bad_upstream import BadUpstream, Behaviour
from tests.support.daemon import Daemon, Exchange, Start
from tests.support.ports import free_port
from tests.support.wheel import Installation

#: One relayd serves them all, so one worker runs them all.
pytestmark = pytest.mark.xdist_group("bad-upstreams")

GOOD = """\
listeners:
  - endpoint: tcp:$PORT:interface=127.0.0.1
upstreams:
  good:
    connect: {url: "$GOOD"}
    topic: {at: {channel: type, symbol: product_id}}
    subscribe: {each: $symbol, send: {type: $verb, channels: [{name: $channel, product_ids: $topics}]}}
    control: [{when: {type: subscriptions}, ack: {all: channels, at: {channel: name, symbol: product_ids}}}]
    reconnect: {min: 200ms, max: 1s, settle: 5s}
"""
BAD = """\
  $NAME:
    connect: {url: "$URL", within: 1s}
    topic: {at: {symbol: s}}
    subscribe: {send: {op: $verb, symbol: $symbol}}
    reconnect: {min: 200ms, max: 1s, settle: 5s}
"""
ROUTES = """\
routes:
  - {topic: good/$channel/$symbol, upstream: good, allow: {channel: [ticker], symbol: "*-USD"}}
"""
GOOD_TOPIC = "good/ticker/BTC-USD"
WATCHED_S = 4.0

# name -> what the upstream does, what the log says of it
CASES: dict[str, tuple[Behaviour, str]] = {
    "hangs": (bad_upstream.hangs, r"cannot be reached: deadline"),
    "answers-401": (bad_upstream.answers("401 Unauthorized"), r"refuses us: http 401: Unauthorized"),
    "answers-429": (
        bad_upstream.answers("429 Too Many Requests", "Retry-After: 3"),
        r"cannot be reached: http 429: Too Many Requests .*again_in_s=[34]",
    ),
    "answers-503": (bad_upstream.answers("503 Service Unavailable"), r"cannot be reached: http 503"),
    "garbage": (bad_upstream.sends_garbage, r"cannot be reached: handshake: the answer is no HTTP/1\.1"),
    "bad-frames": (bad_upstream.sends_bad_frames, r"ended: protocol"),
    "closes-at-once": (bad_upstream.closes_at_once, r"ended: broken"),
}


@dataclass
class Watched:
    """What was seen while a browser wanted a topic of every upstream."""

    log: str
    messages: list[dict]
    dialled: dict[str, int]

    def of(self, topic: str) -> list[dict]:
        """The messages about a topic."""
        return [message for message in self.messages if message.get("topic") == topic]


@pytest.fixture(scope="module")
def watched(relayd: Installation) -> Iterator[Watched]:
    """One relay before all of them, for four seconds."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relayd-")))
        bad = {name: stack.enter_context(BadUpstream(behave)) for name, (behave, _) in CASES.items()}
        exchange = stack.enter_context(Exchange(relayd, place))
        port = free_port()
        blocks = [BAD.replace("$NAME", name).replace("$URL", upstream.url) for name, upstream in bad.items()]
        routes = [f"  - {{topic: {name}/$symbol, upstream: {name}, allow: {{symbol: any}}}}\n" for name in bad]
        config = "".join([GOOD, *blocks, ROUTES, *routes]).replace("$PORT", str(port)).replace("$GOOD", exchange.feed)
        file = place / "relay.yaml"
        file.write_text(config)
        daemon = stack.enter_context(Daemon(relayd, file, port))
        daemon.listens()
        messages = []
        with connect(daemon.url(f"/ws?topics={','.join([GOOD_TOPIC, *(f'{name}/A' for name in bad)])}")) as client:
            ends = time.monotonic() + WATCHED_S
            while (left := ends - time.monotonic()) > 0:
                with suppress(TimeoutError):
                    messages.append(json.loads(client.recv(timeout=left)))
        assert daemon.stop() == 0
        yield Watched(daemon.output, messages, {name: upstream.dialled for name, upstream in bad.items()})


class BadUpstreamTests:
    """Each beside the others."""

    @pytest.mark.parametrize("name", CASES)
    def test_the_log_says_why(self, watched: Watched, name: str):
        """In a line or two for each attempt, and one alarm when they do not last."""
        lines = re.findall(rf"^.* upstream {name} .*$", watched.log, re.MULTILINE)
        assert any(re.search(CASES[name][1], line) for line in lines), watched.log
        assert len(lines) <= 2 * watched.dialled[name] + 1

    @pytest.mark.parametrize("name", CASES)
    def test_attempts_are_few(self, watched: Watched, name: str):
        """Full jitter below a ceiling that doubles from 200 ms to 1 s: about two attempts a second."""
        assert 1 <= watched.dialled[name] <= 10 * WATCHED_S

    @pytest.mark.parametrize("name", CASES)
    def test_nothing_is_called_live(self, watched: Watched, name: str):
        """No state `live` and no data for a topic that never had any."""
        assert not [m for m in watched.of(f"{name}/A") if m.get("state") == "live" or "data" in m]

    def test_refusal_fails_the_topic(self, watched: Watched):
        """A browser is told `failed` and why; the upstream is asked once, since coming back soon would not help."""
        (told,) = [m for m in watched.of("answers-401/A") if m.get("state") == "failed"]
        assert "401" in told["why"]
        assert watched.dialled["answers-401"] == 1

    def test_retry_after_is_kept(self, watched: Watched):
        """Three seconds asked for are three seconds waited."""
        assert watched.dialled["answers-429"] <= 2

    def test_the_good_one_flows(self, watched: Watched):
        """It does not notice its neighbours."""
        assert [m for m in watched.of(GOOD_TOPIC) if "data" in m]

    def test_no_traceback(self, watched: Watched):
        """What a stranger does is no surprise."""
        assert "Traceback" not in watched.log


class LossTests:
    """An upstream that was good."""

    def test_refuses(self, start: Start):
        """Nobody listens there: the log says so, and whoever asks over HTTP gets a 504."""
        dead = BAD.replace("$NAME", "dead").replace("$URL", f"ws://127.0.0.1:{free_port()}/")
        route = "  - {topic: dead/$symbol, upstream: dead, allow: {symbol: any}}\n"
        daemon = start("".join([GOOD, dead, ROUTES, route]).replace("$GOOD", "ws://127.0.0.1:9/"))
        status, answer = daemon.get("/topics/dead/A?wait=500ms")
        assert (status, answer["code"]) == (504, "unavailable")
        assert "upstream" in answer["message"]
        daemon.says(r"upstream dead cannot be reached: connect: .*refused")

    def test_comes_back(self, start: Start, exchange: Exchange):
        """`reconnecting`, then `live` and data again, on the browser's same connection."""
        daemon = start((GOOD + ROUTES).replace("$GOOD", exchange.feed))
        with connect(daemon.url(f"/ws?topics={GOOD_TOPIC}")) as client:
            read_until(client, lambda m: "data" in m)
            exchange.tell("/refuse?status=503")
            exchange.tell("/drop")
            read_until(client, lambda m: m.get("state") == "reconnecting")
            exchange.tell("/refuse")
            read_until(client, lambda m: m.get("state") == "live")
            read_until(client, lambda m: "data" in m)

    def test_never_dialled_for_nobody(self, start: Start):
        """An upstream whose topics nobody wants is left in peace."""
        with BadUpstream(bad_upstream.closes_at_once) as upstream:
            daemon = start((GOOD + ROUTES).replace("$GOOD", upstream.url))
            assert daemon.get("/topics")[0] == 200
            time.sleep(0.5)
            assert upstream.dialled == 0


def read_until(client: ClientConnection, wanted: Callable[[dict], bool], within_s: float = 15) -> dict:
    """Reads messages until one is wanted."""
    deadline = time.monotonic() + within_s
    while True:
        message = json.loads(client.recv(timeout=max(0.01, deadline - time.monotonic())))
        if wanted(message):
            return message
