"""The six products of the simulated exchange and what their markets are like."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final


@dataclass(frozen=True, slots=True)
class Product:
    """One market. One tick is 10^-price_decimals dollars, one unit 10^-size_decimals coins."""

    id: str
    price_decimals: int
    size_decimals: int
    start_usd: float
    volatility_per_sqrt_s: float
    """Standard deviation of the log price over one calm second."""
    tide: float
    """How much of the common movement of all products this one follows."""
    trades_per_s: float
    """Taker orders a second while the market is calm."""
    order_usd: float
    """The median size of a taker order."""
    half_spread: float
    """Half the usual spread, as a fraction of the price."""

    def price_text(self, tick: int) -> str:
        """A price as the feed writes it: `64012.35`."""
        return fixed_text(tick, self.price_decimals)

    def size_text(self, units: int) -> str:
        """A size as the feed writes it: `0.0421`."""
        return fixed_text(units, self.size_decimals)

    def units(self, usd: float, tick: float) -> int:
        """How many units so much money buys at a tick; at least 1."""
        return max(1, round(usd / (tick / 10**self.price_decimals) * 10**self.size_decimals))

    def tick(self, price: str | int | float | Decimal) -> int:
        """The tick of a price. Raises ValueError where the price is no number or falls between two ticks."""
        try:
            ticks = Decimal(str(price)).scaleb(self.price_decimals)
            tick = int(ticks)
        except (ArithmeticError, ValueError):
            raise ValueError(f"price: {price!r} is not a number") from None
        if tick != ticks:
            raise ValueError(f"price: {price} has more than the {self.price_decimals} decimals of {self.id}")
        return tick


def fixed_text(value: int, decimals: int) -> str:
    """A whole number of ticks or units as a decimal number with exactly `decimals` decimals."""
    if decimals == 0:
        return str(value)
    scale = 10**decimals
    return f"{value // scale}.{value % scale:0{decimals}d}"


#: Prices, spreads and sizes are of the order of 2025's markets; the volatilities are a little above a usual day's, so
#: that a chart has a shape within a minute. All of them are guesses made to look right, not estimates.
PRODUCTS: Final = (
    Product("BTC-USD", 2, 4, 64_250.00, 6.0e-5, 1.0, 2.2, 900.0, 1.6e-5),
    Product("ETH-USD", 2, 3, 3_180.00, 8.0e-5, 1.2, 1.8, 600.0, 2.6e-5),
    Product("SOL-USD", 2, 2, 148.50, 1.1e-4, 1.3, 1.3, 420.0, 6.0e-5),
    Product("XRP-USD", 5, 0, 0.61200, 1.0e-4, 0.9, 0.9, 380.0, 6.0e-5),
    Product("ADA-USD", 5, 0, 0.44800, 1.0e-4, 1.0, 0.7, 240.0, 8.0e-5),
    Product("DOGE-USD", 5, 0, 0.12640, 1.3e-4, 1.1, 1.0, 260.0, 9.0e-5),
)
