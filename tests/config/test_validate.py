"""Blocks that are right, and everything that is wrong, once."""

# Messages stand here as a person reads them: in one line.
# ruff: noqa: E501

from __future__ import annotations

from relayd.config.problem import Place, Problem, Source
from relayd.config.validate import validate
from tests.support.relay_yaml import UPSTREAM, relay_yaml, told

FEED = {"connect": {"url": "wss://a"}, "topic": {"at": "ch"}}
ROUTE = {"topic": "a/$name", "upstream": "feed"}


def source(data):
    """Data as if it had been read."""
    return Source("f", data, {}, {})


class ValidateTests:
    """From data to blocks."""

    def test_right(self):
        """The whole, and its blocks under their names and positions."""
        config, blocks, problems = validate(source({"upstreams": {"feed": FEED}, "routes": [ROUTE]}), [])
        assert problems == []
        assert config is not None and list(config.upstreams) == ["feed"]
        assert blocks.upstreams == config.upstreams
        assert blocks.routes == {0: config.routes[0]}
        assert blocks.listeners == {0: config.listeners[0]}
        assert blocks.admin is None

    def test_some_are_wrong(self):
        """Those that are right can be checked on, at their place in the file."""
        data = {
            "listeners": [{"endpoint": "nope"}, {"endpoint": "tcp:1"}],
            "admin": {"endpoint": "tcp:2"},
            "upstreams": {"feed": FEED, "bad": {}},
            "routes": [{"topic": 5}, ROUTE],
        }
        config, blocks, problems = validate(source(data), [])
        assert config is None
        assert len(problems) == 3
        assert list(blocks.listeners) == [1]
        assert blocks.admin is not None
        assert blocks.upstreams is not None and blocks.upstreams["bad"] is None and blocks.upstreams["feed"] is not None
        assert list(blocks.routes) == [1]

    def test_refused_by_the_reader(self):
        """A block in which something was refused is wrong, even if the model does not mind."""
        data = {"upstreams": {"feed": FEED}, "routes": [ROUTE]}
        refused = [
            Problem("f", Place(1, 1), ("upstreams", "feed", "topic"), "an anchor"),
            Problem("f", Place(1, 1), ("upstreams", "other"), "an alias"),
            Problem("f", Place(1, 1), ("routes", 0, "topic"), "an anchor"),
            Problem("f", Place(1, 1), (), "an anchor"),
        ]
        config, blocks, problems = validate(source(data), refused)
        assert config is None
        assert problems == refused
        assert blocks.upstreams == {"feed": None, "other": None}
        assert blocks.routes == {}

    def test_later(self):
        """A key that is not available yet is a problem of its own; the rest is checked."""
        config, blocks, problems = validate(source({"upstreams": {"feed": FEED}, "routes": [ROUTE], "workers": 4}), [])
        assert config is None
        assert [problem.path for problem in problems] == [("workers",)]
        assert list(blocks.routes) == [0]

    def test_no_data(self):
        """Whatever came out of the reader."""
        for data in (None, [], {"upstreams": [], "routes": {}, "listeners": 5, "admin": "x"}):
            config, blocks, problems = validate(source(data), [])
            assert config is None and problems
            assert (blocks.upstreams, blocks.routes, blocks.listeners, blocks.admin) == (None, {}, {}, None)

    def test_default_listener(self):
        """Without listeners there is one, on 8080."""
        config, _, _ = validate(source({"upstreams": {"feed": FEED}, "routes": [ROUTE]}), [])
        assert config is not None
        assert [listener.endpoint for listener in config.listeners] == ["tcp:8080"]


class OnceTests:
    """What follows from a problem that is told already is not told again."""

    def test_refused_value(self):
        """The reader has told it."""
        text = relay_yaml(route="{topic: 12:30, upstream: feed}")
        (problem,) = told(text)
        assert problem.startswith("routes[0].topic: `12:30` is a number to the base of 60")

    def test_refused_key(self):
        """A table that lost a key is not told that it is missing."""
        (problem,) = told(relay_yaml(UPSTREAM.replace("connect:", "[connect]:")))
        assert problem == 'upstreams.feed["?"]: a list or a table where a key is meant'

    def test_lost_all_keys(self):
        """Nor that it is empty."""
        assert told(relay_yaml(route="{topic: x, upstream: no}").replace("  feed:", "  no:")) == [
            'upstreams.no: `no` is false in YAML 1.1 and text in YAML 1.2 (expected false or "no")',
            'routes[0].upstream: `no` is false in YAML 1.1 and text in YAML 1.2 (expected false or "no")',
        ]

    def test_wrong_entries(self):
        """A list whose entries are wrong is not told that it has none."""
        assert told(relay_yaml(top="listeners: [{endpoint: tcp:1, origins: [5]}]")) == [
            "listeners[0].origins[0]: not an origin (got 5, expected same, null, any, https://app.example.com or https://*.example.com)"
        ]

    def test_two_in_a_block(self):
        """But every mistake of its own is."""
        text = relay_yaml(
            UPSTREAM + "silence: {any: 5, data: no}\nhartbeat: off\n", route="{topic: m/$symbl, upstream: fed}"
        )
        assert told(text) == [
            "upstreams.feed.silence.any: a duration needs its unit (got 5, expected a duration such as 500ms, 30s, 1m30s or 23h30m)",
            'upstreams.feed.silence.data: `no` is false in YAML 1.1 and text in YAML 1.2 (expected false or "no")',
            "upstreams.feed.hartbeat: unknown key; did you mean heartbeat?",
            "routes[0].upstream: there is no upstream fed; did you mean feed?",
        ]
