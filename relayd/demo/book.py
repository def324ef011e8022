"""The order book of one product: price levels by side, and what changed since it was last asked.

Prices are whole numbers of ticks and sizes whole numbers of units, so that two books compare exactly. A bid never
reaches the best ask: `put` refuses it, whoever asks.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from enum import Enum


class Side(Enum):
    """The two sides of a book, spelt as the feed spells them."""

    BUY = "buy"
    SELL = "sell"

    @property
    def other(self) -> Side:
        """The side that trades against this one."""
        return Side.SELL if self is Side.BUY else Side.BUY


@dataclass(frozen=True, slots=True)
class Level:
    """What a level holds now: `size` units at `tick`, 0 where the level is gone."""

    side: Side
    tick: int
    size: int


@dataclass(frozen=True, slots=True)
class Fill:
    """`size` units taken at `tick`."""

    tick: int
    size: int


class CrossedBook(ValueError):
    """A level would have made the highest bid reach the lowest ask."""


class OrderBook:
    """Bids and asks by tick.

    `put` sets a level, `take` lets a taker eat the best levels of a side, `changes` gives what differs since the last
    call: applied to an older copy in any order, it yields this book.
    """

    __slots__ = ("_sizes", "_ticks", "_touched")

    def __init__(self) -> None:
        self._sizes: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self._ticks: dict[Side, list[int]] = {Side.BUY: [], Side.SELL: []}     # ascending on both sides
        self._touched: dict[tuple[Side, int], int] = {}                        # the size when last asked

    def best(self, side: Side) -> int | None:
        """The tick nearest to the other side: the highest bid or the lowest ask; None where the side is empty."""
        ticks = self._ticks[side]
        if not ticks:
            return None
        return ticks[-1] if side is Side.BUY else ticks[0]

    def worst(self, side: Side) -> int | None:
        """The tick farthest from the other side; None where the side is empty."""
        ticks = self._ticks[side]
        if not ticks:
            return None
        return ticks[0] if side is Side.BUY else ticks[-1]

    def count(self, side: Side) -> int:
        """How many levels a side has."""
        return len(self._ticks[side])

    def size(self, side: Side, tick: int) -> int:
        """The units at a tick, 0 where there is no level."""
        return self._sizes[side].get(tick, 0)

    def levels(self, side: Side) -> list[Level]:
        """All levels of a side, the best first."""
        sizes, ticks = self._sizes[side], self._ticks[side]
        ordered = reversed(ticks) if side is Side.BUY else iter(ticks)
        return [Level(side, tick, sizes[tick]) for tick in ordered]

    def nth(self, side: Side, index: int) -> int:
        """The tick of the level at `index`, 0 being the best. Raises IndexError beyond the last."""
        ticks = self._ticks[side]
        if not 0 <= index < len(ticks):
            raise IndexError(f"no level {index} among {len(ticks)}")
        return ticks[-1 - index] if side is Side.BUY else ticks[index]

    def put(self, side: Side, tick: int, size: int) -> None:
        """Set a level to `size` units; 0 removes it. Raises CrossedBook, and ValueError for numbers out of range."""
        if tick < 1 or size < 0:
            raise ValueError(f"a level needs a tick of at least 1 and a size of at least 0, got {tick} and {size}")
        sizes, ticks = self._sizes[side], self._ticks[side]
        before = sizes.get(tick, 0)
        if size and not before:
            facing = self.best(side.other)
            if facing is not None and (tick >= facing if side is Side.BUY else tick <= facing):
                raise CrossedBook(f"{side.value} at {tick} reaches the other side's {facing}")
            insort(ticks, tick)
        elif before and not size:
            del ticks[bisect_left(ticks, tick)]
        if size:
            sizes[tick] = size
        else:
            sizes.pop(tick, None)
        self._touched.setdefault((side, tick), before)

    def take(self, side: Side, size: int, most_levels: int) -> list[Fill]:
        """Let a taker eat up to `size` units from the best levels of `side`, from `most_levels` levels at most."""
        fills: list[Fill] = []
        while size > 0 and len(fills) < most_levels:
            tick = self.best(side)
            if tick is None:
                break
            held = self._sizes[side][tick]
            eaten = min(size, held)
            self.put(side, tick, held - eaten)
            fills.append(Fill(tick, eaten))
            size -= eaten
        return fills

    def changes(self) -> list[Level]:
        """The levels that differ from when this was last called, each once, as they are now."""
        changed = [
            Level(side, tick, now)
            for (side, tick), before in self._touched.items()
            if (now := self._sizes[side].get(tick, 0)) != before
        ]
        self._touched.clear()
        return changed
