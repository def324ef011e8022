"""What a route's `publish` sends."""

# Messages stand here as a person reads them: in one line.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from tests.support.relay_yaml import UPSTREAM, config, relay_yaml, told

BY_NAME = """\
connect:
  url: "wss://feed.example.com/ws"
  before: [{http: {method: POST, url: "https://feed.example.com/t"}, save: {token: t}}]
topic: {at: ch, name: "$kind@$symbol"}
subscribe: {send: {op: $verb, channels: $topics}}
topics: {a@b: {code: 5}}
"""


def about(route: str, upstream: str = UPSTREAM, fields: str = "{channel: [x], symbol: any}") -> list[str]:
    """What is said of a route with that, without its path."""
    text = f"{{upstream: feed, topic: m/$symbol, allow: {fields}, {route}}}"
    return [one.removeprefix("routes[0].") for one in told(relay_yaml(upstream, text))]


PUBLIC = "access: {publish: public}"


class WayUpTests:
    """Who may, what is sent, and with what."""

    def test_right(self):
        """Fields of the topic and fixed ones, an id, what was published."""
        assert about(f"{PUBLIC}, publish: {{send: {{op: say, id: $id, to: $symbol, ch: $channel, m: $data}}}}") == []
        assert about(f"{PUBLIC}, publish: {{send: $data}}") == []
        assert about("access: {subscribe: public}") == []
        fields = "{kind: [x], symbol: any}"
        send = "{t: $topic, k: $token, c: $code, m: $data}"
        assert about(f"{PUBLIC}, publish: {{send: {send}}}", BY_NAME, fields) == []
        read = config(
            relay_yaml(
                route=f"{{upstream: feed, topic: m/$symbol, allow: {{channel: [x], symbol: any}}, {PUBLIC}, publish: {{send: {{m: $data}}}}}}"
            )
        )
        assert read.routes[0].publish.send == {"m": "$data"}

    def test_nothing_is_sent(self):
        """Who may publish is asked for in vain."""
        assert about(PUBLIC) == [
            "access.publish: nothing says what is sent to the upstream feed (expected `publish: {send: ...}`, or nobody)"
        ]

    def test_nobody(self):
        """What is sent is said in vain."""
        assert about("publish: {send: $data}") == [
            "publish: nobody may publish, so nothing is ever sent (expected access: {publish: ...} with who may, or no `publish`)"
        ]

    def test_stream(self):
        """A stream of events hears nothing."""
        upstream = "transport: sse\nconnect: {url: 'https://feed.example.com/'}\ntopic: {at: {channel: c, symbol: s}}\n"
        assert about(f"{PUBLIC}, publish: {{send: $data}}", upstream) == [
            "publish: an event stream hears nothing: nothing can be sent on it (expected no `publish`)"
        ]

    @pytest.mark.parametrize(
        ("send", "said"),
        [
            ("{op: say}", "what is published stands nowhere in it (expected $data in the message)"),
            ("{m: $data, x: $symbl}", "$symbl has no value here; there are $channel, $data, $id, $now, $now_ms, $symbol, $uuid"),
            ("{m: $data, x: $topic}", "$topic has no value here; there are $channel, $data, $id, $now, $now_ms, $symbol, $uuid"),
            ("{m: $data, x: '${env.KEY}'}", "${env.KEY}: a secret is not said at a browser's word (expected it in `connect` or `login`)"),
            ("{m: $data, x: 's3cret$ x'}", "a placeholder is $name or ${name}; a dollar sign is written $$"),
        ],
    )  # fmt: skip
    def test_message(self, send, said):
        """What cannot be sent; what may be a secret is not repeated."""
        assert about(f"{PUBLIC}, publish: {{send: {send}}}") == [f"publish.send: {said}"]

    def test_data_is_taken(self):
        """A field of that name."""
        upstream = UPSTREAM.replace("symbol: product_id", "data: product_id").replace("$symbol", "$data")
        text = f"{{upstream: feed, topic: m/$data, allow: {{channel: [x], data: any}}, {PUBLIC}, publish: {{send: $data}}}}"
        assert told(relay_yaml(upstream, text)) == [
            "routes[0].publish.send: $data is what is published; the route has a field of that name (expected another name for the field)"
        ]

    def test_feed_name(self):
        """`$topic` needs all of its fields."""
        upstream = BY_NAME.replace("topics: {a@b: {code: 5}}\n", "")
        text = "{upstream: feed, topic: m/$symbol, allow: {kind: any, symbol: any}, access: {publish: public}, publish: {send: [$topic, $data]}}"
        assert any("publish.send: $topic has no value here" in one for one in told(relay_yaml(upstream, text)))
