"""Two routes that could yield the same topic."""

from __future__ import annotations

import pytest

from relayd.config.check.overlap import check_overlaps
from relayd.config.model import Route
from relayd.config.problem import Source
from relayd.core.topic import TopicTemplate


def overlaps(*routes):
    """What is said of routes, each `topic` or `(topic, allow)`."""
    found = {}
    for at, one in enumerate(routes):
        topic, allow = one if isinstance(one, tuple) else (one, {})
        model = Route.model_validate({"topic": topic, "upstream": "feed", "allow": allow})
        found[at] = (model, TopicTemplate.parse(topic))
    return [(problem.path, problem.what) for problem in check_overlaps(found, Source("f", {}, {}, {}))]


class OverlapTests:
    """Templates, literals, allow lists."""

    @pytest.mark.parametrize(
        "routes",
        [
            ("a/$x", "b/$x"),
            ("a/$x", "a/$x/b"),
            (("a/$x", {"x": ["1"]}), ("a/$x", {"x": ["2"]})),
            (("a/$x", {"x": "*-USD"}), ("a/$y", {"y": "*-EUR"})),
            (("a/$x", {"x": ["1"]}), "a/2"),
            (("$x/b", {"x": ["a"]}), "c/b"),
            (("a/$x/$y", {"x": ["1"], "y": "*"}), ("a/$x/$y", {"x": ["2"], "y": "*"})),
            (("k/$s", {"s": ["BTC/USD"]}), "k/BTC~2FEUR"),
        ],
    )
    def test_disjoint(self, routes):
        """Nothing to say."""
        assert overlaps(*routes) == []

    @pytest.mark.parametrize(
        "routes",
        [
            ("a/$x", "a/$x"),
            ("a/$x", "a/$y"),
            ("a/$x", "a/b"),
            ("a/b", "$x/b"),
            ("$x/b", "a/b"),
            ("$x/b", "a/$y"),
            (("a/$x", {"x": ["1", "2"]}), ("a/$x", {"x": ["2", "3"]})),
            (("a/$x", {"x": "BTC-*"}), ("a/$y", {"y": "*-EUR"})),
            (("a/$x", {"x": {"regex": "1"}}), ("a/$x", {"x": {"regex": "2"}})),
            (("k/$s", {"s": ["BTC/USD"]}), "k/BTC~2FUSD"),
        ],
    )
    def test_shared(self, routes):
        """The later one is told which came first."""
        topic = routes[0][0] if isinstance(routes[0], tuple) else routes[0]
        assert overlaps(*routes) == [(("routes", 1, "topic"), f"could yield the same topic as routes[0] ({topic})")]

    def test_first_of_many(self):
        """One problem for each route, about the first it meets."""
        assert overlaps("$a/$b", "x/$b", "x/y", "z") == [
            (("routes", 1, "topic"), "could yield the same topic as routes[0] ($a/$b)"),
            (("routes", 2, "topic"), "could yield the same topic as routes[0] ($a/$b)"),
        ]
