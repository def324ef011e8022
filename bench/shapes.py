"""python -m bench.shapes: microseconds of one upstream message, from the bytes of its frame to its topic's ring.

For each shape (a small ticker, a nested one, an array, a large book) 2,000 messages a round go four ways, in turn, and
the shapes take turns, too; the least of the rounds counts, since whatever else the machine does only adds to it:

  whole     the connection's protocol, the session, the fields, the hub, the ring
  frame     the same bytes through the same protocol, whose owner does nothing
  fields    the conversation alone: what the message is, and which topic wants it
  Struct    the least that could be done by hand: a msgspec Struct of the needed keys and one look-up

Exit status 0 when every target is met, 1 when one is missed.
"""

from __future__ import annotations

import argparse
import base64
import gc
import hashlib
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.task import Clock

from bench import machine
from relayd.config.compile import compile_routes
from relayd.config.compile_policy import compile_policy
from relayd.config.compile_upstream import compile_upstream
from relayd.config.load import loads
from relayd.core.counters import HubCounters
from relayd.core.feed.conversation import Conversation
from relayd.core.feed.outcome import Data, HttpRequest
from relayd.core.hub import Hub, HubLimits
from relayd.core.routes import RouteTable
from relayd.core.topics import Topic
from relayd.core.upstream.effects import DialRequest, Effects, Send
from relayd.core.upstream.session import UpstreamSession
from relayd.io.upstream import plan
from relayd.io.upstream_protocol import UpstreamFactory, UpstreamProtocol

