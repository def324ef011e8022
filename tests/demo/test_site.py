"""The page's files: served with a strict policy, whole, without anything from elsewhere."""

from __future__ import annotations

import json
import re
from random import Random

import pytest
from twisted.internet.task import Clock
from twisted.web.resource import Resource

from relayd.demo.floor import Floor
from relayd.demo.market import Market
from relayd.demo.site import BUTTONS, extra_resources
from tests.demo import request
from tests.demo.request import Asked


@pytest.fixture
def floor() -> Floor:
    """A floor that never moves."""
    clock = Clock()
    return Floor(clock, Market(Random(1)), monotonic=clock.seconds, wall=clock.seconds)


def ask(floor: Floor, path: str, method: str = "GET", **headers: str) -> tuple[Asked, bytes]:
    """A request and the answer's body, through the resources as a listener mounts them."""
    root = Resource()
    for name, resource in extra_resources(floor).items():
        root.putChild(name, resource)
    return request.ask(root, path, method, **headers)


def page(floor: Floor, name: str) -> str:
    return ask(floor, f"/demo/{name}")[1].decode()


class PageTests:
    """What a browser loads."""

    def test_the_page_is_at_the_root(self, floor: Floor) -> None:
        """With its type, and never stale in a cache."""
        answer, body = ask(floor, "/")
        assert body.startswith(b"<!doctype html>")
        assert answer.header("content-type") == "text/html; charset=utf-8"
        assert answer.header("cache-control") == "no-cache"

    def test_everything_it_names_is_there(self, floor: Floor) -> None:
        """Styles, icon, modules and the modules that these import; nothing comes from another host."""
        seen, names = set(), set(re.findall(r'(?:src|href)="/demo/([^"]+)"', ask(floor, "/")[1].decode()))
        while names - seen:
            name = (names - seen).pop()
            seen.add(name)
            answer, body = ask(floor, f"/demo/{name}")
            assert answer.status == 200, name
            assert len(body) > 100, name
            names.update(re.findall(r'from "\./([^"]+)"', body.decode()))
        assert {"app.js", "reading.js", "ladder.js", "chart.js", "style.css", "icon.svg"} <= seen
        for name in (*seen, "index.html"):
            assert re.findall(r"https?://(?!www\.w3\.org/2000/svg|127\.0\.0\.1)", page(floor, name)) == [], name

    def test_nothing_is_inline(self, floor: Floor) -> None:
        """No script, style or handler stands in the page itself, and no code writes markup."""
        text = page(floor, "index.html")
        assert re.findall(r"<script(?![^>]*\bsrc=)", text) == []
        assert "<style" not in text
        assert re.findall(r"\s(?:on\w+|style)=", text) == []
        for name in ("app.js", "reading.js", "ladder.js", "chart.js", "markets.js", "events.js", "text.js"):
            assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", page(floor, name)) == []

    def test_the_policy_lets_it_talk_to_its_own_host_only(self, floor: Floor) -> None:
        """Named with the WebSocket schemes; a strange Host is not echoed."""
        answer, _ = ask(floor, "/", host="127.0.0.1:8080")
        policy = answer.header("content-security-policy")
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; ")
        assert "connect-src 'self' ws://127.0.0.1:8080 wss://127.0.0.1:8080;" in policy
        assert "unsafe" not in policy
        answer, _ = ask(floor, "/", host="evil; script-src *")
        assert "connect-src 'self';" in answer.header("content-security-policy")
        assert "evil" not in answer.header("content-security-policy")

    def test_a_browser_that_has_it_gets_304(self, floor: Floor) -> None:
        """By the hash of the file."""
        first, _ = ask(floor, "/demo/app.js")
        second, body = ask(floor, "/demo/app.js", if_none_match=first.header("etag"))
        assert (second.status, body) == (304, b"")


class ButtonTests:
    """What the page may do to the exchange."""

    def test_the_buttons_work(self, floor: Floor) -> None:
        """Mute, unmute, drop and skip; each answers with the status."""
        assert json.loads(ask(floor, "/demo/mute", "POST")[1])["muted"] is True
        assert json.loads(ask(floor, "/demo/status")[1])["muted"] is True
        assert json.loads(ask(floor, "/demo/unmute", "POST")[1])["muted"] is False
        before = floor.market.listings["ETH-USD"].trade_id
        ask(floor, "/demo/skip?product=ETH-USD", "POST")
        assert floor.market.listings["ETH-USD"].trade_id == before + 1
        assert ask(floor, "/demo/drop", "POST")[0].status == 200

    def test_the_page_cannot_do_what_is_for_tests(self, floor: Floor) -> None:
        """Prices by hand, raw payloads, bursts and the journal are not served here."""
        assert sorted(BUTTONS) == ["drop", "mute", "skip", "status", "unmute"]
        for name in ("price", "raw", "burst", "refuse"):
            assert ask(floor, f"/demo/{name}", "POST")[0].status == 404
        assert ask(floor, "/demo/journal")[0].status == 404

    def test_a_button_is_no_link(self, floor: Floor) -> None:
        """GET changes nothing, and neither does a page of another origin."""
        assert ask(floor, "/demo/mute")[0].status == 405
        answer, _ = ask(floor, "/demo/mute", "POST", host="127.0.0.1:1", origin="http://evil.example")
        assert answer.status == 403
        assert floor.muted is False
