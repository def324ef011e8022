"""Routes with their upstream."""

# Messages stand here as a person reads them: in one line.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from tests.support.relay_yaml import UPSTREAM, problems, relay_yaml, told

WITH_BOOKS = UPSTREAM + "snapshot: {for: {channel: book}, when: {type: snapshot}}"
BY_NAME = """\
connect: {url: "wss://feed.example.com/ws"}
topic: {at: ch}
subscribe: {send: {op: $verb, channels: $topics}}
"""
BOUND = """\
connect: {url: "wss://feed.example.com/ws"}
topic: {bound: id, at: {entity: data.entity}}
subscribe: {send: {id: $id, event: $event}, bind: $id}
"""


def about(route: str, upstream: str = UPSTREAM) -> list[str]:
    """What is said of a route, without its path."""
    return [one.removeprefix("routes[0].") for one in told(relay_yaml(upstream, f"{{upstream: feed, {route}}}"))]


class TopicTests:
    """What a topic is made of."""

    @pytest.mark.parametrize(
        ("topic", "said"),
        [
            ("a//b", "a topic has no empty segment: no slash at either end, no two in a row"),
            ("/a", "a topic has no empty segment: no slash at either end, no two in a row"),
            ("a-$symbol", "'a-$symbol': a $field is one whole segment, lower-case letters, digits and _"),
            ("$symbol/$symbol", "$symbol stands twice"),
            ("a b", "a topic segment holds A-Z a-z 0-9 . _ : @ - and ~XX (upper-case hex of a UTF-8 byte)"),
        ],
    )
    def test_grammar(self, topic, said):
        """What is wrong, and what it should look like."""
        assert about(f"topic: '{topic}', allow: {{channel: [x], symbol: any}}") == [
            f"topic: {said} (expected a template such as market/ticker/$symbol)"
        ]

    def test_field_that_the_upstream_does_not_yield(self):
        """The field that was meant."""
        assert about("topic: m/$symbl, allow: {channel: [x], symbol: any}") == [
            "topic: the upstream feed yields no field symbl; did you mean symbol?"
        ]

    def test_no_such_field_at_all(self):
        """All that there are."""
        assert about("topic: m/$zzz, allow: {channel: [x], symbol: any}") == [
            "topic: the upstream feed yields no field zzz (expected one of its fields: channel or symbol)"
        ]

    def test_in_allow(self):
        """A rule for a field that is nowhere."""
        assert about("topic: m/$symbol, allow: {chanel: [x], symbol: any}") == [
            "allow.chanel: the upstream feed yields no field chanel; did you mean channel?"
        ]

    def test_feed_name(self):
        """A feed name is the single field `name`."""
        assert about("topic: m/$symbol, allow: {symbol: any}", BY_NAME) == [
            "topic: the upstream feed yields no field symbol (expected one of its fields: name)"
        ]

    def test_bound(self):
        """The fields a subscription was made with, and those that messages add."""
        assert about("topic: m/$event/$entity, allow: {event: [a]}", BOUND) == []
        assert about("topic: m/$event, allow: {event: [a]}", BOUND) == []


class IdentityTests:
    """Fields that an upstream subscription depends on."""

    def test_nothing_fixes_it(self):
        """It is neither in the topic nor in `allow`."""
        assert about("topic: m/$symbol, allow: {symbol: any}") == [
            "topic: nothing fixes the field channel, which an upstream subscription depends on "
            "(expected $channel in the topic, or one value in allow.channel)"
        ]

    @pytest.mark.parametrize("rule", ["[a, b]", "'a*'", "any", "{regex: a}"])
    def test_several_values_do_not_fix_it(self, rule):
        """One value does."""
        assert about(f"topic: m/$symbol, allow: {{symbol: any, channel: {rule}}}") == [
            "allow.channel: nothing fixes the field channel, which an upstream subscription depends on "
            "(expected $channel in the topic, or one value in allow.channel)"
        ]

    def test_allow_is_required(self):
        """A browser must not invent subscriptions without limit."""
        assert problems(relay_yaml(route="- topic: m/$channel/$symbol\n  upstream: feed\n  allow: {channel: [a]}")) == [
            "9:12: routes[0].allow: `allow` must say which values $symbol may have: each is an upstream subscription "
            "(expected symbol: a list, a glob, {regex: ...} or any)"
        ]

    def test_not_for_other_fields(self):
        """A field that only messages have needs no rule."""
        assert about("topic: m/$event/$entity, allow: {event: [a]}", BOUND) == []

    def test_pushed_unasked(self):
        """Without `subscribe` there is nothing to invent."""
        pushed = "connect: {url: 'wss://a'}\ntopic: {at: {channel: type, symbol: s}}"
        assert about("topic: m/$channel/$symbol", pushed) == []

    def test_only_variants_that_are_reached(self):
        """What another variant needs is not asked of this route."""
        upstream = """\
        connect: {url: "wss://a/ws"}
        topic: {at: {channel: type, symbol: s, depth: d}}
        subscribe:
          - {for: {channel: book}, send: {c: $channel, s: $symbol, d: $depth}}
          - {send: {c: $channel, s: $symbol}}
        """
        assert about("topic: m/$symbol, allow: {channel: [trade], symbol: any}", upstream) == []
        (problem,) = about("topic: m/$symbol, allow: {channel: [book], symbol: any}", upstream)
        assert problem.startswith("topic: nothing fixes the field depth")

    def test_no_variant(self):
        """The upstream cannot be asked for these topics."""
        upstream = UPSTREAM.replace("{each:", "{for: {channel: book}, each:")
        assert about("topic: m/$symbol, allow: {channel: [trade], symbol: any}", upstream) == [
            "allow: no `subscribe` variant of the upstream feed is for these topics (expected values that a `for` matches)"
        ]


