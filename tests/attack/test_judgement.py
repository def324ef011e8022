"""The judgement of `make attack` passes what is sound on a machine with hiccups, and misses what is not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from tests.attack.judgement import CLEAR_RATIO, PAIRS_LEAST, PAIRS_MOST, RATIO_MAX, Verdict, judge, ratio

QUIET_MS = 7.0
PUBLICATIONS = 100
HICCUP_MS = 10.0


def windows(seed: int, hold_ms: float, holds: int) -> Iterator[tuple[float, float]]:
    """Pairs of p99s, quiet and attacked, on a machine that pauses for 10 ms in two windows of five, wherever it is. The
    attack holds the loop `holds` times in its window, for so long: publications wait for what is left of the hold.
    """
    dice = random.Random(seed)

    def p99(hold_ms: float, holds: int) -> float:
        took = [QUIET_MS * dice.uniform(0.6, 1.0) for _ in range(PUBLICATIONS)]
        for _ in range(dice.random() < 0.4):
            at = dice.randrange(PUBLICATIONS)
            took[at] += HICCUP_MS
            took[(at + 1) % PUBLICATIONS] += HICCUP_MS / 2
        for _ in range(holds):
            at = dice.randrange(PUBLICATIONS)
            for behind in range(int(hold_ms // 10) + 1):  # one publication in 10 ms
                took[(at + behind) % PUBLICATIONS] += max(0.0, hold_ms * dice.random() - behind * 10)
        return sorted(took)[-2]

    while True:
        yield p99(0.0, 0), p99(hold_ms, holds)


def verdict(pairs: Iterator[tuple[float, float]]) -> Verdict:
    """Measure until it is known."""
    quiet: list[float] = []
    attacked: list[float] = []
    while (found := judge(quiet, attacked)) is Verdict.OPEN:
        one = next(pairs)
        quiet.append(one[0])
        attacked.append(one[1])
    return found


def share(what: Verdict, make: Callable[[int], Iterator[tuple[float, float]]]) -> float:
    """In what part of 300 runs that was the verdict."""
    return sum(verdict(make(seed)) is what for seed in range(300)) / 300


class JudgeTests:
    """Verdicts."""

    def test_hiccups_of_the_machine_are_no_miss(self) -> None:
        """Nor is an attack that holds the loop for 2 ms at a time: 99 of 100 runs say so."""
        assert share(Verdict.MET, lambda seed: windows(seed, 0.0, 0)) >= 0.99
        assert share(Verdict.MET, lambda seed: windows(seed, 2.0, 100)) >= 0.99

    @pytest.mark.parametrize("holds", [5, 25])
    def test_a_loop_that_is_held_is_a_miss(self, holds: int) -> None:
        """30 ms at a time, five times a second or as often as there is room."""
        assert share(Verdict.MISSED, lambda seed: windows(seed, 30.0, holds)) == 1.0

    def test_too_little_says_nothing(self) -> None:
        """However clear it looks."""
        assert judge([7.0] * (PAIRS_LEAST - 1), [7.0] * (PAIRS_LEAST - 1)) is Verdict.OPEN
        assert judge([7.0] * PAIRS_LEAST, [7.0] * (PAIRS_LEAST - 1)) is Verdict.OPEN

    def test_what_is_clear(self) -> None:
        """At once."""
        assert judge([7.0] * PAIRS_LEAST, [7.0 * CLEAR_RATIO] * PAIRS_LEAST) is Verdict.MET
        assert judge([7.0] * PAIRS_LEAST, [7.0 * RATIO_MAX + 0.1] * PAIRS_LEAST) is Verdict.MISSED

    def test_what_is_close_is_measured_on(self) -> None:
        """To the end, where the goal decides; a window that is spoilt is not left out."""
        close = [7.0 * 1.9] * PAIRS_LEAST
        assert judge([7.0] * PAIRS_LEAST, close) is Verdict.OPEN
        assert judge([7.0] * PAIRS_LEAST, [7.0, *[20.0] * (PAIRS_LEAST - 1)]) is Verdict.OPEN
        assert judge([7.0] * PAIRS_MOST, [7.0 * 1.99] * PAIRS_MOST) is Verdict.MET
        assert judge([7.0] * PAIRS_MOST, [7.0, *[7.0 * 2.01] * (PAIRS_MOST - 1)]) is Verdict.MISSED

    def test_ratio(self) -> None:
        """Of medians."""
        assert ratio([1.0, 7.0, 100.0], [14.0, 14.0, 1000.0]) == 2.0
