"""When a market is open: the hours of a day, in the time zone of the market, on some days of the week."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import inf
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from relayd.core.feed.errors import Malformed

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOK_BACK_DAYS: Final = 8
"""Whoever was open for a whole week, and the day before it, never closes."""

_HOURS: Final = re.compile(r"([0-9:,-]+) ([A-Za-z0-9_+/-]+) ([a-z,-]+)", re.ASCII)
_SPAN: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])", re.ASCII)
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Hours:
    """When a market is open.

    `spans` are minutes after local midnight (one whose end is not after its start runs over it), `zone` is the time
    zone's name, `days` (0 = Monday) are those on which a span starts. A local time that a change of the clocks skips or
    repeats is read as if they had not been changed yet.
    """

    spans: tuple[tuple[int, int], ...]
    zone: str
    days: tuple[int, ...]

    def is_open(self, wall_s: float) -> bool:
        """Whether it is open at this time (seconds since 1970)."""
        return self.open_s(wall_s) is not None

    def open_s(self, wall_s: float) -> float | None:
        """For how long it has been open by now: None = it is closed, infinity = it never closes."""
        today = datetime.fromtimestamp(wall_s, ZoneInfo(self.zone)).date()
        spans = sorted(self._spans_before(today), reverse=True)
        since = min((start for start, end in spans if start <= wall_s < end), default=None)
        if since is None:
            return None
        for start, end in spans:
            # A span that ends where the next one starts is one with it.
            if start < since <= end:
                since = start
        return inf if wall_s - since > (LOOK_BACK_DAYS - 1) * _DAY_S else wall_s - since

    def _spans_before(self, today: date) -> Iterator[tuple[float, float]]:
        """The spans that start on this day or on one of those before it, in seconds since 1970."""
        for back in range(LOOK_BACK_DAYS + 1):
            day = today - timedelta(days=back)
            if day.weekday() in self.days:
                for start, end in self.spans:
                    over = 1 if end <= start else 0
                    yield self._at(day, start), self._at(day + timedelta(days=over), end)

    def _at(self, day: date, minutes: int) -> float:
        midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.zone))
        # Adding to an aware datetime moves its clock on the wall, whatever the zone does meanwhile.
        return (midnight + timedelta(minutes=minutes)).timestamp()


def parse_hours(text: str) -> Hours:
    """`09:00-15:30 Asia/Tokyo mon-fri`; spans and days may be lists with commas. Raises Malformed."""
    hit = _HOURS.fullmatch(text)
    if hit is None:
        raise Malformed("not market hours")
    spans = tuple(_span(one) for one in hit[1].split(","))
    try:
        ZoneInfo(hit[2])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Malformed(f"no time zone is called {hit[2]}") from None
    return Hours(spans, hit[2], _days(hit[3]))


def _span(text: str) -> tuple[int, int]:
    hit = _SPAN.fullmatch(text)
    if hit is None or (hit[3] == "24" and hit[4] != "00"):
        raise Malformed(f"{text} is not a span of hours")
    return int(hit[1]) * 60 + int(hit[2]), int(hit[3]) * 60 + int(hit[4])


def _days(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise Malformed(f"{part} is not a day or a range of days")
        start, end = DAYS.index(first), DAYS.index(last if dash else first)
        # `sat-tue` runs over the end of the week.
        found.update(day % 7 for day in range(start, end + (7 if end < start else 0) + 1))
    return tuple(sorted(found))
