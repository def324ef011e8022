"""Durations and rates as the file writes them: `1m30s`, `5/1s`. A number is seconds already."""

from __future__ import annotations

import re
from typing import Final

from relayd.core.feed.errors import Malformed
from relayd.core.feed.spec import RateSpec

_UNITS_S: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,6})?(?:ms|[dhms]))+", re.ASCII)
_PART = re.compile(r"([0-9.]+)(ms|[dhms])")


def parse_duration(value: object) -> float:
    """Seconds. Raises Malformed."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return sum(float(count) * _UNITS_S[unit] for count, unit in _PART.findall(value))
    raise Malformed(f"{value!r} is not a duration; write one such as 500ms, 30s or 1m30s")


def parse_rate(value: object) -> RateSpec:
    """A rate such as `5/1s`. Raises Malformed."""
    if isinstance(value, RateSpec):
        return value
    count, _, period = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not count.isdigit() or not count.isascii() or len(count) > 9 or int(count) == 0:
        raise Malformed(f"{value!r} is not a rate; write one such as 5/1s")
    return RateSpec(int(count), parse_duration(period))
