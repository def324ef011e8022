"""Routes, both ways."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from relayd.core.routes import (
    MAX_REGEX_VALUE_CHARS,
    Allow,
    AllowAny,
    AllowGlob,
    AllowRegex,
    AllowValues,
    RouteTable,
    TopicRefused,
)
from relayd.core.topic import MAX_TOPIC_BYTES, TopicPattern
from tests.support.hub_rig import route

TICKER = route("m/ticker/$symbol", allow={"channel": AllowValues(("ticker",)), "symbol": AllowGlob("*-USD")})
PAIRS = AllowValues(("BTC-USD", "ETH-USD"))
BOOK = route("m/book/$symbol", allow={"channel": AllowValues(("level2",)), "symbol": PAIRS})
TABLE = RouteTable([TICKER, BOOK])


class AllowTests:
    """Which values."""

    @pytest.mark.parametrize(
        ("allow", "value", "expected"),
        [
            (AllowValues(("a", "b")), "a", True),
            (AllowValues(("a", "b")), "A", False),
            (AllowGlob("*-USD"), "BTC-USD", True),
            (AllowGlob("*-USD"), "BTC-USD\n", False),
            (AllowGlob("*-USD"), "btc-usd", False),
            (AllowRegex(re.compile("L[0-9]+")), "L12", True),
            (AllowRegex(re.compile("L[0-9]+")), "L12x", False),
            (AllowRegex(re.compile("a+")), "a" * MAX_REGEX_VALUE_CHARS, True),
            (AllowRegex(re.compile("a+")), "a" * (MAX_REGEX_VALUE_CHARS + 1), False),
            (AllowAny(), "", True),
        ],
    )
    def test_permits(self, allow: Allow, value: str, expected: bool) -> None:
        """Exact, glob, regex, any."""
        assert allow.permits(value) is expected


class FindTests:
    """From a browser's topic to its route."""

    def test_found(self) -> None:
        """The fields are those of the topic and those that allow fixes."""
        match = TABLE.find("m/ticker/BTC-USD")
        assert (match.route, dict(match.fields)) == (TICKER, {"symbol": "BTC-USD", "channel": "ticker"})

    @pytest.mark.parametrize(
        ("name", "code", "message"),
        [
            ("m/ticker/BTC-EUR", "forbidden", "route m/ticker/$symbol: allow.symbol does not permit this value"),
            ("m/other/BTC-USD", "unknown_topic", "no route has this topic"),
            ("x", "unknown_topic", "no route has this topic"),
            ("m/ticker/b c", "bad_request", "a topic segment holds A-Z a-z 0-9 . _ : @ - and ~XX"),
            ("m/*", "bad_request", "a pattern is no topic"),
        ],
    )
    def test_refused(self, name: str, code: str, message: str) -> None:
        """The code for programs, the words for people, with the setting that decides."""
        with pytest.raises(TopicRefused) as refused:
            TABLE.find(name)
        assert refused.value.code == code
        assert refused.value.message.startswith(message)

    def test_route_without_literal_head(self) -> None:
        """Such a route is tried for every topic; a later one that permits wins over one that does not."""
        table = RouteTable([route("$a/$b", allow={"a": AllowValues(("x",)), "b": AllowAny()}), route("$a/$b")])
        assert table.find("x/1").route is table.routes[0]
        assert table.find("y/1").route is table.routes[1]

    def test_missing_field_is_refused(self) -> None:
        """An allow list of several values for a field outside the topic fixes nothing."""
        open_route = route("t/$a", allow={"a": AllowAny(), "b": AllowValues(("1", "2"))})
        with pytest.raises(TopicRefused, match=r"allow\.b"):
            RouteTable([open_route]).find("t/x")


class OfFieldsTests:
    """From an upstream's fields to its topics."""

    def test_several_routes(self) -> None:
        """One message may match several."""
        table = RouteTable([TICKER, route("all/$channel/$symbol")])
        names = [match.name for match in table.of_fields("up", {"channel": "ticker", "symbol": "BTC-USD"})]
        assert names == ["m/ticker/BTC-USD", "all/ticker/BTC-USD"]

    def test_local(self) -> None:
        """A route without an upstream is a browser's; no upstream's message finds it."""
        table = RouteTable([route("chat/$symbol", upstream=None), TICKER])
        assert table.find("chat/x").route is table.routes[0]
        names = [match.name for match in table.of_fields("up", {"channel": "ticker", "symbol": "BTC-USD"})]
        assert names == ["m/ticker/BTC-USD"]

    def test_nothing(self) -> None:
        """Other upstreams, missing fields, values not allowed, values that make no topic."""
        assert TABLE.of_fields("other", {"channel": "ticker", "symbol": "BTC-USD"}) == []
        assert TABLE.of_fields("up", {"channel": "ticker"}) == []
        assert TABLE.of_fields("up", {"channel": "ticker", "symbol": "BTC-EUR"}) == []
        open_table = RouteTable([route("t/$a")])
        assert open_table.of_fields("up", {"a": ""}) == []
        assert open_table.of_fields("up", {"a": "x" * MAX_TOPIC_BYTES}) == []


class FiniteTests:
    """What a pattern may create demand for."""

    def test_finite(self) -> None:
        """Only routes whose lists are finite."""


        def names(pattern: str, **how: Any) -> list[str]:
            return [match.name for match in TABLE.finite_topics(TopicPattern.parse(pattern), **how)]

        assert names("m/**") == ["m/book/BTC-USD", "m/book/ETH-USD"]
        assert names("*/*/BTC-USD") == ["m/book/BTC-USD"]
        assert names("*/*/BTC-EUR") == names("m/*") == names("x/**") == []
        assert names("m/**", may=lambda route: route is not BOOK) == []
        (match,) = TABLE.finite_topics(TopicPattern.parse("m/book/BTC-USD"))
        assert (match.route, dict(match.fields)) == (BOOK, {"symbol": "BTC-USD", "channel": "level2"})

    def test_field_without_allow_is_endless(self) -> None:
        """A field that nothing bounds."""
        assert replace(BOOK, allow={}).finite() is None

    def test_fixed(self) -> None:
        """Only one-value lists of fields outside the topic fix."""
        assert BOOK.fixed == {"channel": "level2"}
        assert route("t/$a", allow={"a": AllowValues(("1",)), "b": AllowAny()}).fixed == {}
