"""Feed names, taken apart and put together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed.errors import Malformed, Refused
from relayd.core.feed.feedname import WHOLE, parse_feed_name


class ApartTests:
    """From a name to fields."""

    @pytest.mark.parametrize(
        ("shape", "name", "fields"),
        [
            ("$symbol@$stream", "btcusdt@depth", {"symbol": "btcusdt", "stream": "depth"}),
            ("$symbol@$stream", "a@b@c", {"symbol": "a", "stream": "b@c"}),
            ("$symbol@$stream", "!serverShutdown", None),
            (
                "market.$symbol.$channel",
                "market.btcusdt.trade.detail",
                {"symbol": "btcusdt", "channel": "trade.detail"},
            ),
            ("market.$symbol.$channel", "otherwise", None),
            ("/market/$channel:$symbol", "/market/ticker:BTC-USDT", {"channel": "ticker", "symbol": "BTC-USDT"}),
            ("$symbol@trade", "a@trade@trade", {"symbol": "a@trade"}),
            ("$symbol@trade", "a@book", None),
            ("x$a.x", "x", None),
            ("${a}_$b", "1_2", {"a": "1", "b": "2"}),
            ("$a-$b", "-x-y", {"a": "", "b": "x-y"}),
        ],
    )
    def test_shapes(self, shape: str, name: str, fields: dict[str, str] | None) -> None:
        """The shortest text up to the next literal; the last field takes the rest."""
        assert parse_feed_name(shape).apart(name) == fields

    def test_without_a_shape(self) -> None:
        """The whole name is one field."""
        assert WHOLE.apart("orderbook.50.BTCUSDT") == {"name": "orderbook.50.BTCUSDT"}
        assert WHOLE.together({"name": "x"}) == "x"


class TogetherTests:
    """From fields to a name."""

    def test_puts_together(self) -> None:
        """The inverse."""
        assert parse_feed_name("$symbol@$stream").together({"symbol": "a", "stream": "b@c", "more": "x"}) == "a@b@c"

    def test_what_would_come_apart_differently_is_refused(self) -> None:
        """`a@b` and `c` would mean `a` and `b@c`."""
        with pytest.raises(Refused, match="reads differently"):
            parse_feed_name("$symbol@$stream").together({"symbol": "a@b", "stream": "c"})

    @given(st.text("ab@.", max_size=6), st.text("ab@.", max_size=6), st.text("ab@.", max_size=6))
    def test_names_and_fields_never_disagree(self, a: str, b: str, c: str) -> None:
        """Whatever is put together comes apart the same, or is refused."""
        shape = parse_feed_name("$a@$b.$c")
        fields = {"a": a, "b": b, "c": c}
        try:
            name = shape.together(fields)
        except Refused:
            return
        assert shape.apart(name) == fields


class ParseTests:
    """`topic.name`."""

    @pytest.mark.parametrize("wrong", [None, 5, "", "literal", "$a$b", "$a-$a", "a$", "$A", "${a", "$a-$"])
    def test_malformed(self, wrong: Any) -> None:
        """Fields must be told apart."""
        with pytest.raises(Malformed):
            parse_feed_name(wrong)
