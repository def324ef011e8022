"""What docs/browser.md and the examples promise, in a real Chromium."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.demo.test_page import Wire
from tests.support.chromium import chromium
from tests.support.daemon import environment
from tests.support.nginx import proxies
from tests.support.ports import free_port
from tests.support.process import Program
from tests.support.wheel import ROOT

DOCUMENT = (ROOT / "docs/browser.md").read_text("utf-8")
MARKETS = ["BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD", "DOGE-USD"]
# How a snippet's last words begin, in the order of the page.
SHOWS = ["kraken/ticker/BTC~2FUSD", "demo/ticker/", "", "", "not published: forbidden", "", "open sse", "open", ""]

Scheme = Literal["light", "dark"]

pytestmark = pytest.mark.browser


def snippets(language: str) -> list[str]:
    """The code of the document."""
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


@contextmanager
def example(name: str) -> Iterator[Wire]:
    """An example as a person starts it, behind a wire that can be cut."""
    port = free_port()
    command = [sys.executable, "examples/run.py", name, "--port", str(port)]
    with Program(command, ROOT, environment(PYTHONPATH=str(ROOT))) as program:
        program.says(rf"Open http://127\.0\.0\.1:{port}/", 60)
        wire = Wire(port)
        yield wire
        wire.close()


@contextmanager
def visit(port: int, tab: Page, scheme: Scheme = "light", width: int = 760, height: int = 620) -> Iterator[Page]:
    """The example's page in a context of its own, which has not complained in the end."""
    browser = tab.context.browser
    assert browser is not None
    with closing(browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})) as context:
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: "Content Security" in message.text and complaints.append(message.text))
        page.goto(f"http://127.0.0.1:{port}/")
        yield page
        assert complaints == []


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """The price board, which has all that the demo has, behind a wire that can be cut."""
    with example("price-board") as wire:
        yield wire


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    """A browser for all snippets, which has not complained in the end."""
    with chromium(bypass_csp=True, viewport={"width": 900, "height": 700}) as page:
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        assert complaints == []


@pytest.fixture
def page(wire: Wire, tab: Page) -> Page:
    """An empty page of relayd's origin, in which a script may be put."""
    tab.goto(f"http://127.0.0.1:{wire.port}/topics")
    tab.evaluate("window.shown = []; window.show = (...values) => shown.push(values.join(' '))")
    return tab


