"""Counts and logs the exceptions that core/mishap.py speaks of. The log holds back what repeats (relayd/io/logs.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from relayd.core.mishap import MishapCounters

log = Logger()


def log_it(place: str) -> None:
    """A Report that only logs, where nobody counts."""
    log.failure("an error in relayd ({place}) was caught, and everything else goes on", place=place)


class Mishaps:
    """The one place where they are counted."""

    def __init__(self, counters: MishapCounters) -> None:
        self.counters = counters

    def report(self, place: str) -> None:
        """To be called while the exception is being handled."""
        self.counters.caught[place] += 1
        log_it(place)


def safely(count: Callable[[], None], abort: Callable[[], None], call: Callable[..., Any], *args: Any) -> None:
    """Call on behalf of one connection; an exception ends that one alone. `count` counts it and logs it, while it
    is being handled.
    """
    try:
        call(*args)
    except Exception:
        count()
        try:
            abort()
        except Exception:
            log.failure("a connection that failed could not be closed")


def for_certain(call: Callable[[], object]) -> None:
    """Call what is idempotent and must not be left undone: where it raises, once more, and then the exception goes on.
    A fault at its entry would else leave topics that are kept for nobody."""
    try:
        call()
    except Exception:
        call()
        raise
