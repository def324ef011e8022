"""What the model finds wrong, in a person's words, each at its place."""

# Messages stand here as a person reads them: in one line.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from relayd.config.findings import known_keys
from tests.support.relay_yaml import UPSTREAM, problems, relay_yaml, told


def about_route(keys: str) -> list[str]:
    """What is said of a route with these keys, without its path."""
    route = f"{{topic: m/$symbol, upstream: feed, allow: {{channel: [ticker], symbol: any}}, {keys}}}"
    return [problem.removeprefix("routes[0].") for problem in told(relay_yaml(route=route))]


def about_upstream(block: str) -> list[str]:
    """What is said of an upstream with this block, without its path."""
    return [problem.removeprefix("upstreams.feed.") for problem in told(relay_yaml(UPSTREAM + block))]


class UnknownTests:
    """Keys that nobody knows."""

    def test_near(self):
        """The key that was meant."""
        assert about_route("lingr: 5s") == ["lingr: unknown key; did you mean linger?"]

    def test_far(self):
        """All that there are."""
        assert told(relay_yaml(top="log: {zzz: 1}")) == ["log.zzz: unknown key (expected addresses, format or level)"]

    def test_place(self):
        """The key, not its value."""
        assert problems(relay_yaml(top="log:\n  colour: 1")) == [
            "9:3: log.colour: unknown key (expected addresses, format or level)"
        ]

    def test_model_names_are_not_keys(self):
        """`linger_s` is an attribute."""
        assert about_route("linger_s: 5s") == ["linger_s: unknown key; did you mean linger?"]
        assert about_upstream("sequence: {for_: {channel: x}, at: nr}") == [
            "sequence.for_: unknown key; did you mean for?"
        ]

    def test_upstream_named_like_a_key(self):
        """Names are no keys."""
        text = relay_yaml().replace("  feed:", "  connect:").replace("upstream: feed", "upstream: connect")
        assert told(text.replace("topic: {at", "tpic: {at")) == [
            "upstreams.connect.tpic: unknown key; did you mean topic?"
        ]

    @pytest.mark.parametrize(
        ("loc", "key"),
        [
            ((), "upstreams"),
            (("listeners", 0, "tls"), "client_ca"),
            (("upstreams", "topic", "subscribe", 1, "set", "x", "a signature"), "key_is"),
            (("upstreams", "x", "heartbeat"), "also"),
            (("upstreams", "x", "snapshot", 0, "http"), "json"),
        ],
    )
    def test_known_keys(self, loc, key):
        """The keys of a block at pydantic's location."""
        assert key in known_keys(loc)

    def test_no_block(self):
        """Where no block is, there are no keys."""
        assert known_keys(("upstreams", "x", "topic", "map", "a")) == set()
        assert known_keys(("routes", 0, "topic", "x")) == set()


class MissingTests:
    """Keys that must be there."""

    def test_missing(self):
        """At the block that lacks it."""
        assert problems("upstreams: {feed: {topic: {at: x}}}\nroutes:\n- {upstream: feed}\n") == [
            "1:19: upstreams.feed: `connect` is missing",
            "3:3: routes[0]: `topic` is missing",
        ]

    def test_misspelt(self):
        """Told once: the misspelt key says it."""
        assert told(relay_yaml(UPSTREAM.replace("connect", "conect"))) == [
            "upstreams.feed.conect: unknown key; did you mean connect?"
        ]


