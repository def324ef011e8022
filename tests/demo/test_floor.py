"""The floor: who hears what, and every way in which it can be made to go wrong. Time moves by hand."""

from __future__ import annotations

import json
from itertools import pairwise
from random import Random

import pytest
from twisted.internet.task import Clock

from relayd.demo.book import Side
from relayd.demo.floor import BURST_MAX, FIRST_SUBSCRIBE_S, HELD_MAX, Floor
from relayd.demo.market import Market


class Line:
    """A connection that writes down what it is told."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bool]] = []
        self.ended: list[object] = []

    def send(self, payload: bytes, is_text: bool) -> None:
        self.sent.append((payload, is_text))

    def close(self, code: int, reason: str) -> None:
        self.ended.append((code, reason))

    def abort(self) -> None:
        self.ended.append("abort")

    def take(self) -> list[dict]:
        """The messages since the last call, parsed."""
        taken, self.sent = self.sent, []
        return [json.loads(payload) for payload, _ in taken]


class Hall:
    """A floor with a clock of its own and one client."""

    def __init__(self, seed: int = 11) -> None:
        self.clock = Clock()
        self.floor = Floor(
            self.clock, Market(Random(seed)), monotonic=self.clock.seconds, wall=lambda: 1.7e9 + self.clock.seconds()
        )
        self.floor.start()
        self.line = self.enter()

    def enter(self, firehose: bool = False) -> Line:
        line = Line()
        self.floor.opened(line, firehose)
        return line

    def ask(self, *channels: str, products: tuple[str, ...] = ("BTC-USD",), verb: str = "subscribe",
            line: Line | None = None) -> None:
        request = {"type": verb, "channels": [{"name": name, "product_ids": products} for name in channels]}
        self.floor.received(line or self.line, json.dumps(request).encode())

    def run(self, seconds: float) -> None:
        self.clock.pump([0.01] * round(seconds * 100))


class SubscribingTests:
    """What a subscription begins with and how it goes on."""

    def setup_method(self) -> None:
        self.hall = Hall()

    def test_the_answer_lists_the_whole_state(self) -> None:
        """Then each channel begins with what it knows."""
        self.hall.ask("ticker")
        self.hall.ask("matches", "level2", "heartbeat")
        said = self.hall.line.take()
        assert [message["type"] for message in said] == [
            "subscriptions", "ticker", "subscriptions", "last_match", "snapshot",
        ]
        assert [channel["name"] for channel in said[2]["channels"]] == ["ticker", "matches", "level2", "heartbeat"]

    def test_each_channel_goes_on(self) -> None:
        """Ten seconds of everything: a beat a second, trades without a hole, a ticker with the last of them."""
        self.hall.ask("ticker", "matches", "level2", "heartbeat")
        self.hall.run(10.05)
        said = self.hall.line.take()
        kinds = [message["type"] for message in said]
        assert kinds.count("heartbeat") == 10
        assert kinds.count("l2update") > 50
        ids = [message["trade_id"] for message in said if message["type"] in ("match", "last_match")]
        assert len(ids) > 5
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        assert [message for message in said if message["type"] == "ticker"][-1]["trade_id"] == ids[-1]

    def test_snapshot_and_updates_are_the_book(self) -> None:
        """After half a minute, a burst and a price set by hand."""
        self.hall.ask("level2", products=("SOL-USD",))
        self.hall.run(30)
        self.hall.floor.burst(20)
        self.hall.floor.set_price("SOL-USD", "150.00")
        self.hall.run(5)
        book: dict[tuple[str, str], str] = {}
        for message in self.hall.line.take():
            if message["type"] == "snapshot":
                book = {("buy", price): size for price, size in message["bids"]}
                book |= {("sell", price): size for price, size in message["asks"]}
            for side, price, size in message.get("changes", ()):
                book[side, price] = size
        listing = self.hall.floor.market.listings["SOL-USD"]
        product = listing.product
        assert {key: size for key, size in book.items() if float(size)} == {
            (side.value, product.price_text(level.tick)): product.size_text(level.size)
            for side in Side for level in listing.book.levels(side)
        }

    def test_unsubscribing_ends_it(self) -> None:
        """The answer is the state that is left; nothing follows on what was let go."""
        self.hall.ask("ticker", "matches")
        self.hall.ask("matches", verb="unsubscribe")
        assert self.hall.line.take()[-1]["channels"] == [{"name": "ticker", "product_ids": ["BTC-USD"]}]
        self.hall.run(5)
        assert {message["type"] for message in self.hall.line.take()} == {"ticker"}

    def test_a_bad_request_is_answered(self) -> None:
        """With message and reason; the connection stays."""
        self.hall.ask("ticker", products=("BTC-USDX",))
        assert self.hall.line.take() == [
            {"type": "error", "message": "Failed to subscribe", "reason": "BTC-USDX is not a valid product"}
        ]
        assert self.hall.line.ended == []
        assert self.hall.floor.counters.refused_requests == 1

    def test_who_does_not_subscribe_in_time_is_closed(self) -> None:
        """Five seconds; a refused request does not count, a good one does, the firehose need not."""
        good, firehose = self.hall.enter(), self.hall.enter(firehose=True)
        self.hall.ask("ticker", line=good)
        self.hall.ask("nothing")
        self.hall.run(FIRST_SUBSCRIBE_S - 0.1)
        assert self.hall.line.ended == []
        self.hall.run(0.2)
        assert self.hall.line.ended == [(1008, "no subscribe message within 5 s")]
        assert good.ended == firehose.ended == []
        assert self.hall.floor.counters.late_first_subscribes == 1

    def test_a_connection_that_is_gone_hears_nothing(self) -> None:
        """It is forgotten on all topics, once or twice told."""
        self.hall.ask("ticker", "level2")
        self.hall.line.take()
        for _ in range(2):
            self.hall.floor.closed(self.hall.line)
        self.hall.run(3)
        self.hall.floor.received(self.hall.line, b"{}")
        assert self.hall.line.take() == []
        assert self.hall.floor.connections == 0

    def test_one_seed_says_the_same_bytes(self) -> None:
        """Two floors with the same seed and the same calls."""
        said = []
        for _ in range(2):
            hall = Hall(seed=3)
            hall.ask("ticker", "matches", "level2", "heartbeat", products=("BTC-USD", "DOGE-USD"))
            hall.run(4)
            said.append(hall.line.sent)
        assert said[0] == said[1]
        assert len(said[0]) > 50


class FaultTests:
    """What can be made to go wrong."""

    def setup_method(self) -> None:
        self.hall = Hall()
        self.floor, self.line = self.hall.floor, self.hall.line

    def test_a_mute_exchange_says_nothing_and_keeps_its_connections(self) -> None:
        """No data, no beat, no answer to a request, no deadline."""
        self.hall.ask("ticker", "level2", "heartbeat")
        newcomer = self.hall.enter()
        self.line.take()
        self.floor.mute()
        self.hall.ask("matches")
        self.hall.run(10)
        assert self.floor.send_raw("ticker/BTC-USD", b"x") == 0
        assert self.line.sent == self.line.ended == newcomer.ended == []

    def test_unmuting_answers_what_was_asked_and_the_book_goes_on(self) -> None:
        """The market stood still, so no change of a level is missing."""
        self.hall.ask("level2")
        self.line.take()
        levels = self.floor.market.listings["BTC-USD"].book.levels(Side.BUY)
        self.floor.mute()
        self.hall.ask("matches")
        self.hall.run(2)
        assert self.floor.market.listings["BTC-USD"].book.levels(Side.BUY) == levels
        self.floor.unmute()
        assert [message["type"] for message in self.line.take()] == ["subscriptions", "last_match"]
        self.hall.run(1)
        assert "l2update" in {message["type"] for message in self.line.take()}

    def test_a_mute_exchange_keeps_so_many_requests(self) -> None:
        """One more and the connection is cut and counted."""
        self.floor.mute()
        for _ in range(HELD_MAX):
            self.hall.ask("ticker")
        assert self.line.ended == []
        self.hall.ask("ticker")
        assert self.line.ended == ["abort"]
        assert self.floor.counters.held_overflows == 1

    def test_dropping_cuts_everybody(self) -> None:
        """Without a close frame."""
        other = self.hall.enter()
        assert self.floor.drop() == 2
        assert self.line.ended == other.ended == ["abort"]
        assert self.floor.connections == 0

    def test_skipping_leaves_a_hole_in_the_trades(self) -> None:
        """Of exactly one, on that product only."""
        self.hall.ask("matches", products=("BTC-USD", "ETH-USD"))
        self.hall.run(3)
        self.floor.skip("BTC-USD")
        self.hall.run(3)
        said = self.line.take()
        for product, holes in (("BTC-USD", [2]), ("ETH-USD", [])):
            ids = [message["trade_id"] for message in said if message.get("product_id") == product]
            assert [b - a for a, b in pairwise(ids) if b - a != 1] == holes

    def test_a_price_set_by_hand_is_told_at_once_and_stands(self) -> None:
        """For hold_s seconds, then the market moves on."""
        self.hall.ask("ticker")
        self.line.take()
        self.floor.set_price("BTC-USD", "12345.67", hold_s=2.0)
        self.hall.run(1.9)
        assert [message["price"] for message in self.line.take()] == ["12345.67"]
        self.hall.run(3)
        assert self.line.take() != []

    def test_a_mute_market_cannot_be_moved(self) -> None:
        """The levels that change would be missing from the feed for good."""
        self.floor.mute()
        for move in (lambda: self.floor.set_price("BTC-USD", 1000), lambda: self.floor.burst(1)):
            with pytest.raises(ValueError, match="unmute it first"):
                move()

    def test_a_burst_is_so_many_trades_now(self) -> None:
        """Each with its ticker; of one product, or of all in turn."""
        self.hall.ask("ticker", products=("BTC-USD", "ETH-USD"))
        self.line.take()
        self.floor.burst(50, "ETH-USD")
        said = self.line.take()
        assert [message["product_id"] for message in said] == ["ETH-USD"] * 50
        self.floor.burst(12)
        assert len(self.line.take()) == 4
        for count in (0, BURST_MAX + 1):
            with pytest.raises(ValueError, match="count"):
                self.floor.burst(count)
        with pytest.raises(KeyError):
            self.floor.burst(1, "BTC-USDX")

    def test_refusing_takes_a_status(self) -> None:
        """Of the kind that refuses, or None to let everybody in again."""
        for status in (200, 600):
            with pytest.raises(ValueError, match="400 to 599"):
                self.floor.refuse(status)
        self.floor.refuse(503)
        assert self.floor.refusing == 503
        self.floor.refuse(None)
        assert self.floor.refusing is None

    def test_raw_payloads_go_out_exactly_as_given(self) -> None:
        """To the firehose, to `raw/NAME`, and to nobody where nobody listens."""
        firehose = self.hall.enter(firehose=True)
        self.hall.ask("raw", products=("marker",))
        self.line.sent.clear()
        assert self.floor.send_raw("firehose", b"\x00\xff", is_text=False) == 1
        assert self.floor.send_raw("firehose", b"") == 1
        assert self.floor.send_raw("raw/marker", b'{"a": 1}') == 1
        assert self.floor.send_raw("raw/nobody", b"x") == 0
        assert firehose.sent == [(b"\x00\xff", False), (b"", True)]
        assert self.line.sent == [(b'{"a": 1}', True)]

    def test_the_journal_has_every_frame(self) -> None:
        """Answers, data and beats, per connection and topic, in the order they were sent."""
        other = self.hall.enter()
        self.hall.ask("ticker", "heartbeat")
        self.hall.ask("ticker", line=other)
        self.hall.ask("nothing")
        self.hall.run(3)
        for number, line in ((1, self.line), (2, other)):
            entries = list(self.floor.journal.entries(connection=number))
            assert [entry.payload for entry in entries] == [payload for payload, _ in line.sent]
        assert {entry.topic for entry in self.floor.journal.entries(connection=1)} == {
            "subscriptions", "error", "ticker/BTC-USD", "heartbeat/BTC-USD",
        }

    def test_stopping_ends_all(self) -> None:
        """Connections are cut and nothing stays on the clock; a floor that never started stops too."""
        self.floor.stop()
        assert self.line.ended == ["abort"]
        assert self.hall.clock.getDelayedCalls() == []
        self.floor.stop()
