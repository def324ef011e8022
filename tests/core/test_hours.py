"""Tests of relayd.core.hours."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import inf
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed.errors import Malformed
from relayd.core.hours import Hours, parse_hours

HOUR_S = 3600.0


def at(text: str, zone: str, fold: int = 0) -> float:
    """`2025-07-21 09:00` of that zone, in seconds since 1970."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


class ParsingTests:
    """From the text of the file."""

    @pytest.mark.parametrize(
        ("text", "hours"),
        [
            ("09:00-15:30 Asia/Tokyo mon-fri", Hours(((540, 930),), "Asia/Tokyo", (0, 1, 2, 3, 4))),
            ("09:00-11:30,12:30-15:30 UTC mon,wed", Hours(((540, 690), (750, 930)), "UTC", (0, 2))),
            ("17:00-16:00 America/Chicago sun-thu", Hours(((1020, 960),), "America/Chicago", (0, 1, 2, 3, 6))),
            ("00:00-24:00 Europe/Vienna sat-tue", Hours(((0, 1440),), "Europe/Vienna", (0, 1, 5, 6))),
        ],
    )
    def test_good(self, text: str, hours: Hours) -> None:
        """Spans, zone, days; ranges of days run over the end of the week."""
        assert parse_hours(text) == hours

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("9-15 Asia/Tokyo mon-fri", "9-15 is not a span of hours"),
            ("09:00-24:30 UTC mon", "09:00-24:30 is not a span of hours"),
            ("09:00-15:00 Asia/Tokio mon", "no time zone is called Asia/Tokio"),
            ("09:00-15:00 UTC mon-fry", "mon-fry is not a day or a range of days"),
            ("09:00-15:00 UTC day", "day is not a day or a range of days"),
            ("always", "not market hours"),
        ],
    )
    def test_bad(self, text: str, what: str) -> None:
        """What is wrong is said."""
        with pytest.raises(Malformed, match=f"^{what}$"):
            parse_hours(text)


