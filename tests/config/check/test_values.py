"""What can be said of allowed values without trying them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.config.check.values import Fit, can_meet, fit
from relayd.core.feed.match import glob
from relayd.core.routes import AllowAny, AllowGlob, AllowRegex, AllowValues

PATTERNS = st.text("ab*", max_size=6)
ALLOW_PATTERNS = st.text("ab*?", max_size=5) | st.sampled_from(["[ab]", "a[!b]*", "[]a]b", "[a", "a[", "[!]b]*"])
VALUES = [""] + [first + second + third for first in "ab]" for second in ("", "a", "b") for third in ("", "a", "b")]


class FitTests:
    """How many of the allowed values match a `for`."""

    @pytest.mark.parametrize(
        ("rule", "globs", "found"),
        [
            (AllowValues(("book",)), ("book",), Fit.ALL),
            (AllowValues(("book", "trade")), ("book",), Fit.SOME),
            (AllowValues(("book", "trade")), ("book", "tr*"), Fit.ALL),
            (AllowValues(("ticker",)), ("book", "tr*"), Fit.NONE),
            (AllowGlob("orderbook.*"), ("orderbook.*",), Fit.ALL),
            (AllowGlob("orderbook.50.*"), ("orderbook.*",), Fit.ALL),
            (AllowGlob("o*"), ("orderbook.*",), Fit.SOME),
            (AllowGlob("publicTrade.*"), ("orderbook.*",), Fit.NONE),
            (AllowGlob("*"), ("*",), Fit.ALL),
            (AllowGlob("a?c"), ("a*",), Fit.ALL),
            (AllowGlob("a?c"), ("abc",), Fit.SOME),
            (AllowGlob("a[bx]c"), ("abc",), Fit.SOME),
            (AllowGlob("a?c"), ("a?c",), Fit.SOME),
            (AllowRegex(re.compile("o.*")), ("orderbook.*",), Fit.SOME),
            (AllowRegex(re.compile("o.*")), ("*",), Fit.ALL),
            (AllowAny(), ("x", "**"), Fit.ALL),
            (AllowAny(), ("x",), Fit.SOME),
        ],
    )
    def test_known(self, rule, globs, found):
        """`for` knows only `*`; a regular expression is opaque."""
        assert fit(rule, globs) is found

    @given(ALLOW_PATTERNS.filter(bool), PATTERNS.filter(bool))
    def test_globs(self, allowed, wanted):
        """ALL and NONE are never wrong."""
        values = [value for value in VALUES if AllowGlob(allowed).permits(value)]
        hits = [value for value in values if glob(wanted).fullmatch(value)]
        found = fit(AllowGlob(allowed), (wanted,))
        if found is Fit.ALL:
            assert hits == values
        elif found is Fit.NONE:
            assert not hits


class MeetTests:
    """Whether two rules have a value in common."""

    @pytest.mark.parametrize(
        ("one", "other", "found"),
        [
            (AllowValues(("a", "b")), AllowValues(("b", "c")), True),
            (AllowValues(("a",)), AllowValues(("c",)), False),
            (AllowValues(("BTC-USD",)), AllowGlob("*-USD"), True),
            (AllowValues(("BTC-EUR",)), AllowGlob("*-USD"), False),
            (AllowValues(("L12",)), AllowRegex(re.compile("L[0-9]+")), True),
            (AllowValues(("x",)), AllowRegex(re.compile("L[0-9]+")), False),
            (AllowValues(("x",)), AllowAny(), True),
            (AllowGlob("*-USD"), AllowGlob("*-EUR"), False),
            (AllowGlob("BTC-*"), AllowGlob("*-EUR"), True),
            (AllowGlob("a*b*c"), AllowGlob("ac"), False),
            (AllowGlob("a*"), AllowRegex(re.compile("b")), True),
            (AllowAny(), AllowGlob("x"), True),
            (AllowAny(), AllowAny(), True),
        ],
    )
    def test_known(self, one, other, found):
        """Either way round."""
        assert can_meet(one, other) is found
        assert can_meet(other, one) is found

    @given(ALLOW_PATTERNS.filter(bool), ALLOW_PATTERNS.filter(bool))
    def test_globs(self, one, other):
        """ "No" is never wrong; without classes neither is "yes"."""
        common = [value for value in VALUES if AllowGlob(one).permits(value) and AllowGlob(other).permits(value)]
        if not can_meet(AllowGlob(one), AllowGlob(other)):
            assert not common
