"""The order book: levels, takers, and changes from which a copy can be kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.demo.book import CrossedBook, Fill, Level, OrderBook, Side


def book_of(bids: dict[int, int], asks: dict[int, int]) -> OrderBook:
    book = OrderBook()
    for tick, size in bids.items():
        book.put(Side.BUY, tick, size)
    for tick, size in asks.items():
        book.put(Side.SELL, tick, size)
    return book


class OrderBookTests:
    """A book with two bids and two asks."""

    def setup_method(self) -> None:
        self.book = book_of({99: 5, 98: 7}, {101: 3, 103: 4})

    def test_best_and_worst_are_nearest_and_farthest(self) -> None:
        """The best bid is the highest, the best ask the lowest."""
        assert (self.book.best(Side.BUY), self.book.best(Side.SELL)) == (99, 101)
        assert (self.book.worst(Side.BUY), self.book.worst(Side.SELL)) == (98, 103)

    def test_an_empty_side_has_no_best(self) -> None:
        """None stands for a side without levels."""
        assert OrderBook().best(Side.BUY) is None
        assert OrderBook().worst(Side.SELL) is None

    def test_levels_start_at_the_touch(self) -> None:
        """Both sides are listed outwards."""
        assert [level.tick for level in self.book.levels(Side.BUY)] == [99, 98]
        assert [level.tick for level in self.book.levels(Side.SELL)] == [101, 103]
        assert (self.book.nth(Side.BUY, 1), self.book.nth(Side.SELL, 0)) == (98, 101)

    def test_nth_has_an_end(self) -> None:
        """Beyond the last level, and before the first, there is none."""
        for index in (2, -1):
            with pytest.raises(IndexError):
                self.book.nth(Side.BUY, index)

    def test_a_bid_never_reaches_the_best_ask(self) -> None:
        """Nor an ask the best bid; the book stays as it was."""
        for side, tick in ((Side.BUY, 101), (Side.BUY, 102), (Side.SELL, 99), (Side.SELL, 50)):
            with pytest.raises(CrossedBook):
                self.book.put(side, tick, 1)
        assert (self.book.best(Side.BUY), self.book.best(Side.SELL)) == (99, 101)

    def test_senseless_levels_are_refused(self) -> None:
        """There is no price below one tick and no size below nothing."""
        for tick, size in ((0, 1), (50, -1)):
            with pytest.raises(ValueError, match="at least"):
                self.book.put(Side.BUY, tick, size)

    def test_a_taker_eats_from_the_touch(self) -> None:
        """It takes whole levels, then a part of one; `most_levels` and the end of the book stop it."""
        assert self.book.take(Side.SELL, 5, 9) == [Fill(101, 3), Fill(103, 2)]
        assert self.book.size(Side.SELL, 103) == 2
        assert self.book.take(Side.BUY, 100, 1) == [Fill(99, 5)]
        assert self.book.take(Side.BUY, 100, 9) == [Fill(98, 7)]
        assert self.book.take(Side.BUY, 100, 9) == []

    def test_changes_are_told_once_and_only_if_any(self) -> None:
        """A level that came and went between two questions was never there."""
        self.book.changes()
        self.book.put(Side.BUY, 97, 1)
        self.book.put(Side.BUY, 97, 0)
        self.book.put(Side.BUY, 99, 6)
        self.book.put(Side.SELL, 101, 0)
        assert set(self.book.changes()) == {Level(Side.BUY, 99, 6), Level(Side.SELL, 101, 0)}
        assert self.book.changes() == []


@given(st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 30), st.integers(0, 9), st.booleans())))
def test_changes_keep_a_copy_equal(steps: list[tuple[Side, int, int, bool]]) -> None:
    """Whatever is put and taken, a copy fed with the changes equals the book, which is never crossed."""
    book, copy = OrderBook(), {}
    for side, tick, size, ask in steps:
        try:
            book.put(side, tick, size)
        except CrossedBook:
            book.take(side.other, size, 3)
        bid, offer = book.best(Side.BUY), book.best(Side.SELL)
        assert bid is None or offer is None or bid < offer
        if ask:
            copy.update({(level.side, level.tick): level.size for level in book.changes()})
    copy.update({(level.side, level.tick): level.size for level in book.changes()})
    assert {key: size for key, size in copy.items() if size} == {
        (side, level.tick): level.size for side in Side for level in book.levels(side)
    }
