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
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

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
    """The HTTP side."""

    def test_the_status_names_products_and_connections(self, exchange: Exchange) -> None:
        """What a page needs to draw its buttons."""
        with exchange.feed("ticker"):
            status = exchange.get("status")
        assert status["products"][0] == "BTC-USD"
        assert status["muted"] is False
        assert status["connections"] >= 1

    def test_the_journal_shows_payloads_on_request(self, exchange: Exchange) -> None:
        """In base64; `limit` bounds the answer."""
        with exchange.feed("raw", products=("m",)):
            exchange.post("raw?topic=raw/m", b"abc")
        [entry] = exchange.get("journal?topic=raw/m&payloads=1&limit=1")["entries"]
        assert (entry["payload"], entry["length"]) == ("YWJj", 3)

    @pytest.mark.parametrize(
        ("path", "status", "message"),
        [
            ("skip", 400, "product: missing"),
            ("skip?product=BTC-USDX", 400, "none of BTC-USD"),
            ("price?product=BTC-USD&price=cheap", 400, "not a number"),
            ("price?product=BTC-USD&price=1000&hold=long", 400, "hold: 'long'"),
            ("refuse?status=200", 400, "400 to 599"),
            ("burst?count=0", 400, "count"),
            ("raw", 400, "topic: missing"),
            ("mute?a=%ff", 400, ""),
            ("journal", 405, "takes GET"),
            ("explode", 404, "no such control"),
        ],
    )
    def test_a_bad_request_says_what_is_wrong(self, exchange: Exchange, path: str, status: int, message: str) -> None:
        """Status, code and a sentence."""
        with pytest.raises(urllib.error.HTTPError) as caught:
            exchange.post(path)
        assert caught.value.code == status
        answer = json.load(caught.value)
        assert message in answer["message"]

    def test_text_must_be_utf8(self, exchange: Exchange) -> None:
        """A text frame that is not would cost the connection."""
        with pytest.raises(urllib.error.HTTPError) as caught:
            exchange.post("raw?topic=firehose", b"\xff")
        assert caught.value.code == 400

    def test_pages_of_other_origins_are_refused(self, exchange: Exchange) -> None:
        """A browser names the origin of every POST."""
        own = exchange.control.rstrip("/")
        assert exchange.post("unmute", headers={"Origin": own})["muted"] is False
        with pytest.raises(urllib.error.HTTPError) as caught:
            exchange.post("mute", headers={"Origin": "https://evil.example"})
        assert caught.value.code == 403
        assert exchange.get("status")["muted"] is False
