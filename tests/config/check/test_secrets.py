"""Environment variables that routes need."""

from __future__ import annotations

import pytest

from tests.support.relay_yaml import ROUTE, UPSTREAM, relay_yaml, told

SIGNED = """\
connect: {url: "wss://feed.example.com/ws"}
topic: {at: {channel: type, symbol: product_id}}
subscribe:
  - {for: {channel: book}, each: $symbol, send: {key: "${env.BOOK_KEY}", channel: $channel, symbols: $topics}}
  - {each: $symbol, send: {channel: $channel, symbols: $topics}}
"""


def missing(upstream, route=ROUTE, **environ):
    """The variables that are asked for, with the place of each."""
    found = told(relay_yaml(upstream, route), **environ)
    assert all(" is not set (expected " in one for one in found)
    return [(one.split(": ")[0], one.split("variable ")[1].split(" ")[0]) for one in found]


class EnvironmentTests:
    """What is needed is there, or named."""

    def test_message(self):
        """The place, the name, and what to do."""
        block = UPSTREAM + 'login: [{send: {token: "Bearer ${env.TOKEN}"}}]'
        assert told(relay_yaml(block)) == [
            "upstreams.feed.login[0].send.token: the environment variable TOKEN is not set "
            "(expected TOKEN in the environment, or ${env.TOKEN:-default})"
        ]
        assert told(relay_yaml(block), TOKEN="") == []

    def test_default(self):
        """A default is as good."""
        assert missing(UPSTREAM + 'login: [{send: "${env.TOKEN:-none}"}]') == []

    def test_once(self):
        """Each variable is named once, where it is first used."""
        block = UPSTREAM + 'login: [{send: {a: "${env.A}${env.B}", b: "${env.A}"}}]'
        assert missing(block) == [("upstreams.feed.login[0].send.a", "A"), ("upstreams.feed.login[0].send.a", "B")]

    @pytest.mark.parametrize(
        ("block", "place"),
        [
            (UPSTREAM.replace("/ws", "/${env.X}"), "connect.url"),
            (UPSTREAM.replace('/ws"', '/ws", headers: {A: "${env.X}"}'), "connect.headers.A"),
            (
                UPSTREAM.replace('/ws"', '/ws", before: [{http: {url: "https://a/${env.X}"}}]'),
                "connect.before[0].http.url",
            ),
            (UPSTREAM.replace("op: $verb", 'op: $verb, "${env.X}": 1'), 'subscribe.send["${env.X}"]'),
            (
                UPSTREAM + 'unsubscribe: {each: $symbol, send: {a: "${env.X}", c: $channel, s: $topics}}',
                "unsubscribe.send.a",
            ),
            (UPSTREAM + 'heartbeat: {send: "${env.X}"}', "heartbeat.send"),
            (UPSTREAM + 'control: [{when: {a: 1}, send: ["${env.X}"]}]', "control[0].send[0]"),
            (
                UPSTREAM + 'snapshot: [{for: {channel: ticker}, http: {url: "https://a/${env.X}"}}]',
                "snapshot[0].http.url",
            ),
        ],
    )
    def test_places(self, block, place):
        """Wherever templates stand."""
        assert missing(block) == [(f"upstreams.feed.{place}", "X")]

    def test_data_is_no_template(self):
        """Values of the `topics` table are sent as they are, `$$` is a dollar sign."""
        block = """\
        connect: {url: "wss://a/ws"}
        topic: {at: ch}
        topics: {ticker: {query: "${env.X}"}}
        subscribe: {send: {q: $query, price: "$${env.Y}"}}
        """
        assert missing(block, "{topic: m/$name, upstream: feed, allow: {name: [ticker]}}") == []

    def test_variant_that_no_route_reaches(self):
        """It is not required; the one that is reached is."""
        assert missing(SIGNED) == []
        route = "{topic: m/$symbol, upstream: feed, allow: {channel: [book], symbol: any}}"
        assert missing(SIGNED, route) == [("upstreams.feed.subscribe[0].send.key", "BOOK_KEY")]

    def test_upstream_without_a_route(self):
        """It is never dialled."""
        text = relay_yaml(SIGNED.replace("/ws", "/${env.X}"), top="")
        other = text.replace("upstreams:\n", 'upstreams:\n  used: {connect: {url: "wss://a"}, topic: {at: ch}}\n')
        assert told(other.replace(ROUTE, "{topic: m/$name, upstream: used}")) == []