class WordTests:
    """pydantic's complaints."""

    @pytest.mark.parametrize(
        ("keys", "said"),
        [
            ("linger: 5", "linger: a duration needs its unit (got 5, expected a duration such as 500ms, 30s, 1m30s or 23h30m)"),
            ("linger: ", "linger: nothing stands here (got nothing, expected a duration such as 500ms, 30s, 1m30s or 23h30m)"),
            ("deliver: {mode: conflat}", 'deliver.mode: not one of the words known here (got "conflat", expected queue, conflate or lossless); did you mean conflate?'),
            ("deliver: {mode: 5}", "deliver.mode: not one of the words known here (got 5, expected queue, conflate or lossless)"),
            ("deliver: {stamp: 1}", "deliver.stamp: not a switch (got 1, expected true or false)"),
            ("deliver: [x]", "deliver: not a table (got a list, expected keys with values)"),
            ("deliver: {key: true}", "deliver.key: not a path (got true, expected a path such as data.0.symbol, a position such as 0 or -1, or a JSON Pointer such as /a/b)"),
        ],
    )  # fmt: skip
    def test_route(self, keys, said):
        """What stands there, and what should."""
        assert about_route(keys) == [said]

    @pytest.mark.parametrize(
        ("top", "said"),
        [
            ("limits: {connections: 1.5}", "limits.connections: not a whole number (got 1.5, expected a whole number)"),
            ("limits: {connections: 0}", "limits.connections: too small (got 0, expected a whole number from 1)"),
            ("limits: {connections: 1000000001}", "limits.connections: too large (got 1000000001, expected at most 1e+09)"),
            ("limits: {per_address: none}", 'limits.per_address: not a whole number (got "none", expected a whole number)'),
            ("log: text", 'log: not a table (got "text", expected keys with values)'),
            ("listeners: tcp:8080", 'listeners: not a list (got "tcp:8080", expected a list such as [a, b])'),
            ("listeners: []", "listeners: too few entries (got a list, expected 1 or more)"),
            ("listeners: [{endpoint: tcp:1, origins: []}]", "listeners[0].origins: too few entries (got a list, expected 1 or more)"),
            ("listeners: [{endpoint: tcp:1, tls: {cert: '', key: 5}}]", 'listeners[0].tls.cert: an empty text (got "", expected text)'),
        ],
    )  # fmt: skip
    def test_top(self, top, said):
        """What stands there, and what should."""
        assert told(relay_yaml(top=top))[0] == said

    def test_number_where_text_is_meant(self):
        """Quotes make it text; where it may be a secret it is not repeated."""
        assert about_upstream("reconnect: {codes: {1008: 5}}") == [
            "reconnect.codes[1008]: not something to do after a close (got 5, expected stop, retry, wait, forget-cursor or a duration such as 2m)"
        ]
        text = relay_yaml(route="{topic: 5, upstream: true}")
        assert told(text) == [
            'routes[0].topic: a number where text is meant (got 5, expected quotes: "5")',
            'routes[0].upstream: not text (got true, expected quotes: "true")',
        ]
        assert told(relay_yaml(UPSTREAM.replace('"wss://feed.example.com/ws"', "31337"))) == [
            "upstreams.feed.connect.url: a number where text is meant (got a number, expected quotes)"
        ]

    def test_key_of_the_wrong_type(self):
        """The key's place."""
        assert problems(relay_yaml(route="{topic: x, upstream: 5}").replace("  feed:", "  5:")) == [
            '2:3: upstreams[5]: a number where text is meant (got 5, expected quotes: "5")',
            '7:26: routes[0].upstream: a number where text is meant (got 5, expected quotes: "5")',
        ]
        assert about_upstream("topics:\n  5: {a: 1}") == [
            "topics[5]: a number where text is meant (got a number, expected quotes)"
        ]

    def test_off(self):
        """Only a switch can be switched off."""
        assert about_route("linger: off") == [
            "linger: `off` is false in YAML 1.1 and text in YAML 1.2, and nothing can be switched off here "
            "(got off, expected a duration such as 500ms, 30s, 1m30s or 23h30m)"
        ]

    def test_union_and_variants(self):
        """Steps of pydantic's that the file has not are left out of the path."""
        block = UPSTREAM.replace("each:", "set: {sig: {hmac: md5, key: k, text: t}}, within: 5, each:")
        assert told(relay_yaml(block)) == [
            "upstreams.feed.subscribe.set.sig.hmac: not one of the words known here (got text, expected sha1, sha256, sha384 or sha512)",
            "upstreams.feed.subscribe.within: a duration needs its unit (got 5, expected a duration such as 500ms, 30s, 1m30s or 23h30m)",
        ]
        assert about_upstream("topics:\n  a: {as: 5}") == [
            "topics.a.as: a number where text is meant (got a number, expected quotes)"
        ]

    def test_too_many(self):
        """A pair is two."""
        assert told(relay_yaml(UPSTREAM.replace("each:", "verbs: [a, b, c], each:"))) == [
            "upstreams.feed.subscribe.verbs: too many entries (got a list, expected 2 at most)"
        ]
        assert told(relay_yaml(UPSTREAM.replace("each:", "verbs: [a], each:"))) == [
            "upstreams.feed.subscribe.verbs: too few entries (got a list, expected 2 or more)"
        ]

    def test_what_pydantic_says_else(self):
        """A kind of error that has no words here is told in pydantic's."""
        from relayd.config.findings import Finding
        from relayd.config.problem import Source

        details = {"type": "recursion_loop", "loc": ("log",), "msg": "Recursion error", "input": 5}
        assert str(Finding(Source("f", {"log": 5}, {}, {}), details).problem()) == "f:1:1: log: Recursion error (got 5)"
