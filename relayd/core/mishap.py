"""An exception that nobody foresaw: who hears of it, so that one fault stays one fault.

Where one call serves many (a flush, a tick, a sweep), an exception on behalf of one must not reach the others. `core`
catches it there and hands it to a `Report`, which is called while the exception is being handled and knows how to log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

Report = Callable[[str], None]
"""Called with one of PLACES inside an `except` clause."""

FLUSH: Final = "flush"
DELIVERY: Final = "delivery"
CATCHING_UP: Final = "catching_up"
WAITER: Final = "waiter"
TIMER: Final = "timer"
UPSTREAM: Final = "upstream"
BRIDGE: Final = "bridge"
WAY_UP: Final = "way_up"
AUTH: Final = "auth"
#: Where exceptions are caught on behalf of many; a closed set, for the metrics.
PLACES: Final = (FLUSH, DELIVERY, CATCHING_UP, WAITER, TIMER, UPSTREAM, BRIDGE, WAY_UP, AUTH)


@dataclass(slots=True)
class MishapCounters:
    """What was caught, described as in core/counters.py."""

    caught: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(PLACES, 0),
        metadata={"kind": "counter", "meaning": "exceptions caught on behalf of many, by where", "label": "where"},
    )


def each(*calls: Callable[[], object]) -> None:
    """Call all of them, also after one that raises; the first exception goes on its way at the end."""
    first: Exception | None = None
    for call in calls:
        try:
            call()
        except Exception as fault:
            first = first or fault
    if first is not None:
        raise first


def let_it_out(place: str) -> None:
    """For whoever wants no net, such as tests: the exception goes on its way."""
    raise
