"""What the garbage collector is set to, and what that comes to."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from relayd.app import collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The tests' own collector is left as it was."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_one_look_is_at_few_objects() -> None:
    """So many new objects that stay: no collection of the young has more to look at than a few thousand of them, and
    everything is looked at seldom."""
    young, middle, _ = collector.GC_THRESHOLDS
    looks = {0: 0, 1: 0, 2: 0}

    def count(phase: str, info: dict[str, Any]) -> None:
        looks[info["generation"]] += phase == "start"

    collector.calm()
    gc.collect()
    gc.callbacks.append(count)
    try:
        kept = [[None] for _ in range(20 * young)]
    finally:
        gc.callbacks.remove(count)
    assert len(kept) == 20 * young
    assert young * (middle + 2) <= 15_000
    assert looks[0] + looks[1] >= 15  # 20, but for what else comes and goes
    assert looks[1] >= 5
    assert looks[2] == 0


def test_what_has_started_is_not_looked_at_again() -> None:
    before = gc.get_freeze_count()
    collector.settle()
    assert gc.get_freeze_count() > before
    assert len(gc.get_objects()) < gc.get_freeze_count()
