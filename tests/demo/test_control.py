"""The exchange's controls: each does its one thing, and says what is wrong with what it cannot do."""

from __future__ import annotations

import json
from base64 import b64decode
from random import Random

import pytest
from twisted.internet.task import Clock

from relayd.demo.control import BODY_BYTES_MAX, Control
from relayd.demo.floor import FIREHOSE, Floor
from relayd.demo.market import Market
from tests.demo.request import ask


class Line:
    """A connection that keeps what it is told."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bool]] = []
        self.aborted = False

    def send(self, payload: bytes, is_text: bool) -> None:
        self.sent.append((payload, is_text))

    def close(self, code: int, reason: str) -> None:
        self.aborted = True

    def abort(self) -> None:
        self.aborted = True


class ControlTests:
    """All controls over one floor with a firehose open."""

    def setup_method(self) -> None:
        clock = Clock()
        self.floor = Floor(clock, Market(Random(2)), monotonic=clock.seconds, wall=clock.seconds)
        self.line = Line()
        self.floor.opened(self.line, firehose=True)
        self.control = Control(self.floor)

    def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> tuple[int, dict]:
        request, answer = ask(self.control, path, method, body, **headers)
        assert request.header("content-type") == "application/json"
        assert request.header("cache-control") == "no-store"
        return request.status, json.loads(answer)

    def post(self, path: str, body: bytes = b"") -> dict:
        status, answer = self.ask(path, "POST", body)
        assert status == 200, answer
        return answer

    def test_the_status_tells_all(self) -> None:
        """Products, connections, whether it is mute or refusing, counters; HEAD is a GET."""
        for method in ("GET", "HEAD"):
            status, answer = self.ask("/status", method)
            assert status == 200
            assert (answer["muted"], answer["refusing"], answer["connections"]) == (False, None, 1)
            assert answer["products"] == list(self.floor.market.listings)
            assert answer["counters"]["connections"] == 1

    def test_each_fault_does_its_thing(self) -> None:
        """And is answered with the status."""
        assert self.post("/mute")["muted"] is self.floor.muted is True
        assert self.post("/unmute")["muted"] is self.floor.muted is False
        assert self.post("/refuse?status=429")["refusing"] == self.floor.refusing == 429
        assert self.post("/refuse")["refusing"] is None
        listing = self.floor.market.listings["ETH-USD"]
        before = listing.trade_id
        self.post("/skip?product=ETH-USD")
        self.post("/burst?count=3&product=ETH-USD")
        assert listing.trade_id >= before + 4
        self.post("/burst")
        self.post("/price?product=ETH-USD&price=1234.50&hold=0.5")
        assert listing.product.price_text(listing.last.tick) == "1234.50"
        assert self.post("/drop")["connections"] == 0
        assert self.line.aborted

    def test_raw_payloads_are_the_body(self) -> None:
        """Text or binary, empty too; the answer says how many heard it."""
        assert self.post("/raw?topic=firehose", "é".encode()) == {"sent": 1}
        assert self.post("/raw?topic=firehose&binary=1", b"\xff\x00") == {"sent": 1}
        assert self.post("/raw?topic=firehose") == {"sent": 1}
        assert self.post("/raw?topic=raw/nobody", b"x") == {"sent": 0}
        assert self.line.sent == [("é".encode(), True), (b"\xff\x00", False), (b"", True)]

    def test_the_journal_can_be_asked(self) -> None:
        """By topic, connection and number, so many at a time, with payloads or without."""
        for payload in (b"a", b"b", b"c"):
            self.floor.send_raw(FIREHOSE, payload)
        _, answer = self.ask("/journal?topic=firehose&connection=1&after=1&limit=1&payloads=1")
        [entry] = answer["entries"]
        assert (entry["number"], b64decode(entry["payload"])) == (2, b"b")
        assert (answer["frames"], answer["bytes"], answer["dropped_frames"], answer["dropped_payloads"]) == (3, 3, 0, 0)
        _, answer = self.ask("/journal")
        assert [set(entry) for entry in answer["entries"]] == [
            {"number", "at_s", "connection", "topic", "is_text", "length", "sha256"}
        ] * 3
        assert self.ask("/journal?topic=other")[1]["entries"] == []

    @pytest.mark.parametrize(
        ("path", "status", "message"),
        [
            ("/skip", 400, "product: missing"),
            ("/skip?product=BTC-USDX", 400, "none of BTC-USD"),
            ("/price?product=BTC-USD", 400, "price: missing"),
            ("/price?product=BTC-USD&price=cheap", 400, "not a number"),
            ("/price?product=BTC-USD&price=1000&hold=long", 400, "hold: 'long'"),
            ("/refuse?status=200", 400, "400 to 599"),
            ("/burst?count=0", 400, "count"),
            ("/burst?product=X", 400, "none of BTC-USD"),
            ("/raw", 400, "topic: missing"),
            ("/mute?a=%ff", 400, "utf-8"),
            ("/status", 405, "takes GET"),
            ("/journal", 405, "takes GET"),
            ("/explode", 404, "no such control; known are status"),
            ("/", 404, "no such control"),
        ],
    )
    def test_a_bad_request_says_what_is_wrong(self, path: str, status: int, message: str) -> None:
        """Status, code and a sentence; the exchange goes on."""
        got, answer = self.ask(path, "POST")
        assert got == status
        assert set(answer) == {"code", "message"}
        assert message in answer["message"]
        assert self.floor.muted is False

    def test_limits_are_told(self) -> None:
        """Of the journal's answer and of a raw payload, which must be UTF-8 where it is text."""
        assert self.ask("/journal?limit=0")[0] == 400
        for body, message in ((b"x" * (BODY_BYTES_MAX + 1), "more than"), (b"\xff", "utf-8")):
            status, answer = self.ask("/raw?topic=firehose", "POST", body)
            assert status == 400
            assert message in answer["message"]
        assert self.line.sent == []

    def test_pages_of_other_origins_are_refused(self) -> None:
        """A browser names the origin of every POST; other programs name none."""
        assert self.ask("/mute", "POST", host="127.0.0.1:1", origin="http://evil.example")[0] == 403
        assert self.floor.muted is False
        assert self.ask("/mute", "POST", host="127.0.0.1:1", origin="http://127.0.0.1:1")[0] == 200
