"""Which topics are a state and its changes."""

from __future__ import annotations

import pytest

from relayd.config.check.deltas import deltas_of, variants_fit
from relayd.config.check.values import Fit
from relayd.config.model import Route, Upstream


def route(**allow):
    """A route with these rules."""
    return Route.model_validate({"topic": "a/$x", "upstream": "feed", "allow": allow})


class FitTests:
    """Variants against a route."""

    @pytest.mark.parametrize(
        ("allow", "variants", "found"),
        [
            ({"channel": ["book"]}, [], Fit.NONE),
            ({"channel": ["book"]}, [None], Fit.ALL),
            ({"channel": ["book"]}, [{"channel": ("book",)}], Fit.ALL),
            ({"channel": ["trade"]}, [{"channel": ("book",)}], Fit.NONE),
            ({"channel": ["book", "trade"]}, [{"channel": ("book",)}], Fit.SOME),
            ({"channel": ["book", "trade"]}, [{"channel": ("book",)}, {"channel": ("trade",)}], Fit.ALL),
            ({"channel": ["book"], "depth": ["1", "50"]}, [{"channel": ("book",), "depth": ("50",)}], Fit.SOME),
            ({"channel": ["book"], "depth": "*"}, [{"channel": ("book",), "depth": ("50",)}], Fit.SOME),
            ({"channel": ["trade"], "depth": "*"}, [{"channel": ("book",), "depth": ("50",)}], Fit.NONE),
            ({"channel": ["book"], "depth": "5*"}, [{"channel": ("book",), "depth": ("5*",)}], Fit.ALL),
            ({"name": "orderbook.*"}, [{"name": ("orderbook.*",)}], Fit.ALL),
            ({"name": {"regex": "o.*"}}, [{"name": ("orderbook.*",)}], Fit.SOME),
            ({}, [{"name": ("orderbook.*",)}], Fit.SOME),
        ],
    )
    def test_known(self, allow, variants, found):
        """Every combination of listed values; careful where values are not listed."""
        assert variants_fit(route(**allow), variants) is found

    def test_too_many_combinations(self):
        """Then each variant is judged for itself."""
        many = [str(number) for number in range(101)]
        wide = route(a=many, b=many)
        assert variants_fit(wide, [{"a": ("*",), "b": ("*",)}]) is Fit.ALL
        assert variants_fit(wide, [{"a": ("1*",), "b": ("*",)}]) is Fit.SOME
        assert variants_fit(wide, [{"a": ("x",), "b": ("*",)}]) is Fit.NONE

    def test_of_an_upstream(self):
        """Its `snapshot` variants decide."""
        block = {
            "connect": {"url": "wss://a"},
            "topic": {"at": {"channel": "c"}},
            "snapshot": {"for": {"channel": "book"}, "when": {"type": "snapshot"}},
        }
        upstream = Upstream.model_validate(block)
        assert deltas_of(route(channel=["book"]), upstream) is Fit.ALL
        assert deltas_of(route(channel=["trade"]), upstream) is Fit.NONE