FEEDS = Path(__file__).parent.parent / "tests" / "feeds"
MESSAGES, ROUNDS = 2000, 25
SMALL_MAX_US = 1.5
LARGE_RATIO_MAX = 1.3
LARGE_BYTES = 4096
PAYLOAD_MOST_BYTES = 16 << 20
_ACCEPT_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 4.2.2
_SECRETS = {"CB_KEY": "key", "CB_SECRET": "c2VjcmV0", "CB_PASS": "pass"}


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of message."""

    name: str
    feed: str
    topic: str
    say: Callable[[int], bytes]
    by_hand: Callable[[], Callable[[bytes], object]]
    answers: Sequence[bytes] = ()
    """What the upstream says to the subscription before data comes."""
    snapshot: bytes = b""
    """What it answers when a snapshot is fetched."""


# -- the shapes, with what a program written for that one feed would do ------------------------------------------------


class _Stream(msgspec.Struct):
    stream: str
    data: msgspec.Raw


class _Numbers(msgspec.Struct):
    U: int
    u: int


class _Depth(msgspec.Struct):
    stream: str
    data: _Numbers


class _Arg(msgspec.Struct):
    channel: str
    instId: str


class _Okx(msgspec.Struct):
    arg: _Arg


class _Coinbase(msgspec.Struct):
    type: str
    product_id: str


class _Bitfinex(msgspec.Struct, array_like=True):
    chan: int


def _stream_by_hand() -> Callable[[bytes], object]:
    decode, table = msgspec.json.Decoder(_Stream).decode, {"btcusdt@trade": 1}

    def read(payload: bytes) -> object:
        message = decode(payload)
        return table[message.stream], bytes(message.data)

    return read


def _depth_by_hand() -> Callable[[bytes], object]:
    decode, table = msgspec.json.Decoder(_Depth).decode, {"btcusdt@depth": 1}

    def read(payload: bytes) -> object:
        message = decode(payload)
        return table[message.stream], message.data.U, message.data.u

    return read


def _okx_by_hand() -> Callable[[bytes], object]:
    decode, table = msgspec.json.Decoder(_Okx).decode, {("tickers", "BTC-USDT"): 1}

    def read(payload: bytes) -> object:
        arg = decode(payload).arg
        return table[arg.channel, arg.instId]

    return read


def _coinbase_by_hand() -> Callable[[bytes], object]:
    decode, table = msgspec.json.Decoder(_Coinbase).decode, {("ticker", "BTC-USD"): 1}

    def read(payload: bytes) -> object:
        message = decode(payload)
        return table[message.type, message.product_id]

    return read


def _bitfinex_by_hand() -> Callable[[bytes], object]:
    decode, table = msgspec.json.Decoder(_Bitfinex).decode, {17: 1}
    return lambda payload: table[decode(payload).chan]


def _trade(n: int) -> bytes:
    return (
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":17%011d,"s":"BTCUSDT","t":%d,"p":"64000.10000000",'
        b'"q":"0.00100000","T":1700000000000,"m":true,"M":true}}' % (n, 4_000_000_000 + n)
    )


def _ticker(n: int) -> bytes:
    return (
        b'{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instType":"SPOT","instId":"BTC-USDT",'
        b'"last":"64000.%d","lastSz":"0.1","askPx":"64000.2","askSz":"1","bidPx":"64000","bidSz":"2","ts":"17%011d"}]}'
        % (n % 10, n)
    )


def _coinbase(n: int) -> bytes:
    return (
        b'{"type":"ticker","sequence":%d,"product_id":"BTC-USD","price":"64000.10","open_24h":"63000.00",'
        b'"volume_24h":"12000.12345678","low_24h":"62500.01","high_24h":"64500.99","volume_30d":"400000.12345678",'
        b'"best_bid":"64000.09","best_bid_size":"0.12345678","best_ask":"64000.10","best_ask_size":"0.87654321",'
        b'"side":"buy","time":"2026-01-01T00:00:00.000000Z","trade_id":%d,"last_size":"0.00012345"}'
        % (80_000_000_000 + n, 700_000_000 + n)
    )


def _bitfinex(n: int) -> bytes:
    return b'[17,"te",[1234567890,1700000000000,0.0015,64000.1],%d]' % (n + 3)


def _depth(n: int) -> bytes:
    rows = b",".join(b'["%d.%08d","%d.12345678"]' % (64000 - row, (n * 7 + row) % 10**8, row) for row in range(100))
    return (
        b'{"stream":"btcusdt@depth","data":{"e":"depthUpdate","E":17%011d,"s":"BTCUSDT","U":%d,"u":%d,"b":[%b],"a":[%b]}}'
        % (n, 10 * n + 1, 10 * n + 10, rows, rows)
    )


SHAPES = (
    Shape("Binance trade, payload slice", "binance", "binance/trade/btcusdt", _trade, _stream_by_hand),
    Shape("OKX ticker, nested", "okx", "okx/tickers/BTC-USDT", _ticker, _okx_by_hand),
    Shape("Coinbase ticker", "coinbase", "coinbase/ticker/BTC-USD", _coinbase, _coinbase_by_hand),
    Shape(
        "Bitfinex trade, array, learnt id, counter in last place",
        "bitfinex",
        "bitfinex/trades/tBTCUSD",
        _bitfinex,
        _bitfinex_by_hand,
        answers=(
            b'{"event":"info","version":2}',
            b'{"event":"subscribed","channel":"trades","chanId":17,"symbol":"tBTCUSD"}',
        ),
    ),
    Shape(
        "Binance depth, delta with numbers in its slice",
        "binance",
        "binance/book/btcusdt",
        _depth,
        _depth_by_hand,
        snapshot=b'{"lastUpdateId":0,"bids":[],"asks":[]}',
    ),
)


# -- the four ways -----------------------------------------------------------------------------------------------------


class _Socket:
    """The far end of a connection in memory: it keeps what the client wrote."""

    connected = True

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: bytes) -> None:
        self.written += data

    def writeSequence(self, parts: Sequence[bytes]) -> None:
        self.written += b"".join(parts)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class _Owner:
    """In the place of io/upstream: hands each message to `take`."""

    def __init__(self, take: Callable[[bytes, bool, float], object]) -> None:
        self.message = take
        self.monotonic = time.monotonic
        self.failed: object = None

    def lost(self, _: object, loss: object) -> None:
        self.failed = loss

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def opened(take: Callable[[bytes, bool, float], object]) -> tuple[UpstreamProtocol, _Owner]:
    """Autobahn's client as relayd sets it up, its handshake done, in memory."""
    owner: Any = _Owner(take)
    dial = plan(DialRequest(url="ws://127.0.0.1:9/"), None, "bench")
    factory = UpstreamFactory(owner, dial, Clock(), PAYLOAD_MOST_BYTES)
    protocol: UpstreamProtocol = factory.buildProtocol(None)
    socket = _Socket()
    protocol.makeConnection(socket)
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", bytes(socket.written))
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + _ACCEPT_SUFFIX).digest())
    protocol.dataReceived(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )
    assert protocol.state == protocol.STATE_OPEN
    return protocol, owner


def frame(payload: bytes) -> bytes:
    """A server's text frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    return b"\x81\x7e" + size.to_bytes(2, "big") + payload


Run = Callable[[Sequence[bytes]], object]
"""Takes one round of frames, or of payloads, by one of the four ways."""


class Relay:
    """Hub and upstream of one feed's file, as the daemon builds them, without sockets: live, its topics wanted."""

    def __init__(self, shape: Shape) -> None:
        config = loads((FEEDS / f"{shape.feed}.yaml").read_text("utf-8"), f"{shape.feed}.yaml", _SECRETS)
        (block,) = config.upstreams.values()
        self.hub = Hub(
            RouteTable(compile_routes(config)),
            HubLimits(topics=1000, topics_per_client=1000, ring_bytes=1 << 30),
            monotonic=time.monotonic,
            wall=time.time,
            call_later=lambda delay_s, call: None,
            epoch="bench",
            counters=HubCounters(),
        )
        self._dialect = compile_upstream(block)
        self._shape = shape
        self.conversation: Conversation[Topic]
        self.session: UpstreamSession[Topic] = UpstreamSession(
            shape.feed,
            compile_policy(self._dialect, block),
            self.hub,
            converse=self._converse,
            random=lambda: 0.5,
            wall=time.time,
        )
        self.ring = self.hub.topic(shape.topic).ring
        self._open()

    def _converse(self, saved: Mapping[str, object]) -> Conversation[Topic]:
        secrets = {f"env.{name}": value for name, value in _SECRETS.items()}
        self.conversation = Conversation(
            self._dialect, wall=time.time, uuid=lambda: "u", secrets=secrets, saved=saved
        )
        return self.conversation

    def _open(self) -> None:
        now = time.monotonic()
        topic = self.hub.topic(self._shape.topic)
        self.session.start(now)
        self.session.want(topic, topic.fields, now)
        self.session.tick(now)
        self.session.tcp_up(now)
        self._carry_out(self.session.ws_open(now))
        for answer in self._shape.answers:
            self.take(answer, True, now)

    def take(self, payload: bytes, is_text: bool, now: float) -> None:
        """As io/upstream does."""
        effects = self.session.message(payload, is_text, now)
        if effects:
            self._carry_out(effects)

    def _carry_out(self, effects: Effects) -> None:
        now = time.monotonic()
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.sending, HttpRequest):
                self._carry_out(self.session.replied(self._shape.snapshot, 200, effect.sending.number, now))