class FeedNameTests:
    """A list of feed names is all there are."""

    UPSTREAM = BY_NAME + "topics: [ticker, trades]"

    def test_unknown(self):
        """The name that was meant, or all."""
        assert about("topic: m/$name, allow: {name: [ticker, trade]}", self.UPSTREAM) == [
            "allow.name[1]: the upstream feed has no feed name trade; did you mean trades?"
        ]
        assert about("topic: m/$name, allow: {name: [x]}", self.UPSTREAM) == [
            "allow.name[0]: the upstream feed has no feed name x (expected ticker or trades)"
        ]

    @pytest.mark.parametrize("rule", ["[ticker]", "'t*'", "any"])
    def test_known(self, rule):
        """Nothing to say."""
        assert about(f"topic: m/$name, allow: {{name: {rule}}}", self.UPSTREAM) == []

    def test_taken_apart(self):
        """With `topic.name` the fields are parts of a feed name."""
        upstream = self.UPSTREAM.replace("{at: ch}", "{at: ch, name: $name.$x}")
        assert about("topic: m/$name/$x, allow: {name: [zzz], x: any}", upstream) == []


class DeliveryTests:
    """Conflation and deltas."""

    BOOK = "topic: m/$symbol, allow: {channel: [book], symbol: any}"

    def test_default(self):
        """Lossless or queue: nothing to say."""
        assert about(self.BOOK, WITH_BOOKS) == []

    @pytest.mark.parametrize(
        ("deliver", "key"),
        [("{mode: conflate}", "mode"), ("{max_hz: 10}", "max_hz"), ("{mode: conflate, max_hz: 1}", "mode")],
    )
    def test_deltas_are_not_conflated(self, deliver, key):
        """A delta left out makes all that follow wrong."""
        assert about(f"{self.BOOK}, deliver: {deliver}", WITH_BOOKS) == [
            f"deliver.{key}: a topic of deltas cannot be conflated: a delta left out makes all that follow wrong "
            "(expected mode: lossless or queue, and no max_hz)"
        ]

    def test_other_topics_are(self):
        """Where no snapshot applies."""
        assert (
            about(
                "topic: m/$symbol, allow: {channel: [ticker], symbol: any}, deliver: {mode: conflate, max_hz: 10}",
                WITH_BOOKS,
            )
            == []
        )

    @pytest.mark.parametrize("rule", ["[book, ticker]", "any", "'b*'"])
    def test_both_kinds(self, rule):
        """They are delivered differently."""
        assert about(f"topic: m/$channel/$symbol, allow: {{channel: {rule}, symbol: any}}", WITH_BOOKS) == [
            "allow: this route lets through topics with deltas and topics without: they are delivered differently "
            "(expected one route for each kind)"
        ]

    def test_key(self):
        """A key has a meaning only with conflation."""
        ticker = "topic: m/$symbol, allow: {channel: [ticker], symbol: any}"
        assert about(f"{ticker}, deliver: {{key: id}}") == [
            "deliver.key: a key has a meaning only with conflation (expected mode: conflate)"
        ]
        assert about(f"{ticker}, deliver: {{key: id, mode: conflate}}") == []
        assert about(f"{ticker}, deliver: {{key: id, max_hz: 1}}") == []


class PinTests:
    """Topics that are kept without a browser."""

    LISTED = "topic: m/$channel/$symbol, allow: {channel: [a, b], symbol: ['1']}"
    GLOB = "topic: m/$symbol, allow: {channel: [a], symbol: '*-USD'}"

    @pytest.mark.parametrize("pin", ["true", "false", "[]", "[m/a/1]"])
    def test_good(self, pin):
        """All, none, or these."""
        assert about(f"{self.LISTED}, pin: {pin}") == []

    def test_all_of_what_is_not_listed(self):
        """Nobody knows them."""
        assert about(f"{self.GLOB}, pin: true") == [
            "pin: `true` pins every topic of the route, and allow.symbol is no list (expected a list for symbol, or the topics to pin)"
        ]

    def test_wrong_topics(self):
        """Each at its place."""
        assert about(f"{self.GLOB}, pin: [m/BTC-USD, m/BTC-EUR, x]") == [
            "pin[1]: allow.symbol does not let m/BTC-EUR through",
            "pin[2]: x is no topic of this route (expected m/$symbol)",
        ]

    def test_field_without_a_rule(self):
        """It may have any value."""
        assert about("topic: m/$event/$entity, allow: {event: [a]}, pin: [m/a/x]", BOUND) == []
