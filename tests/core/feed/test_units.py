"""Durations and rates."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.core.feed.errors import Malformed
from relayd.core.feed.spec import RateSpec
from relayd.core.feed.units import parse_duration, parse_rate


class DurationTests:
    """Seconds."""

    @pytest.mark.parametrize(
        ("written", "seconds"),
        [("500ms", 0.5), ("30s", 30.0), ("1m30s", 90.0), ("23h30m", 84_600.0), ("89d", 7_689_600.0), ("18000ms", 18.0)],
    )
    def test_as_the_file_writes_them(self, written: str, seconds: float) -> None:
        """Units follow one another."""
        assert parse_duration(written) == seconds

    def test_seconds_already(self) -> None:
        """A number was converted before."""
        assert parse_duration(5) == 5.0 and parse_duration(0.25) == 0.25

    @pytest.mark.parametrize(
        "wrong", ["", "5", "s", "5 s", "-5s", "5x", "٥s", True, None, -1, float("nan"), float("inf"), [5]]
    )
    def test_anything_else_is_malformed(self, wrong: Any) -> None:
        """The error says how to write one."""
        with pytest.raises(Malformed, match="write one such as"):
            parse_duration(wrong)


class RateTests:
    """Counts in a window."""

    def test_as_the_file_writes_them(self) -> None:
        """`300/5m`."""
        assert parse_rate("300/5m") == RateSpec(300, 300.0)
        assert parse_rate(RateSpec(1, 2.0)) == RateSpec(1, 2.0)

    @pytest.mark.parametrize(
        "wrong", ["", "5", "5/", "/1s", "0/1s", "x/1s", "-1/1s", "5/1", "9999999999/1s", 5, None, "٥/1s"]
    )
    def test_anything_else_is_malformed(self, wrong: Any) -> None:
        """The error says how to write one."""
        with pytest.raises(Malformed):
            parse_rate(wrong)
