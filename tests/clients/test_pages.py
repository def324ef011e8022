"""What docs/browser.md and examples/price-board promise, in a real Chromium."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.demo.test_page import Wire
from tests.support.chromium import chromium
from tests.support.daemon import environment
from tests.support.ports import free_port
from tests.support.process import Program
from tests.support.wheel import ROOT

DOCUMENT = (ROOT / "docs/browser.md").read_text("utf-8")
MARKETS = ["BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD", "DOGE-USD"]
# How a snippet's last words begin, in the order of the page.
SHOWS = ["kraken/ticker/BTC~2FUSD", "demo/ticker/", "", "", "", "open", ""]

pytestmark = pytest.mark.browser


def snippets(language: str) -> list[str]:
    """The code of the document."""
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """The price board, which has all that the demo has, behind a wire that can be cut."""
    port = free_port()
    command = [sys.executable, "examples/price-board/run.py", "--port", str(port)]
    with Program(command, ROOT, environment(PYTHONPATH=str(ROOT))) as program:
        program.says(rf"Open http://127\.0\.0\.1:{port}/")
        wire = Wire(port)
        yield wire
        wire.close()


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

    def test_the_whole_page(self, page: Page) -> None:
        """A price appears and changes."""
        page.set_content(*snippets("html"))
        price = page.locator("#price")
        expect(price).to_have_text(re.compile(r"^\d+\.\d+$"), timeout=10_000)
        expect(price).not_to_have_text(price.inner_text(), timeout=10_000)


class PriceBoardTests:
    """examples/price-board."""

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_shows_six_prices_and_survives_a_cut(
        self, wire: Wire, tab: Page, scheme: Literal["light", "dark"], tmp_path: Path
    ) -> None:
        """Live, then grey while the wire is cut, then live again, under its own strict policy."""
        browser = tab.context.browser
        assert browser is not None
        context = browser.new_context(color_scheme=scheme, viewport={"width": 760, "height": 560})
        with closing(context):
            page = context.new_page()
            complaints: list[str] = []
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda message: "Content Security" in message.text and complaints.append(message.text))
            page.goto(f"http://127.0.0.1:{wire.port}/")
            live = page.locator('#board tr[data-state="live"]')
            expect(live).to_have_count(len(MARKETS), timeout=10_000)
            assert page.locator("#board th").all_inner_texts() == MARKETS
            expect(page.locator("#board td:nth-child(2)", has_text=re.compile(r"^[\d,]+\.\d+$"))).to_have_count(6)
            expect(page.locator("#board td:nth-child(3)", has_text=re.compile(r"^[+−]\d+\.\d\d %$"))).to_have_count(6)
            wire.cut()
            expect(page.locator("#note")).to_have_text("Back where we stood.", timeout=10_000)
            expect(page.locator("#connection")).to_have_text("Live")
            expect(live).to_have_count(len(MARKETS), timeout=10_000)
            page.screenshot(path=tmp_path / f"{scheme}.png")
            assert complaints == []
