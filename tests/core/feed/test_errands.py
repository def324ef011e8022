"""Snapshots on request, and fresh tokens."""

from __future__ import annotations

from typing import Any

from relayd.core.feed.dialect import Dialect
from relayd.core.feed.errands import Errands
from relayd.core.feed.outcome import Beat, Control, Data, HttpRequest, Unknown, Unrouted
from relayd.core.feed.resume import Resume
from relayd.core.feed.voice import Voice
from tests.support.talk import dialect, read

BTC = {"channel": "book", "symbol": "btc"}


def errands(spoken: Dialect, *, wanted: bool = True, **secrets: str) -> tuple[Errands[str], Voice]:
    """The errands of a connection."""
    voice = Voice(wall=lambda: 0.0, uuid=lambda: "u", secrets=secrets, saved={"token": "old"}, resume=Resume())
    return Errands[str](spoken, voice, lambda topic: wanted), voice


def by_http(**http: Any) -> Dialect:
    """A snapshot that is fetched."""
    block = {"for": {"channel": "book"}, "last": "n", "http": {"url": "https://h/${symbol.upper}?limit=5", **http}}
    return dialect(snapshot=[{"when": {"t": "s"}}, block])


class SnapshotTests:
    """A topic's whole state."""

    def test_fetched(self) -> None:
        """The reply is a publication, with the last number it holds."""
        made, _ = errands(by_http())
        (request,) = made.snapshot("t", BTC)
        assert isinstance(request, HttpRequest) and request.url == "https://h/BTC?limit=5" and request.number == 1
        assert 1 in made and 2 not in made
        assert made.reply(b'{"n": "160"}', 200, 1) == Data(("t",), b'{"n": "160"}', True, snapshot=True, seq=160)
        assert 1 not in made

    def test_asked_for(self) -> None:
        """By a message, with the values of the topic."""
        made, _ = errands(dialect(snapshot={"when": {"rep": "*"}, "send": {"req": "$symbol", "id": "$id"}}))
        assert read(made.snapshot("t", BTC)) == [{"req": "btc", "id": 1}]

    def test_none(self) -> None:
        """For other topics, or where a value is missing."""
        made, _ = errands(by_http())
        assert made.snapshot("t", {"channel": "ticker", "symbol": "btc"}) == []
        assert errands(by_http(headers={"X": "a"}, query={}, json={"k": "${env.K}"}))[0].snapshot("t", BTC) == []

    def test_a_reply_that_is_none(self) -> None:
        """It is asked for again."""
        for body, status in ((b'{"n": 1}', 500), (b"{}", 200), (b"<html>", 200)):
            made, _ = errands(by_http())
            made.snapshot("t", BTC)
            assert made.reply(body, status, 1) == Control("resync", ("t",))

    def test_a_reply_that_nobody_waits_for(self) -> None:
        """The topic was dropped meanwhile."""
        made, _ = errands(by_http(), wanted=False)
        made.snapshot("t", BTC)
        assert made.reply(b'{"n":1}', 200, 1) == Unrouted()

    def test_without_a_number(self) -> None:
        """The whole reply, and nothing is compared."""
        made, _ = errands(dialect(snapshot={"http": {"url": "https://h"}}))
        made.snapshot("t", BTC)
        assert made.reply(b"x", 200, 1) == Data(("t",), b"x", True, snapshot=True)


REFRESH: Any = {
    "url": "wss://h",
    "refresh": {
        "every": "30m",
        "http": {"method": "PUT", "url": "https://h/key", "headers": {"X": "$token"}},
        "save": {"token": "t"},
    },
}


class RefreshTests:
    """`connect.refresh`."""

    def test_saved(self) -> None:
        """What the reply holds is used from now on."""
        made, voice = errands(dialect(connect=REFRESH))
        (request,) = made.refresh()
        assert request.headers == (("X", "old"),) and request.number in made
        assert made.reply(b'{"t":"new"}', 200, request.number) == Beat() and voice.saved == {"token": "new"}
        assert made.refresh()[0].headers == (("X", "new"),) and request.number not in made

    def test_a_failure(self) -> None:
        """What was saved stays."""
        made, voice = errands(dialect(connect=REFRESH))
        (request,) = made.refresh()
        assert made.reply(b'{"t":"new"}', 403, request.number) == Unknown() and voice.saved == {"token": "old"}

    def test_none(self) -> None:
        """Nothing to refresh, or a value is missing."""
        assert errands(dialect())[0].refresh() == []
        lacking = {**REFRESH, "refresh": {**REFRESH["refresh"], "http": {"url": "https://h/${env.K}"}}}
        assert errands(dialect(connect=lacking))[0].refresh() == []