class OpenTests:
    """Open or not, and for how long."""

    @pytest.mark.parametrize(
        ("time", "open_s"),
        [
            ("2025-07-21 08:59:59", None),
            ("2025-07-21 09:00", 0.0),
            ("2025-07-21 11:29:59", 2.5 * HOUR_S - 1),
            ("2025-07-21 11:30", None),
            ("2025-07-21 12:30", 0.0),
            ("2025-07-25 15:29", 3 * HOUR_S - 60),
            ("2025-07-25 15:30", None),
            ("2025-07-26 10:00", None),
        ],
    )
    def test_spans_and_days(self, time: str, open_s: float | None) -> None:
        """A lunch break, an evening, a Saturday; a span holds its first second, and not the one it ends with."""
        hours = parse_hours("09:00-11:30,12:30-15:30 Asia/Tokyo mon-fri")
        assert hours.open_s(at(time, "Asia/Tokyo")) == open_s
        assert hours.is_open(at(time, "Asia/Tokyo")) == (open_s is not None)

    def test_over_midnight(self) -> None:
        """The days are those on which a span starts: Thursday's ends on Friday, and Friday has none."""
        hours = parse_hours("17:00-16:00 America/Chicago sun-thu")
        zone = "America/Chicago"
        assert hours.open_s(at("2025-07-20 16:59", zone)) is None
        assert hours.open_s(at("2025-07-21 03:00", zone)) == 10 * HOUR_S
        assert hours.open_s(at("2025-07-21 16:30", zone)) is None
        assert hours.open_s(at("2025-07-25 15:59", zone)) == 23 * HOUR_S - 60
        assert hours.open_s(at("2025-07-25 17:00", zone)) is None

    def test_spans_that_touch_or_overlap_are_one(self) -> None:
        """Also at midnight, and whichever was written first."""
        hours = parse_hours("00:00-02:00,22:00-24:00,01:00-03:00 UTC mon-tue")
        assert hours.open_s(at("2025-07-22 02:30", "UTC")) == 4.5 * HOUR_S
        assert hours.open_s(at("2025-07-22 03:00", "UTC")) is None

    def test_never_closed(self) -> None:
        """A market without a night has no opening to count from."""
        assert parse_hours("00:00-24:00 Europe/Berlin mon-sun").open_s(at("2025-07-21 12:00", "Europe/Berlin")) == inf
        weekdays = parse_hours("00:00-24:00 Europe/Berlin mon-fri")
        assert weekdays.open_s(at("2025-07-25 12:00", "Europe/Berlin")) == 108 * HOUR_S

    @given(st.integers(0, 10 * 366 * 24 * 60))
    def test_as_the_clock_on_the_wall_says(self, minutes: int) -> None:
        """In a zone without changes the local time of day and the weekday decide."""
        local = datetime(2020, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo")) + timedelta(minutes=minutes)
        of_day = local.hour * 60 + local.minute
        expected = (540 <= of_day < 930 and local.weekday() < 5) or (of_day >= 1320 and local.weekday() < 5)
        expected = expected or (of_day < 120 and (local - timedelta(days=1)).weekday() < 5)
        assert parse_hours("09:00-15:30,22:00-02:00 Asia/Tokyo mon-fri").is_open(local.timestamp()) == expected


class ClockChangeTests:
    """Days of 23 and of 25 hours."""

    @pytest.mark.parametrize(
        ("zone", "before", "after"),
        [
            ("Europe/Berlin", "2025-03-28", "2025-03-31"),
            ("Europe/Berlin", "2025-10-24", "2025-10-27"),
            ("America/New_York", "2025-03-07", "2025-03-10"),
            ("America/New_York", "2025-10-31", "2025-11-03"),
        ],
    )
    def test_opens_at_the_same_time_of_day(self, zone: str, before: str, after: str) -> None:
        """On the Friday before the change and on the Monday after it, by the local clock."""
        hours = parse_hours(f"09:30-16:00 {zone} mon-fri")
        for day in (before, after):
            opening = at(f"{day} 09:30", zone)
            assert hours.open_s(opening - 1) is None
            assert hours.open_s(opening) == 0.0
            assert hours.open_s(opening + 6.5 * HOUR_S - 1) == 6.5 * HOUR_S - 1
            assert hours.open_s(opening + 6.5 * HOUR_S) is None
        days_apart = (at(f"{after} 09:30", zone) - at(f"{before} 09:30", zone)) / (24 * HOUR_S)
        assert days_apart != 3

    @pytest.mark.parametrize(
        ("zone", "saturday", "sunday", "lasts_h"),
        [
            ("Europe/Berlin", "2025-03-29", "2025-03-30", 11),
            ("Europe/Berlin", "2025-10-25", "2025-10-26", 13),
            ("America/New_York", "2025-03-08", "2025-03-09", 11),
            ("America/New_York", "2025-11-01", "2025-11-02", 13),
        ],
    )
    def test_a_night_with_a_change(self, zone: str, saturday: str, sunday: str, lasts_h: int) -> None:
        """From 20:00 to 08:00 it is an hour less, or more."""
        hours = parse_hours(f"20:00-08:00 {zone} sat")
        closing = at(f"{sunday} 08:00", zone)
        assert hours.open_s(at(f"{saturday} 20:00", zone)) == 0.0
        assert hours.open_s(closing - 1) == lasts_h * HOUR_S - 1
        assert hours.open_s(closing) is None

    def test_times_that_are_skipped_or_repeated(self) -> None:
        """They are read as if the clocks had not been changed yet: 02:30 comes late in spring, and counts once."""
        hours = parse_hours("01:00-02:30 Europe/Berlin sun")
        spring = at("2025-03-30 01:00", "Europe/Berlin")
        assert hours.is_open(spring + 1.5 * HOUR_S - 1)
        assert not hours.is_open(spring + 1.5 * HOUR_S)
        assert hours.is_open(at("2025-10-26 02:15", "Europe/Berlin"))
        assert not hours.is_open(at("2025-10-26 02:45", "Europe/Berlin"))
        assert not hours.is_open(at("2025-10-26 02:15", "Europe/Berlin", fold=1))