def whole(shape: Shape) -> Run:
    """From the bytes of a frame to the ring."""
    relay = Relay(shape)
    protocol, owner = opened(relay.take)

    def run(frames: Sequence[bytes]) -> None:
        before = relay.ring.end
        for one in frames:
            protocol.dataReceived(one)
        came = relay.ring.end - before
        assert came >= len(frames), f"{shape.name}: {came} of {len(frames)} reached the ring"
        assert owner.failed is None

    return run


def frames_alone(shape: Shape) -> Run:
    """The same frames, thrown away."""
    protocol, _ = opened(lambda payload, is_text, now: None)

    def run(frames: Sequence[bytes]) -> None:
        for one in frames:
            protocol.dataReceived(one)

    return run


def fields(shape: Shape) -> Run:
    """What a message is and who wants it, and nothing done with it."""
    relay = Relay(shape)
    hear = relay.conversation.message

    def run(payloads: Sequence[bytes]) -> None:
        for one in payloads:
            heard = hear(one, True)
        assert isinstance(heard, Data) and heard.topics, f"{shape.name}: {heard}"

    return run


def by_hand(shape: Shape) -> Run:
    """What a program for this feed alone would do."""
    read = shape.by_hand()

    def run(payloads: Sequence[bytes]) -> None:
        for one in payloads:
            read(one)

    return run


WAYS: Mapping[str, Callable[[Shape], Run]] = {
    "whole": whole,
    "frame": frames_alone,
    "fields": fields,
    "Struct": by_hand,
}


class Measured:
    """One shape on its four ways: the bytes of a message, and the least us of it by each."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.size_bytes = len(shape.say(0))
        self._runs = {name: make(shape) for name, make in WAYS.items()}
        self.us = dict.fromkeys(WAYS, float("inf"))

    def round(self, number: int) -> None:
        """The next messages, each way in turn. Of round 0 every connection learns, and it does not count."""
        payloads = [self.shape.say(n) for n in range(number * MESSAGES, (number + 1) * MESSAGES)]
        frames = [frame(payload) for payload in payloads]
        for name, run in self._runs.items():
            given = frames if name in ("whole", "frame") else payloads
            start = time.process_time()
            run(given)
            if number:
                self.us[name] = min(self.us[name], (time.process_time() - start) * 1e6 / MESSAGES)


def measure(rounds: int) -> list[Measured]:
    """All shapes, in turn, round after round: a slow second of the machine hits all of them."""
    measured = [Measured(shape) for shape in SHAPES]
    for number in range(rounds + 1):
        for one in measured:
            one.round(number)
    return measured


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.shapes", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"the least of so many counts (default {ROUNDS})")
    asked = parser.parse_args(argv)
    for name, value in machine.facts().items():
        print(f"{name}: {value}")
    gc.set_threshold(50_000, 20, 100)  # as relayd/app sets it
    print(f"\n{MESSAGES} messages a round, us each")
    print("                    bytes   whole   frame's share  fields  Struct  fields/Struct")
    missed = 0
    for one in measure(asked.rounds):
        size, us = one.size_bytes, one.us
        ratio = us["fields"] / us["Struct"]
        large = size >= LARGE_BYTES
        met = ratio <= LARGE_RATIO_MAX if large else us["fields"] <= SMALL_MAX_US
        target = f"fields <= {LARGE_RATIO_MAX} x Struct" if large else f"fields <= {SMALL_MAX_US} us"
        missed += not met
        print(
            f"{one.shape.name}\n{size:25,d}{us['whole']:8.2f}{us['frame'] / us['whole']:16.0%}{us['fields']:8.2f}"
            f"{us['Struct']:8.2f}{ratio:15.2f}  {'ok' if met else 'MISSED'}: {target}"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
