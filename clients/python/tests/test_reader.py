"""What waits for a loop: bounded, with every loss told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relayd_client.messages import Lost, Publication
from relayd_client.reader import Reader, Wish


def reader(buffer: int = 3, **wish: Any) -> Reader:
    """One without a callback."""
    return Reader("t", None, Wish(**wish), buffer, lambda call, *values: call(*values))


def test_oldest_go() -> None:
    """The next one says how many, and the subscription counts them."""
    reading = reader()
    for offset in range(1, 8):
        reading.give(Publication("t", offset))
    taken = [reading.take(), reading.take(), reading.take(), reading.take()]
    assert [(p.offset, p.missed) for p in taken if p] == [(5, 4), (6, 0), (7, 0)]
    assert (reading.dropped, taken[3]) == (4, None)


def test_nobody_knows() -> None:
    """A loss without a number makes the sum unknown."""
    reading = reader()
    reading.lose(Lost("t", 0, 9, None, "epoch"))
    reading.give(Publication("t", 9))
    assert reading.take() == Publication("t", 9, missed=None)


def test_rates_are_no_loss() -> None:
    """What max_hz left out was not wanted."""
    reading = reader()
    reading.lose(Lost("t", 0, 9, 8, "rate"))
    reading.give(Publication("t", 9))
    assert reading.take() == Publication("t", 9)


@given(st.lists(st.one_of(st.just("take"), st.just("give"), st.integers(1, 5)), max_size=60), st.integers(1, 4))
def test_accounting(steps: list[str | int], buffer: int) -> None:
    """Every offset is given, or counted as missed before what follows it, in order."""
    reading = reader(buffer)
    newest = accounted = 0
    for step in [*steps, "give", *["take"] * 9]:
        if step == "give":
            newest += 1
            reading.give(Publication("t", newest))
        elif isinstance(step, int):
            reading.lose(Lost("t", newest, newest + step + 1, step, "slow"))
            newest += step
        elif (taken := reading.take()) is not None:
            assert taken.missed is not None
            accounted += taken.missed + 1
            assert accounted == taken.offset
    assert accounted == newest


@pytest.mark.parametrize(
    ("wish", "buffer", "text"),
    [({"hz": 0}, 1, "max_hz"), ({"hz": -1.0}, 1, "max_hz"), ({"window": 65_536}, 1, "window"), ({}, 0, "buffer")],
)
def test_bounds(wish: dict[str, Any], buffer: int, text: str) -> None:
    """The error names what is wrong."""
    with pytest.raises(ValueError, match=text):
        reader(buffer, **wish)


def test_wishes_joined() -> None:
    """The fastest rate, the smallest window."""
    assert Wish(5.0).joined(Wish(2.0, True, 9)) == Wish(5.0, True, 9)
    assert Wish(window=4).joined(Wish(window=9)) == Wish(window=4)
