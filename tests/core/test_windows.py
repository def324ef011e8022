"""Tests of relayd.core.windows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.windows import MARGIN_S, SPARED_FROM, History, HostWindows, SlidingWindow, Windows


class SlidingWindowTests:
    """One limit, counted strictly."""

    def test_the_place_of_the_oldest_is_free_after_the_span(self) -> None:
        """5 in 1 s: the sixth waits for the first to leave."""
        window = SlidingWindow(5, 1.0)
        assert all(window.take(10.0 + i / 10) for i in range(5))
        assert not window.take(10.5)
        assert window.free_at(10.5) == 11.0 + MARGIN_S
        assert window.take(11.0 + MARGIN_S)
        assert not window.take(11.1)

    def test_what_could_not_be_held_back_counts(self) -> None:
        """Events beyond the limit push the next free place out."""
        window = SlidingWindow(2, 1.0)
        for at in (0.0, 0.1, 0.2, 0.3):
            window.record(at)
        assert window.free_at(0.4) == pytest.approx(1.2 + MARGIN_S)

    @given(
        st.integers(1, 6),
        st.floats(0.1, 5),
        st.lists(st.floats(0, 2, allow_nan=False), min_size=1, max_size=80),
    )
    def test_no_window_anywhere_holds_more(self, count: int, span_s: float, steps: list[float]) -> None:
        """Of the events let through, any `count` + 1 in a row take longer than the span."""
        window = SlidingWindow(count, span_s)
        now, taken = 0.0, []
        for step in steps:
            now += step
            if window.take(now):
                taken.append(now)
        for first, last in zip(taken, taken[count:], strict=False):
            assert last - first > span_s

    @given(st.integers(1, 5), st.integers(1, 40))
    def test_waiting_for_free_at_is_enough(self, count: int, events: int) -> None:
        """One who waits until `free_at` is always let through: no rounding leaves it waiting for ever."""
        window = SlidingWindow(count, 0.3)
        now = 1e6 + 0.1
        for _ in range(events):
            now = window.free_at(now)
            assert window.take(now)

    @pytest.mark.parametrize(("count", "span_s"), [(0, 1.0), (1, 0.0), (-1, 1.0)])
    def test_nonsense_is_refused(self, count: int, span_s: float) -> None:
        """A window that lets nothing through is a mistake in the file."""
        with pytest.raises(ValueError, match="count >= 1"):
            SlidingWindow(count, span_s)


class SharingTests:
    """Upstreams of one host count together."""

    def test_two_limits_over_one_history(self) -> None:
        """Each keeps its own limit, both count all events."""
        hosts = HostWindows()
        narrow = hosts.window("feed.example", "connect", 1, 10.0)
        wide = hosts.window("FEED.example", "connect", 3, 60.0)
        other = hosts.window("feed.example", "send", 1, 10.0)
        assert wide.take(0.0)
        assert not narrow.take(1.0)
        assert other.take(1.0)
        assert wide.take(2.0)
        assert wide.take(3.0)
        assert not wide.take(4.0)
        assert narrow.free_at(4.0) == 13.0 + MARGIN_S

    def test_memory_is_that_of_the_largest_window(self) -> None:
        """A history never grows past what its largest window needs, and widening keeps what it holds."""
        history = History()
        SlidingWindow(3, 1.0, history)
        for at in range(100):
            history.times.append(float(at))
        assert list(history.times) == [97.0, 98.0, 99.0]
        SlidingWindow(5, 1.0, history)
        SlidingWindow(2, 1.0, history)
        assert (list(history.times), history.times.maxlen) == ([97.0, 98.0, 99.0], 5)


class WindowsTests:
    """The limits of one upstream together."""

    def test_subscribing_counts_in_both(self) -> None:
        """A subscribe is also a frame sent; a beat is only that."""
        windows = Windows(send=SlidingWindow(2, 1.0), subscribe=SlidingWindow(1, 10.0))
        windows.sent(0.0, subscribes=True)
        assert windows.send_free_at(0.5, subscribes=False) == 0.5
        assert windows.send_free_at(0.5, subscribes=True) == 10.0 + MARGIN_S
        windows.sent(0.5, subscribes=False)
        assert windows.send_free_at(0.6, subscribes=False) == 1.0 + MARGIN_S

    def test_a_pong_always_has_a_place(self) -> None:
        """Subscriptions leave the last place of a window, answers may take it; small windows are used whole."""
        windows = Windows(send=SlidingWindow(SPARED_FROM, 1.0))
        for _ in range(SPARED_FROM - 1):
            assert windows.send_free_at(0.5, subscribes=True) == 0.5
            windows.sent(0.5, subscribes=True)
        assert windows.send_free_at(0.6, subscribes=True) == 1.5 + MARGIN_S
        assert windows.send_free_at(0.6, subscribes=False) == 0.6
        small = Windows(send=SlidingWindow(SPARED_FROM - 1, 1.0))
        for _ in range(SPARED_FROM - 2):
            small.sent(0.5, subscribes=True)
        assert small.send_free_at(0.6, subscribes=True) == 0.6

    def test_dials(self) -> None:
        """Dials have a window of their own."""
        windows = Windows(connect=SlidingWindow(1, 5.0))
        assert windows.dial_free_at(1.0) == 1.0
        windows.dialled(1.0)
        assert windows.dial_free_at(2.0) == 6.0 + MARGIN_S

    def test_requests(self) -> None:
        """HTTP requests too."""
        windows = Windows(http=SlidingWindow(1, 5.0))
        assert windows.http_free_at(1.0) == 1.0
        windows.requested(1.0)
        assert windows.http_free_at(2.0) == 6.0 + MARGIN_S

    def test_no_limit(self) -> None:
        """Without limits everything may happen now."""
        windows = Windows()
        windows.dialled(1.0)
        windows.sent(1.0, subscribes=True)
        assert windows.dial_free_at(1.0) == windows.send_free_at(1.0, subscribes=True) == 1.0


class RestoredTests:
    """What an earlier run used up."""

    def test_counts(self) -> None:
        """In any order, for the limits that there are."""
        hosts = HostWindows()
        window = hosts.window("H", "connect", 2, 10.0)
        hosts.restore("h", "connect", [-1.0, -3.0])
        hosts.restore("other", "connect", [0.0])
        assert hosts.recent(0.0) == {("h", "connect"): (-3.0, -1.0)}
        assert window.free_at(0.0) == pytest.approx(7.0 + MARGIN_S)
        assert hosts.recent(20.0) == {}

    def test_dials_are_told(self) -> None:
        """Those that a limit counts."""
        told: list[str] = []
        Windows(connect=SlidingWindow(1, 1.0), on_dial=lambda: told.append("dial")).dialled(0.0)
        Windows(on_dial=lambda: told.append("free")).dialled(0.0)
        assert told == ["dial"]
