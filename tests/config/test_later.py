"""Keys that come later."""

from __future__ import annotations

import pytest

from relayd.config.later import LATER, find_later
from tests.support.relay_yaml import UPSTREAM, problems, relay_yaml, told


class LaterTests:
    """Each is refused with what to do until then, and forgotten otherwise."""

    @pytest.mark.parametrize("key", ["workers", "engine"])
    def test_top(self, key):
        """Blocks of the file."""
        (problem,) = problems(relay_yaml(top=f"{key}: 4"))
        assert problem.startswith(f"8:1: {key}: not available yet: ")

    @pytest.mark.parametrize(
        ("route", "path"),
        [
            ("deliver: {bandwidth: 1MiB}", "deliver.bandwidth"),
            ("deliver: {deflate: true}", "deliver.deflate"),
        ],
    )
    def test_route(self, route, path):
        """Keys of a route."""
        text = relay_yaml(
            route=f"{{topic: m/$symbol, upstream: feed, allow: {{channel: [ticker], symbol: any}}, {route}}}"
        )
        (problem,) = told(text)
        assert problem.startswith(f"routes[0].{path}: not available yet: ")

    @pytest.mark.parametrize("transport", ["tcp", "process", "stomp", "mqtt", "wamp"])
    def test_transport(self, transport):
        """Other transports."""
        assert told(relay_yaml(f"transport: {transport}\n{UPSTREAM}")) == [
            "upstreams.feed.transport: not available yet: only `websocket` and `sse` are spoken"
        ]

    def test_preset(self):
        """What the preset would bring is not missed."""
        assert told(relay_yaml("preset: coinbase")) == [
            "upstreams.feed.preset: not available yet: write the upstream's blocks out"
        ]

    @pytest.mark.parametrize("access", ["{subscribe: public, publish: nobody}", "{subscribe: nobody}", "{}"])
    def test_what_works(self, access):
        """The words that work are not refused."""
        route = f"{{topic: m/$symbol, upstream: feed, allow: {{channel: [ticker], symbol: any}}, access: {access}}}"
        assert told(relay_yaml(route=route)) == []

    @pytest.mark.parametrize("deflate", ["off", "false"])
    def test_switched_off(self, deflate):
        """What is off need not work."""
        allow = "allow: {channel: [ticker], symbol: any}"
        route = f"{{topic: m/$symbol, upstream: feed, {allow}, deliver: {{deflate: {deflate}}}}}"
        assert told(relay_yaml(route=route)) == []

    def test_a_wrong_word_is_wrong(self):
        """Not later, but never."""
        (problem,) = told(relay_yaml(f"transport: websockets\n{UPSTREAM}"))
        assert problem.endswith("did you mean websocket?")

    def test_any_data(self):
        """Whatever stands in the file."""
        for data in (None, 5, [], {"routes": 5, "upstreams": [None]}, {"routes": {"x": {"publish": 1}}}):
            assert all(later in LATER for _, later in find_later(data))
        assert [path for path, _ in find_later({"workers": 1})] == [("workers",)]
