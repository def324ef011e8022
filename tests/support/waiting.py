"""Waiting for what another process does. Only tests with real processes wait; everything else moves its own clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE_S = 0.02


def eventually(ask: Callable[[], T], what: str, within_s: float = 10.0) -> T:
    """Asks until the answer is true.

    Args:
        ask: called every 20 ms; an OSError counts as "not yet".
        what: what is waited for, for the error.
        within_s: how long, in seconds.

    Returns:
        The answer.

    Raises:
        AssertionError: it was not true in time.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            answer: object = ask()
        except OSError as error:
            answer, last = None, str(error)
        else:
            if answer:
                return answer
            last = repr(answer)
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within_s} s (last: {last})")
        time.sleep(PAUSE_S)
