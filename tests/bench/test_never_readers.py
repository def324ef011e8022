"""Tests of bench.figures.never_readers."""

from __future__ import annotations

from bench.figures.never_readers import full_at


def test_full() -> None:
    """The sockets fill, flicker by what the readers have under way, and are emptied: full they were early."""
    queued = [0, 500, 970, 1000, 990, 1080, 1000, 1000, 30]
    assert full_at([(10 * number, size) for number, size in enumerate(queued)]) == 20
