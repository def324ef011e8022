"""The demo page in a real Chromium, against a real demo, through a wire that can be cut."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from websockets.sync.client import connect

from tests.support.chromium import chromium
from tests.support.process import Program

ROOT = Path(__file__).parents[2]
PRODUCTS = ["BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD", "DOGE-USD"]
NUMBER = re.compile(r"^[0-9,]+\.[0-9]+$")

pytestmark = pytest.mark.browser


class Wire:
    """A TCP relay to a port of loopback that can be cut: all its connections end at once, new ones are taken again."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End everything that is open."""
        ends, self._open = self._open, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self._listening.close()


class Shown:
    """The page, the wire it hangs on, the demo's own port, and what the browser complained about."""

    def __init__(self, page: Page, wire: Wire, port: int) -> None:
        self.page, self.wire, self.port = page, wire, port
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        page.on("response", lambda answer: answer.status >= 400 and self.complaints.append(answer.url))

    def choose(self, product: str) -> None:
        """Chooses a market and waits for its book and its trades."""
        self.page.get_by_role("button", name=product).click()
        expect(self.page.locator(".book .chosen")).to_have_text(product)
        expect(self.page.locator("#middle")).not_to_have_text("–")
        expect(self.page.locator("#proof")).to_contain_text("in sequence", timeout=5_000)
        expect(self.page.locator("#trades td").first).to_have_text(re.compile("^[0-9]{2}:"))

    def says(self, text: str | re.Pattern[str], within_s: float = 10.0) -> None:
        """Waits for a line of the list of events."""
        expect(self.page.locator("#events li", has_text=text).first).to_be_visible(timeout=within_s * 1000)


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    """The page, loaded through the wire. Each test leaves it live; at the end the browser has not complained."""
    command = [sys.executable, "-m", "relayd", "demo", "--port", "0", "--admin-port", "0"]
    with Program(command, ROOT) as program, chromium(viewport={"width": 1280, "height": 900}) as page:
        port = int(program.says(r"Open +http://127\.0\.0\.1:(\d+)/")[1])
        wire = Wire(port)
        shown = Shown(page, wire, port)
        shown.page.goto(f"http://127.0.0.1:{wire.port}/")
        yield shown
        # A connection that was cut is an error to the browser, as it should be.
        assert [text for text in shown.complaints if "ERR_" not in text and "WebSocket" not in text] == []
        wire.close()


def truth(port: int, topic: str) -> dict[str, dict[str, str]]:
    """The order book by another client, while the feed is mute: snapshot and deltas until nothing more comes."""
    book: dict[str, dict[str, str]] = {}
    with connect(f"ws://127.0.0.1:{port}/ws?topics={topic}", max_size=None) as client, suppress(TimeoutError):
        while True:
            data = json.loads(client.recv(0.3)).get("data")
            if data and data["type"] == "snapshot":
                book = {"buy": dict(data["bids"]), "sell": dict(data["asks"])}
            for side, price, size in (data or {}).get("changes", ()):
                book[side][price] = size
    return {side: {price: size for price, size in levels.items() if float(size)} for side, levels in book.items()}


class PageTests:
    """A visit."""

    def test_it_comes_alive(self, shown: Shown) -> None:
        """Six live markets with prices, charts that are drawn, a book, trades, and a position for each topic."""
        page = shown.page
        expect(page.locator('#markets tr[data-state="live"]')).to_have_count(6, timeout=10_000)
        assert [text.split("\n")[0][: len(name)] for text, name in zip(
            page.locator("#markets th").all_inner_texts(), PRODUCTS, strict=True)] == PRODUCTS
        for price in page.locator("#markets td b").all_inner_texts():
            assert NUMBER.match(price), price
        expect(page.locator("#proof")).to_contain_text("in sequence", timeout=5_000)
        expect(page.locator("#topics tr")).to_have_count(8)
        expect(page.locator("#page-status")).to_have_text("Connected")
        drawn = page.evaluate("""[...document.querySelectorAll('canvas')].map((canvas) => canvas.getContext('2d')
            .getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0))""")
        assert drawn == [True] * 6

    def test_another_market_can_be_chosen(self, shown: Shown) -> None:
        """Its book and trades take the place of the others; the address remembers it."""
        shown.choose("SOL-USD")
        expect(shown.page.locator("#middle")).to_have_text(re.compile(r"^1[0-9]{2}\.[0-9]{2}$"))
        assert shown.page.url.endswith("#SOL-USD")

    def test_a_skipped_trade_is_marked_in_its_place(self, shown: Shown) -> None:
        """Among the trades, and in words."""
        shown.choose("ETH-USD")
        shown.page.get_by_role("button", name="Skip a trade").click()
        shown.says("1 message of ETH-USD trades is missing")
        expect(shown.page.locator('#trades tr[data-state="gap"]')).to_have_count(1)
        expect(shown.page.locator("#whole")).to_contain_text("1 gap")

    def test_a_cut_connection_resumes_without_a_hole(self, shown: Shown) -> None:
        """The page comes back by itself and misses nothing; its book goes on from where it was."""
        shown.choose("BTC-USD")
        shown.wire.cut()
        shown.says("Disconnected")
        shown.says("resumed where they stood: nothing missed")
        expect(shown.page.locator("#proof")).to_contain_text("in sequence")
        assert "without a notice" not in shown.page.locator("#events").inner_text()

    def test_the_page_can_be_connected_anew(self, shown: Shown) -> None:
        """By its button: a new connection, everything from its beginning, and the lag is a figure again."""
        shown.choose("BTC-USD")
        connected = shown.page.locator("#events li", has_text="This page is connected")
        before = connected.count()
        shown.page.get_by_role("button", name="Connect anew").click()
        shown.says("You had this page connect anew")
        expect(connected).to_have_count(before + 1, timeout=10_000)
        expect(shown.page.locator("#proof")).to_contain_text("in sequence", timeout=5_000)
        expect(shown.page.locator('#markets tr[data-state="live"]')).to_have_count(6, timeout=10_000)
        expect(shown.page.locator("#late")).to_have_text(re.compile(r"^[0-9.]+ ms$"))
        assert "for good" not in shown.page.locator("#events").inner_text()

    def test_a_mute_feed_goes_quiet_and_the_book_is_right(self, shown: Shown) -> None:
        """The page says that data is old, and what it shows is what another client has; then all lives again."""
        page = shown.page
        shown.choose("SOL-USD")
        page.get_by_role("button", name="Mute the feed").click()
        expect(page.locator('#markets tr[data-state="stale"]').first).to_be_visible(timeout=6_000)
        shown.says("gone quiet")
        expect(page.locator("#proof")).to_contain_text("ago")
        book = truth(shown.port, "demo/level2/SOL-USD")
        for side, body in (("buy", "#bids"), ("sell", "#asks")):
            best = sorted(book[side], key=float, reverse=side == "buy")[:10]
            rows = [row.split("\t")[:2] for row in page.locator(f"{body} tr").all_inner_texts()]
            rows = rows if side == "buy" else rows[::-1]
            assert rows == [[price, book[side][price]] for price in best]
        page.get_by_role("button", name="Let it speak again").click()
        expect(page.locator('#markets tr[data-state="live"]')).to_have_count(6, timeout=10_000)
        expect(page.locator("#proof")).to_contain_text("in sequence", timeout=5_000)
