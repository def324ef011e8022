"""When systemd is told that relayd is well."""

from __future__ import annotations

from relayd.core.watchdog import Watchdog


class WatchdogTests:
    """15 s, as the unit says."""

    def test_in_time(self):
        """At once, then often enough that one late beat is no matter: every 5 s of 15."""
        watchdog = Watchdog(15.0, 100.0)
        assert watchdog.next_deadline == 100.0
        assert watchdog.why_not(100.0, 0.0, None) is None
        assert watchdog.next_deadline == 105.0
        assert watchdog.every_s <= 15.0 / 2

    def test_late_loop(self):
        """A loop that is late by more than a quarter of the time is not well; by less, it is only busy."""
        watchdog = Watchdog(15.0, 0.0)
        assert watchdog.why_not(5.0, 3.75, None) is None
        assert watchdog.why_not(10.0, 3.8, None) == "the event loop was 3.8 s late"
        assert watchdog.next_deadline == 15.0

    def test_other_trouble(self):
        """It comes first."""
        assert Watchdog(15.0, 0.0).why_not(0.0, 9.0, "no port") == "no port"
