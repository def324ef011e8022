"""Products: prices and sizes as text and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.demo.products import PRODUCTS, fixed_text


class ProductTests:
    """Six products with their own ticks."""

    def test_there_are_six(self) -> None:
        """The demo shows these."""
        names = [product.id for product in PRODUCTS]
        assert names == ["BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD", "DOGE-USD"]

    def test_fixed_text_has_all_its_decimals(self) -> None:
        """Trailing zeros stay, as the feed writes them."""
        assert (fixed_text(6425000, 2), fixed_text(7, 4), fixed_text(12, 0)) == ("64250.00", "0.0007", "12")

    def test_a_price_between_two_ticks_is_refused(self) -> None:
        """So is what is no number; the message names what is wrong."""
        bitcoin = PRODUCTS[0]
        for price, message in (("1.234", "2 decimals"), ("cheap", "not a number"), ("inf", "not a number"),
                               ("nan", "not a number")):
            with pytest.raises(ValueError, match=message):
                bitcoin.tick(price)

    def test_money_buys_at_least_one_unit(self) -> None:
        """A size of zero would be a level that is gone."""
        assert PRODUCTS[0].units(0.000001, 6425000.0) == 1
        assert PRODUCTS[0].units(64250.0, 6425000.0) == 10_000


@given(st.sampled_from(PRODUCTS), st.integers(1, 10**12))
def test_a_price_survives_the_way_to_text_and_back(product, tick: int) -> None:
    """Every tick has one text."""
    assert product.tick(product.price_text(tick)) == tick