class TutorialTests:
    """docs/browser.md."""

    def test_every_snippet_is_known(self) -> None:
        """None is added without being run."""
        assert len(snippets("js")) == len(SHOWS)
        assert len(snippets("html")) == 1

    @pytest.mark.parametrize("number", range(len(SHOWS)))
    def test_snippet(self, wire: Wire, page: Page, number: int) -> None:
        """It shows what it says."""
        code = snippets("js")[number]
        page.add_script_tag(type="module", content=code)
        page.wait_for_function("start => shown.some((text) => text && text.startsWith(start))", arg=SHOWS[number])
        if '"resumed"' in code:
            page.wait_for_function("shown.includes('demo/matches/BTC-USD live ')")
            wire.cut()
            page.wait_for_function("shown.includes('demo/matches/BTC-USD nothing missed')", timeout=10_000)
            assert any(re.match(r"waiting 1006  \d", text) for text in page.evaluate("shown"))

    def test_readme(self, wire: Wire, page: Page) -> None:
        """The page of README.md, at the demo instead of a feed of the reader's."""
        [code] = re.findall(r"^```js\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
        for old, new in (("127.0.0.1:8080", f"127.0.0.1:{wire.port}"), ('"market/', '"demo/'), ("console.log", "show")):
            assert old in code
            code = code.replace(old, new)
        page.add_script_tag(type="module", content=code)
        page.wait_for_function("shown.some((text) => /^demo.ticker.BTC-USD [0-9.]+$/.test(text))")

    def test_the_whole_page(self, page: Page) -> None:
        """A price appears and changes."""
        page.set_content(*snippets("html"))
        price = page.locator("#price")
        expect(price).to_have_text(re.compile(r"^\d+\.\d+$"), timeout=10_000)
        expect(price).not_to_have_text(price.inner_text(), timeout=10_000)


class PriceBoardTests:
    """examples/price-board."""

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_shows_six_prices_and_survives_a_cut(self, wire: Wire, tab: Page, scheme: Scheme, artifacts: Path) -> None:
        """Live, then grey while the wire is cut, then live again, under its own strict policy."""
        with visit(wire.port, tab, scheme) as page:
            live = page.locator('#board tr[data-state="live"]')
            expect(live).to_have_count(len(MARKETS), timeout=10_000)
            assert page.locator("#board th").all_inner_texts() == MARKETS
            expect(page.locator("#board td:nth-child(2)", has_text=re.compile(r"^[\d,]+\.\d+$"))).to_have_count(6)
            expect(page.locator("#board td:nth-child(3)", has_text=re.compile(r"^[+−]\d+\.\d\d %$"))).to_have_count(6)
            wire.cut()
            expect(page.locator("#note")).to_have_text("Back where we stood.", timeout=10_000)
            expect(page.locator("#connection")).to_have_text("Live")
            expect(live).to_have_count(len(MARKETS), timeout=10_000)
            page.screenshot(path=artifacts / f"price-board-{scheme}.png")


class PlainTests:
    """examples/plain."""

    def test_shows_trades_and_says_when_it_is_over(self, tab: Page, artifacts: Path) -> None:
        """Eight rows, the newest first; without a library nobody dials again."""
        with example("plain") as wire, visit(wire.port, tab) as page:
            rows = page.locator("#trades tr")
            expect(rows).to_have_count(8, timeout=20_000)
            assert {text[:4] for text in page.locator("#trades th").all_inner_texts()} <= {"BTC-", "ETH-"}
            expect(page.locator("#trades td:nth-child(2)", has_text=re.compile(r"^\d+\.\d+$"))).to_have_count(8)
            before = page.locator("#note").inner_text()
            expect(page.locator("#note")).not_to_have_text(before, timeout=10_000)
            page.screenshot(path=artifacts / "plain.png")
            wire.cut()
            expect(page.locator("#connection")).to_have_text(re.compile("^Closed: 1006"))


class ChatTests:
    """examples/chat."""

    def test_two_talk_and_miss_nothing_while_one_is_away(self, tab: Page, artifacts: Path, tmp_path: Path) -> None:
        """Both see both, in one order, also where one is behind a proxy that blocks WebSockets; what was said before a
        wire was cut is there afterwards; other rooms count.
        """
        with (
            example("chat") as wire,
            proxies(tmp_path, wire.port, ["/ws"]) as [blocked],
            visit(wire.port, tab) as ada,
            visit(blocked, tab) as grace,
        ):

            def say(page: Page, name: str, text: str) -> None:
                page.fill("#name", name)
                page.fill("#text", text)
                page.click("form button")
                expect(page.locator("#messages li.mine", has_text=text)).to_be_visible(timeout=10_000)

            expect(ada.locator("#connection")).to_have_text("Live", timeout=10_000)
            expect(grace.locator("#connection")).to_have_text("Live, by sse", timeout=10_000)
            said = ["Is the relay up?", "It is: I see you.", "<b>Then</b> what I see is what came back."]
            say(ada, "Ada", said[0])
            say(grace, "Grace", said[1])
            say(ada, "Ada", said[2])
            for page in (ada, grace):
                expect(page.locator("#messages li")).to_have_text(
                    [f"{name}{text}" for name, text in zip(["Ada", "Grace", "Ada"], said, strict=True)]
                )
            wire.cut()
            for page in (ada, grace):
                expect(page.locator("#connection")).to_have_text(re.compile("^Live"), timeout=15_000)
            said.append("Back again.")
            say(grace, "Grace", said[-1])
            expect(ada.locator("#messages li.mine")).to_have_count(2)
            expect(ada.locator("#messages li")).to_have_count(4)
            grace.get_by_role("button", name="engine").click()
            say(grace, "Grace", "psst")
            expect(ada.locator("#rooms button", has_text="engine")).to_have_text("engine1")
            ada.screenshot(path=artifacts / "chat.png")


class TelemetryTests:
    """examples/telemetry."""

    def test_draws_binary_frames(self, tab: Page, artifacts: Path) -> None:
        """Forty-eight machines, as binary WebSocket frames; frames of a cut are made up for."""
        with example("telemetry") as wire, visit(wire.port, tab, "dark", 1100, 760) as page:
            expect(page.locator("#connection")).to_have_text("Live", timeout=10_000)
            expect(page.locator(".machine b", has_text=re.compile(r"^\d\d\.\d °C$"))).to_have_count(48, timeout=10_000)
            expect(page.locator("#summary")).to_have_text(re.compile(r"^48 machines · \d+ warm · \d+ hot$"))
            expect(page.locator("#note")).to_have_text(re.compile(r"^\d+ frames a second, \d+\.\d KiB of binary$"))
            wire.cut()
            expect(page.locator("#connection")).to_have_text("Live", timeout=15_000)
            expect(page.locator("body:not([data-old])")).to_be_visible(timeout=10_000)
            page.screenshot(path=artifacts / "telemetry.png")
