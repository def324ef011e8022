"""Pages that want a WebSocket, from the bytes of a handshake to the answer: whom the guard lets in, and whom it does not.

Each vector is what a browser, or somebody who plays one, writes into `Origin`, for a listener with these `origins` and
for this Host. That the decision itself is right for many more: tests/core/test_origin.py.
"""

# A vector is a line.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from relayd.core.guard import GuardSettings, Handshake, judge
from relayd.core.head import HeadLimits, HeadParser, RequestHead
from relayd.core.origin import OriginPolicy
from relayd.core.refusal import HttpRefusal

APP, BELOW, BOTH = "https://app.example.com", "https://*.example.com", "same https://app.example.com"
LET_IN = [
    ("same", "relay.example.com", "https://relay.example.com"), ("same", "relay.example.com:443", "https://relay.example.com"), ("same", "relay.example.com:8443", "https://relay.example.com:8443"),
    ("same", "RELAY.example.com", "https://relay.example.com"), ("same", "127.0.0.1:8080", "http://127.0.0.1:8080"), ("same", "[::1]:8080", "http://[::1]:8080"), ("same", "localhost", "http://localhost"),
    (APP, "relay.example.com", APP), (APP, "relay.example.com", APP + ":443"), (APP + ":443", "relay.example.com", APP), (APP, "other.example", APP), (BOTH, "relay.example.com", APP),
    (BELOW, "relay.example.com", "https://a.example.com"), (BELOW, "relay.example.com", "https://a.b.example.com"), ("https://bücher.example", "x", "https://xn--bcher-kva.example"),
    ("null", "relay.example.com", "null"), ("any", "relay.example.com", "https://evil.example"), ("chrome-extension://abcdefgh", "relay.example.com", "chrome-extension://abcdefgh"),
]  # fmt: skip
REFUSED = [
    # Another site.
    ("same", "relay.example.com", "https://evil.example"), (APP, "relay.example.com", "https://evil.example"), (BOTH, "relay.example.com", "https://evil.example"),
    # The name within another: suffix, prefix, label, user, port, path.
    (APP, "r.example", "https://app.example.com.evil.example"), (APP, "r.example", "https://evilapp.example.com"), (APP, "r.example", "https://app.example.comevil"), (APP, "r.example", "https://app-example.com"),
    (APP, "r.example", "https://app.example.com@evil.example"), (APP, "r.example", "https://app.example.com:443@evil.example"), (APP, "r.example", "https://evil.example/app.example.com"),
    (APP, "r.example", "https://evil.example#app.example.com"), (APP, "r.example", "https://evil.example?app.example.com"), (APP, "r.example", "https://evil.example\\.app.example.com"),
    (BELOW, "r.example", "https://example.com"), (BELOW, "r.example", "https://evilexample.com"), (BELOW, "r.example", "https://a.example.com.evil.example"), (BELOW, "r.example", "https://.example.com"),
    (BELOW, "r.example", "https://*.example.com"), (BELOW, "r.example", "https://a.example.com:8443"), (BELOW, "r.example", "http://a.example.com"),
    # Scheme and port.
    (APP, "r.example", "http://app.example.com"), (APP, "r.example", "wss://app.example.com"), (APP, "r.example", APP + ":8443"), (APP + ":8443", "r.example", APP), (APP, "r.example", APP + ":"),
    (APP, "r.example", APP + ":0443"), (APP, "r.example", APP + ":65979"), (APP, "r.example", APP + ":443:443"), (APP, "r.example", "ftp://app.example.com"), (APP, "r.example", "//app.example.com"),
    ("same", "relay.example.com", "https://relay.example.com:8443"), ("same", "relay.example.com:8443", "https://relay.example.com"), ("same", "localhost:8080", "http://127.0.0.1:8080"),
    # Letters that look alike, escapes, trailing dots.
    (APP, "r.example", "https://аpp.example.com"), (APP, "r.example", "https://xn--pp-7kc.example.com"), (APP, "r.example", "https://app.example.com."), (APP, "r.example", "https://app%2eexample.com"),
    (APP, "r.example", "https://app.example。com"), (APP, "r.example", "https://ａpp.example.com"), (APP, "r.example", "https://app.ex\u00adample.com"),
    # Nobody in particular.
    ("same", "relay.example.com", "null"), (APP, "relay.example.com", "null"), ("any", "relay.example.com", "null"), ("any", "relay.example.com", "file://"), (APP, "r.example", "NULL"), (APP, "r.example", ""),
    # Several.
    (APP, "r.example", f"{APP} https://evil.example"), (APP, "r.example", f"https://evil.example {APP}"), (APP, "r.example", f"{APP},https://evil.example"), (APP, "r.example", f"{APP}\r\nOrigin: https://evil.example"),
    (APP, "r.example", f"https://evil.example\r\nOrigin: {APP}"), (APP, "r.example", f"https://evil.example\r\norigin: {APP}"), (APP, "r.example", f"https://evil.example\r\n {APP}"), (APP, "r.example", f"{APP}\0"),
    # Headers that are not Origin.
    (APP, "r.example", f"https://evil.example\r\nReferer: {APP}/"), (APP, "r.example", "https://evil.example\r\nX-Forwarded-Host: app.example.com"), ("same", "r.example", "https://evil.example\r\nX-Forwarded-Host: evil.example"),
    ("same", "r.example", "https://evil.example\r\nForwarded: host=evil.example"), ("same", "r.example", "https://evil.example\r\nSec-WebSocket-Origin: https://r.example"), ("same", "r.example", "https://evil.example\r\nSec-Fetch-Site: same-origin"),
    # Host that is not one.
    ("same", "relay.example.com\r\nHost: evil.example", "https://evil.example"), ("same", "evil.example@relay.example.com", "https://evil.example"), ("same", "", "https://evil.example"),
]  # fmt: skip


def knock(origins: str, host: str, origin: str) -> str:
    """What becomes of the handshake: `in`, or the label of the refusal."""
    head = (
        f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: {origin}\r\n\r\n"
    )
    answer = HeadParser(HeadLimits()).feed(head.encode())
    if isinstance(answer, RequestHead):
        secure = origin.startswith("https") and host.endswith("443")
        purpose = judge(answer, GuardSettings(origins=OriginPolicy.parse(origins.split()), secure=secure))
        return "in" if isinstance(purpose, Handshake) else getattr(purpose, "label", "not a handshake")
    assert isinstance(answer, HttpRefusal)
    return answer.label


class OriginVectorTests:
    """Each vector."""

    def test_count(self) -> None:
        """As many as the plan asks for."""
        assert len(LET_IN) + len(REFUSED) >= 60
        assert len(set(LET_IN + REFUSED)) == len(LET_IN) + len(REFUSED)

    @pytest.mark.parametrize(("origins", "host", "origin"), LET_IN)
    def test_let_in(self, origins: str, host: str, origin: str) -> None:
        """Pages that are named."""
        assert knock(origins, host, origin) == "in"

    @pytest.mark.parametrize(("origins", "host", "origin"), REFUSED)
    def test_refused(self, origins: str, host: str, origin: str) -> None:
        """By the guard, before anything of relayd has seen it: for the Origin, or since the head is no head."""
        assert knock(origins, host, origin) in {
            "origin", "bad_origin", "bad_byte", "repeated_field", "folded_field", "bad_host", "bad_field",
        }  # fmt: skip
