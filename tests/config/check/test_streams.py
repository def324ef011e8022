"""What cannot be said on an event stream."""

from __future__ import annotations

import pytest

from tests.config.check.test_upstreams import about

PUSHED = "transport: sse\nconnect: {url: 'https://a/s'}\ntopic: {at: {channel: type, symbol: s}}\n"
NOTHING_HEARD = "an event stream hears nothing: nothing can be sent on it"


class StreamTests:
    """`transport: sse`."""

    def test_good(self):
        """Topics in the URL, or subscribed by HTTP; ids and names are paths."""
        assert about(PUSHED + "cursor: {at: sse.id}\nsilence: {any: 30s}\nheartbeat: off\n") == []
        http = "subscribe: {each: $symbol, http: {method: POST, url: 'https://a/$channel', json: {symbols: $topics}}}\n"
        said = "control: [{when: {a: b}, do: beat}]\nsnapshot: {when: {a: s}}\n"
        assert about(PUSHED + said) == []
        login = "login: [{expect: {sse.event: hello}, save: {id: id}}]\n"
        assert about(PUSHED + http + login) == []

    @pytest.mark.parametrize("text", ["wss://a", "http:a"])
    def test_scheme(self, text):
        """http: or https:."""
        assert about(PUSHED.replace("https://a/s", text)) == [
            "connect.url: not the URL of an event stream (expected http://... or https://...)"
        ]

    @pytest.mark.parametrize(
        ("block", "place", "expected"),
        [
            ("login: [{send: hi}]", "login[0].send", "`expect` alone, or `connect.before`"),
            ("subscribe: {each: $symbol, send: {s: $topics, c: $channel}}", "subscribe.send", "`in: url` or `http`"),
            ("control: [{when: {a: b}, send: pong}]", "control[0].send", "`do`"),
            ("snapshot: {send: {s: $symbol}, when: {a: b}}", "snapshot.send", "`http`"),
            ("heartbeat: {every: 5s}", "heartbeat", "`silence.any`: comments and data are its beats"),
            ("limits: {send: 5/1s}", "limits.send", "`connect` or `http`"),
            ("limits: {subscribe: 5/1s}", "limits.subscribe", "`connect` or `http`"),
            ("limits: {first_send: 5s}", "limits.first_send", "`connect` or `http`"),
        ],
    )
    def test_nobody_listens(self, block, place, expected):
        """Whatever would be sent is refused, and told what could stand there."""
        assert f"{place}: {NOTHING_HEARD} (expected {expected})" in about(PUSHED + block + "\n")

    def test_protocols(self):
        """They belong to WebSockets."""
        text = PUSHED.replace("'https://a/s'", "'https://a/s', protocols: [a]")
        assert about(text) == [f"connect.protocols: {NOTHING_HEARD} (expected `connect.headers`)"]

    def test_unsubscribe(self):
        """By HTTP as well."""
        http = "subscribe: {each: $symbol, http: {url: 'https://a/$channel?s=$topics'}}\n"
        said = about(PUSHED + http + "unsubscribe: {send: {s: $symbol}}\n")
        assert said == [f"unsubscribe.send: {NOTHING_HEARD} (expected `http`)"]

    def test_anything_goes_on_a_websocket(self):
        """Where somebody listens."""
        assert about(PUSHED.replace("transport: sse\n", "").replace("https", "wss") + "limits: {send: 5/1s}\n") == []
