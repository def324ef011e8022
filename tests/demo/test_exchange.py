"""The exchange over real loopback, read by a plain client; and the same in a process of its own."""

from __future__ import annotations

import json
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.error import CannotListenError
from twisted.trial.unittest import TestCase
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from relayd.demo.exchange import make_exchange
from relayd.demo.journal import Journal
from tests.support.process import Program

ROOT = Path(__file__).parents[2]
HANDSHAKE = (
    b"GET /firehose HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
BIG = Random(1).randbytes(3 * 1024 * 1024)


class Exchange:
    """The running exchange and its control port."""

    def __init__(self, places: dict[str, object]) -> None:
        self.url, self.firehose, self.control = (str(places[key]) for key in ("url", "firehose", "control"))

    def post(self, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> dict:
        request = urllib.request.Request(self.control + path, body, headers or {}, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def get(self, path: str) -> dict:
        with urllib.request.urlopen(self.control + path, timeout=10) as answer:
            return json.load(answer)

    @contextmanager
    def feed(self, *channels: str, products: tuple[str, ...] = ("BTC-USD",)) -> Iterator[ClientConnection]:
        """A connection that has subscribed and read the answer."""
        with connect(self.url, max_size=None) as connection:
            connection.send(json.dumps({"type": "subscribe", "channels": channels, "product_ids": products}))
            assert json.loads(connection.recv(5))["type"] == "subscriptions"
            yield connection


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    """One exchange for the module; each test leaves it speaking."""
    command = [sys.executable, "-m", "relayd.demo.exchange", "--port", "0", "--seed", "1", "--control-port", "0"]
    with Program(command, ROOT) as program:
        yield Exchange(json.loads(program.says(r'^\{.*"control_port".*\}$')[0]))


def read(connection: ClientConnection, kind: str, within_s: float = 5.0) -> dict:
    """The next message of a type; others are skipped."""
    while True:
        message = json.loads(connection.recv(within_s))
        if message["type"] == kind:
            return message


class FeedTests:
    """A plain WebSocket client on the feed."""

    def test_it_reads_all_channels(self, exchange: Exchange) -> None:
        """Snapshots, trades, tickers, beats."""
        with exchange.feed("ticker", "matches", "level2", "heartbeat") as connection:
            kinds = {json.loads(connection.recv(5))["type"] for _ in range(40)}
        assert kinds == {"ticker", "last_match", "match", "snapshot", "l2update", "heartbeat"}

    def test_a_ping_is_answered_even_by_a_mute_exchange(self, exchange: Exchange) -> None:
        """That is what fools a watchdog: pongs, and no data."""
        with exchange.feed("ticker") as connection:
            read(connection, "ticker")
            exchange.post("mute")
            try:
                assert connection.ping().wait(5)
                while True:
                    connection.recv(0.4)
            except TimeoutError:
                pass
            finally:
                exchange.post("unmute")
            read(connection, "ticker")

    def test_dropping_cuts_without_a_close_frame(self, exchange: Exchange) -> None:
        """The client sees an abnormal end, code 1006."""
        with exchange.feed("ticker") as connection:
            exchange.post("drop")
            with pytest.raises(ConnectionClosed) as caught:
                while True:
                    connection.recv(5)
        assert caught.value.rcvd is None

    def test_refusing_answers_the_handshake(self, exchange: Exchange) -> None:
        """With the status that was asked for, until it is taken back."""
        exchange.post("refuse?status=503")
        try:
            with pytest.raises(InvalidStatus) as caught, connect(exchange.url):
                pass
            assert caught.value.response.status_code == 503
        finally:
            exchange.post("refuse")
        with exchange.feed("ticker") as connection:
            read(connection, "ticker")

    def test_there_are_two_paths(self, exchange: Exchange) -> None:
        """Anything else is a 404."""
        with pytest.raises(InvalidStatus) as caught, connect(exchange.url + "other"):
            pass
        assert caught.value.response.status_code == 404

    def test_a_price_set_by_hand_arrives(self, exchange: Exchange) -> None:
        """As the next trade of that product."""
        with exchange.feed("ticker", products=("ADA-USD",)) as connection:
            read(connection, "ticker")
            exchange.post("price?product=ADA-USD&price=0.77777")
            while (price := read(connection, "ticker")["price"]) != "0.77777":
                assert price.startswith("0.4")

    def test_an_oversized_request_ends_the_connection(self, exchange: Exchange) -> None:
        """With 1009 or an abnormal end, never with an answer."""
        with exchange.feed("raw") as connection:
            connection.send(b"x" * 70_000)
            with pytest.raises(ConnectionClosed):
                connection.recv(5)


class FirehoseTests:
    """The endpoint that pushes unasked."""

    def test_any_payload_goes_through_unchanged(self, exchange: Exchange) -> None:
        """Text, empty, binary and 3 MiB: what arrives has the journal's hashes, in order."""
        with connect(exchange.firehose, max_size=None) as connection:
            after = exchange.get("journal")["frames"]
            for payload, binary in (("héllo".encode(), 0), (b"", 0), (b"", 1), (b"\x00\xff", 1), (BIG, 1)):
                assert exchange.post(f"raw?topic=firehose&binary={binary}", payload) == {"sent": 1}
            received = [connection.recv(5) for _ in range(5)]
        hashes = [sha256(item.encode() if isinstance(item, str) else item).hexdigest() for item in received]
        journal = exchange.get(f"journal?topic=firehose&after={after}")
        assert [entry["sha256"] for entry in journal["entries"]] == hashes
        assert [entry["is_text"] for entry in journal["entries"]] == [True, True, False, False, False]
        assert received[4] == BIG

    def test_a_reader_that_does_not_read_is_cut(self, exchange: Exchange) -> None:
        """Once it left more than 16 MiB; others go on."""
        before = exchange.get("status")["counters"]["slow_readers"]
        with socket.create_connection(urlsplit(exchange.firehose).netloc.split(":")) as slow:
            slow.sendall(HANDSHAKE)
            assert slow.recv(12) == b"HTTP/1.1 101"
            for _ in range(14):
                exchange.post("raw?topic=firehose&binary=1", BIG)
            assert exchange.get("status")["counters"]["slow_readers"] == before + 1
        with exchange.feed("ticker") as connection:
            read(connection, "ticker")


class ControlTests:
    """The HTTP side, over its port."""

    def test_the_status_names_products_and_connections(self, exchange: Exchange) -> None:
        """What a page needs to draw its buttons."""
        with exchange.feed("ticker"):
            status = exchange.get("status")
        assert status["products"][0] == "BTC-USD"
        assert status["connections"] >= 1

    def test_a_bad_request_says_what_is_wrong(self, exchange: Exchange) -> None:
        """Status, code and a sentence."""
        with pytest.raises(urllib.error.HTTPError) as caught:
            exchange.post("skip")
        assert caught.value.code == 400
        assert json.load(caught.value) == {"code": "bad_request", "message": "product: missing"}


class Reader(WebSocketClientProtocol):
    """A client in the exchange's own process."""

    def onOpen(self) -> None:
        self.factory.opened.callback(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.factory.messages.put((payload, isBinary))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if not self.factory.opened.called:
            self.factory.opened.errback(ConnectionError(reason))
        self.factory.closed.callback((code, reason))


class ServiceTests(TestCase):
    """The exchange as a part of another program."""

    def setUp(self) -> None:
        self.journal = Journal()
        self.exchange = make_exchange(reactor, seed=4, journal=self.journal)
        self.exchange.startService()

    async def tearDown(self) -> None:
        if self.exchange.running:
            await self.exchange.stopService()

    def dial(self, url: str) -> WebSocketClientFactory:
        """A client on its way; its `opened` fires with it, `messages` has what it is told, `closed` its end."""
        factory = WebSocketClientFactory(url, reactor=reactor)
        factory.setProtocolOptions(openHandshakeTimeout=0, closeHandshakeTimeout=0, maxMessagePayloadSize=2**23)
        factory.protocol, factory.noisy = Reader, False
        factory.opened, factory.closed, factory.messages = Deferred(), Deferred(), DeferredQueue()
        reactor.connectTCP("127.0.0.1", self.exchange.bind(), factory)
        return factory

    async def test_a_client_gets_what_the_journal_has(self) -> None:
        """In order and byte for byte; stopping cuts it and frees the port."""
        client = self.dial(self.exchange.url)
        line = await client.opened
        request = {"type": "subscribe", "channels": ["ticker", "level2"], "product_ids": ["BTC-USD", "ETH-USD"]}
        line.sendMessage(json.dumps(request).encode())
        received = [await client.messages.get() for _ in range(12)]
        entries = list(self.journal.entries())[:12]
        assert [payload for payload, _ in received] == [entry.payload for entry in entries]
        assert not any(is_binary for _, is_binary in received)
        await self.exchange.stopService()
        assert (await client.closed)[0] in (1006, None)
        assert self.exchange.floor.connections == 0

    async def test_refusals_and_unknown_paths_are_answered(self) -> None:
        """With their status; nobody is on the floor then."""
        self.exchange.floor.refuse(429)
        for url, status in ((self.exchange.url, "429"), (self.exchange.url + "other", "404")):
            client = self.dial(url)
            with pytest.raises(ConnectionError, match=status):
                await client.opened
            await client.closed
            self.exchange.floor.refuse(None)
        assert self.exchange.floor.counters.connections == 0

    async def test_a_reader_that_stops_is_cut_and_one_that_pauses_is_not(self) -> None:
        """More than 16 MiB since it last kept up is too much; then it is told again from nothing."""
        client = self.dial(self.exchange.firehose)
        line = await client.opened
        line.transport.pauseProducing()
        for _ in range(3):
            assert self.exchange.floor.send_raw("firehose", BIG, is_text=False) == 1
        line.transport.resumeProducing()
        assert [len((await client.messages.get())[0]) for _ in range(3)] == [len(BIG)] * 3
        assert self.exchange.floor.counters.slow_readers == 0
        line.transport.pauseProducing()
        for _ in range(12):
            self.exchange.floor.send_raw("firehose", BIG, is_text=False)
        assert self.exchange.floor.counters.slow_readers == 1
        line.transport.resumeProducing()
        await client.closed
        assert self.exchange.floor.connections == 0

    async def test_who_does_not_subscribe_is_closed_with_a_reason(self) -> None:
        """1008, in words."""
        client = self.dial(self.exchange.url)
        await client.opened
        [connection] = self.exchange.floor._clients
        connection.close(1008, "no subscribe message within 5 s")
        assert await client.closed == (1008, "no subscribe message within 5 s")

    def test_binding_comes_once_and_a_taken_port_is_an_error(self) -> None:
        """The port stays the same; a second exchange on it cannot start."""
        port = self.exchange.bind()
        assert self.exchange.bind() == port
        with pytest.raises(CannotListenError):
            make_exchange(reactor, port=port).startService()
