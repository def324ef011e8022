"""The page's files: served with a strict policy, whole, without anything from elsewhere."""

from __future__ import annotations

import json
import re
from random import Random

import pytest
from twisted.internet.task import Clock
from twisted.web.resource import IResource, getChildForRequest
from twisted.web.test.requesthelper import DummyRequest

from relayd.demo.floor import Floor
from relayd.demo.market import Market
from relayd.demo.site import BUTTONS, extra_resources


class _Request(DummyRequest):
    """A request that knows about ETags, as twisted.web's own does."""

    def __init__(self, path: bytes, method: bytes = b"GET", **headers: bytes) -> None:
        super().__init__(path.lstrip(b"/").split(b"/"))
        self.method, self.uri, self.path = method, path, path.partition(b"?")[0]
        self.postpath[-1] = self.postpath[-1].partition(b"?")[0]
        for name, value in headers.items():
            self.requestHeaders.setRawHeaders(name.replace("_", "-"), [value])

    def setETag(self, etag: bytes) -> object:
        self.setHeader(b"etag", etag)
        if self.getHeader(b"if-none-match") == etag:
            self.setResponseCode(304)
            from twisted.web.http import CACHED

            return CACHED
        return None

    def header(self, name: str) -> str:
        return self.responseHeaders.getRawHeaders(name, [""])[0]


@pytest.fixture
def floor() -> Floor:
    """A floor that never moves."""
    clock = Clock()
    return Floor(clock, Market(Random(1)), monotonic=clock.seconds, wall=clock.seconds)


def ask(floor: Floor, path: str, method: bytes = b"GET", **headers: bytes) -> tuple[_Request, bytes]:
    """A request and the answer's body, through the resources as a listener mounts them."""
    from twisted.web.resource import Resource

    root = Resource()
    for name, resource in extra_resources(floor).items():
        root.putChild(name, resource)
    request = _Request(path.encode(), method, **headers)
    resource: IResource = getChildForRequest(root, request)
    return request, resource.render(request)


def page(floor: Floor, name: str) -> str:
    return ask(floor, f"/demo/{name}")[1].decode()


class PageTests:
    """What a browser loads."""

    def test_the_page_is_at_the_root(self, floor: Floor) -> None:
        """With its type, and never stale in a cache."""
        request, body = ask(floor, "/")
        assert body.startswith(b"<!doctype html>")
        assert request.header("content-type") == "text/html; charset=utf-8"
        assert request.header("cache-control") == "no-cache"

    def test_everything_it_names_is_there(self, floor: Floor) -> None:
        """Styles, icon, modules and the modules that these import; nothing comes from another host."""
        seen, names = set(), set(re.findall(r'(?:src|href)="/demo/([^"]+)"', ask(floor, "/")[1].decode()))
        while names - seen:
            name = (names - seen).pop()
            seen.add(name)
            request, body = ask(floor, f"/demo/{name}")
            assert request.responseCode is None or request.responseCode == 200, name
            assert len(body) > 100, name
            names.update(re.findall(r'from "\./([^"]+)"', body.decode()))
        assert {"app.js", "link.js", "ladder.js", "chart.js", "style.css", "icon.svg"} <= seen
        for name in (*seen, "index.html"):
            assert re.findall(r"https?://(?!www\.w3\.org/2000/svg|127\.0\.0\.1)", page(floor, name)) == [], name

    def test_nothing_is_inline(self, floor: Floor) -> None:
        """No script, style or handler stands in the page itself, and no code writes markup."""
        text = page(floor, "index.html")
        assert re.findall(r"<script(?![^>]*\bsrc=)", text) == []
        assert "<style" not in text
        assert re.findall(r"\s(?:on\w+|style)=", text) == []
        for name in ("app.js", "link.js", "ladder.js", "chart.js", "markets.js", "events.js", "text.js"):
            assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", page(floor, name)) == []

    def test_the_policy_lets_it_talk_to_its_own_host_only(self, floor: Floor) -> None:
        """Named with the WebSocket schemes; a strange Host is not echoed."""
        request, _ = ask(floor, "/", host=b"127.0.0.1:8080")
        policy = request.header("content-security-policy")
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; ")
        assert "connect-src 'self' ws://127.0.0.1:8080 wss://127.0.0.1:8080;" in policy
        assert "unsafe" not in policy
        request, _ = ask(floor, "/", host=b"evil; script-src *")
        assert "connect-src 'self';" in request.header("content-security-policy")
        assert "evil" not in request.header("content-security-policy")

    def test_a_browser_that_has_it_gets_304(self, floor: Floor) -> None:
        """By the hash of the file."""
        first, _ = ask(floor, "/demo/app.js")
        second, body = ask(floor, "/demo/app.js", if_none_match=first.header("etag").encode())
        assert (second.responseCode, body) == (304, b"")


class ButtonTests:
    """What the page may do to the exchange."""

    def test_the_buttons_work(self, floor: Floor) -> None:
        """Mute, unmute, drop and skip; each answers with the status."""
        assert json.loads(ask(floor, "/demo/mute", b"POST")[1])["muted"] is True
        assert json.loads(ask(floor, "/demo/status")[1])["muted"] is True
        assert json.loads(ask(floor, "/demo/unmute", b"POST")[1])["muted"] is False
        before = floor.market.listings["ETH-USD"].trade_id
        ask(floor, "/demo/skip?product=ETH-USD", b"POST")
        assert floor.market.listings["ETH-USD"].trade_id == before + 1
        assert ask(floor, "/demo/drop", b"POST")[0].responseCode is None

    def test_the_page_cannot_do_what_is_for_tests(self, floor: Floor) -> None:
        """Prices by hand, raw payloads, bursts and the journal are not served here."""
        assert sorted(BUTTONS) == ["drop", "mute", "skip", "status", "unmute"]
        for name in ("price", "raw", "burst", "refuse"):
            assert ask(floor, f"/demo/{name}", b"POST")[0].responseCode == 404
        assert ask(floor, "/demo/journal")[0].responseCode == 404

    def test_a_button_is_no_link(self, floor: Floor) -> None:
        """GET changes nothing, and neither does a page of another origin."""
        assert ask(floor, "/demo/mute")[0].responseCode == 405
        request, _ = ask(floor, "/demo/mute", b"POST", host=b"127.0.0.1:1", origin=b"http://evil.example")
        assert request.responseCode == 403
        assert floor.muted is False
