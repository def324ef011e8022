"""Whether honest clients suffer beside an attack, judged on a machine that has hiccups of its own.

The 99th percentile of a second with 100 publications is its second worst, so one pause of the machine (10 ms, where a
quiet second has 7) decides a window. Therefore quiet and attacked windows of the same length alternate, so that pauses
fall on both sides alike, and the medians of each side are compared: up to half of the windows may be spoilt. All that
was measured counts; nothing is thrown away and measured anew.

What is clear after PAIRS_LEAST is not measured further. What is close goes on to PAIRS_MOST, where the goal decides.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from enum import Enum
from typing import Final

#: The goal: the p99 of the honest, as a multiple of the quiet one.
RATIO_MAX: Final = 2.0
#: Below this ratio no further windows are needed (guess: a sixth of the goal is what medians of five differ by).
CLEAR_RATIO: Final = 1.65
PAIRS_LEAST: Final = 5
PAIRS_MOST: Final = 15


class Verdict(Enum):
    """What the windows so far say."""

    MET = "met"
    MISSED = "missed"
    OPEN = "open"  # measure another pair


def ratio(quiet_ms: Sequence[float], attacked_ms: Sequence[float]) -> float:
    """Between the medians of both sides."""
    return statistics.median(attacked_ms) / statistics.median(quiet_ms)


def judge(quiet_ms: Sequence[float], attacked_ms: Sequence[float]) -> Verdict:
    """The verdict on so many pairs of windows, by the p99 of each."""
    pairs = min(len(quiet_ms), len(attacked_ms))
    if pairs < PAIRS_LEAST:
        return Verdict.OPEN
    found = ratio(quiet_ms, attacked_ms)
    if pairs >= PAIRS_MOST:
        return Verdict.MET if found <= RATIO_MAX else Verdict.MISSED
    if found <= CLEAR_RATIO:
        return Verdict.MET
    # Every attacked window beyond the goal: no pause of the machine falls on one side alone five times.
    if min(attacked_ms) > RATIO_MAX * statistics.median(quiet_ms):
        return Verdict.MISSED
    return Verdict.OPEN
