"""Tests of relayd.core.kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed.resume import Resume
from relayd.core.kept import CURSOR_FRESH_S, Kept, KeptUnreadable
from relayd.core.windows import HostWindows, SlidingWindow

EPOCH_S = 1_700_000_000.0


class Run:
    """One process: its clocks, its limits, its cursor."""

    def __init__(self, wall: float = EPOCH_S, now: float = 50.0) -> None:
        self.wall, self.now = wall, now
        self.hosts = HostWindows()
        self.connect = self.window("connect", 3, 60.0)
        self.resume = Resume()
        self.kept = Kept(self.hosts, monotonic=lambda: self.now, wall=lambda: self.wall)
        self.kept.keep("feed", self.resume)

    def window(self, kind: str, count: int, span_s: float) -> SlidingWindow:
        """One limit of the host."""
        return self.hosts.window("feed.example", kind, count, span_s)

    def sleep(self, seconds: float) -> None:
        """Both clocks go on."""
        self.wall += seconds
        self.now += seconds


class WindowTests:
    """What was used up stays used up."""

    def test_a_crash_loop_keeps_the_limit(self) -> None:
        """Three dials a minute, over six processes that die after one dial each."""
        dials: list[float] = []
        data, wall = b"", EPOCH_S
        for _ in range(6):
            run = Run(wall, now=wall / 7)
            if data:
                run.kept.load(data)
            while not run.connect.take(run.now):
                run.sleep(1)
            dials.append(run.wall)
            data, wall = run.kept.dump(), run.wall + 2
        for first, fourth in zip(dials, dials[3:], strict=False):
            assert fourth - first >= 60

    def test_what_no_longer_counts_is_not_written(self) -> None:
        """Nor what no window counts."""
        run = Run()
        run.connect.record(run.now)
        run.sleep(61)
        assert json.loads(run.kept.dump())["windows"] == []
        run.connect.record(run.now)
        assert json.loads(run.kept.dump())["windows"] == [["feed.example", "connect", [EPOCH_S + 61]]]

    def test_limits_that_the_file_no_longer_has(self) -> None:
        """Their events are forgotten; new limits start empty."""
        run = Run()
        run.window("http", 5, 60.0).record(run.now)
        data = run.kept.dump()
        other = Run(EPOCH_S + 1)
        other.kept.load(data)
        assert other.hosts.recent(other.now) == {}

    @pytest.mark.parametrize(("step_s", "waits_s"), [(-3600.0, 60.0), (-10.0, 60.0), (0.0, 60.0), (3600.0, 0.0)])
    def test_a_clock_that_stepped(self, step_s: float, waits_s: float) -> None:
        """Back: what lies ahead is taken to happen now, and no later. Ahead: it looks old, which nobody can know."""
        run = Run()
        for _ in range(3):
            run.connect.record(run.now)
        other = Run(EPOCH_S + step_s)
        other.kept.load(run.kept.dump())
        assert other.connect.free_at(other.now) - other.now == pytest.approx(waits_s, abs=0.1)

    @given(st.lists(st.floats(0, 50), max_size=9), st.floats(-100, 100))
    def test_round_trips(self, ages: list[float], step_s: float) -> None:
        """Whatever the clocks say, times come back in order and never ahead of now."""
        run = Run()
        for age in sorted(ages, reverse=True):
            run.connect.record(run.now - age)
        other = Run(EPOCH_S + step_s, now=1e6)
        other.kept.load(run.kept.dump())
        for times in other.hosts.recent(other.now).values():
            assert list(times) == sorted(times) and times[-1] <= other.now


class CursorTests:
    """Where a feed goes on."""

    def test_over_a_restart(self) -> None:
        """A number stays one, a text as well."""
        for cursor in (1725911162329308, '[{"offset": 7}]'):
            run = Run()
            run.resume.cursor = cursor
            other = Run(EPOCH_S + 30)
            other.kept.load(run.kept.dump())
            assert other.resume.connected() == cursor

    def test_what_stands_at_the_cursor(self) -> None:
        """A feed that resumes says it again; it is known, and anything else of that moment is not."""
        run = Run()
        for payload in (b"one", b"two"):
            run.resume.replayed(7, payload)
        other = Run(EPOCH_S + 30)
        other.kept.load(run.kept.dump())
        third = Run(EPOCH_S + 40)
        third.kept.load(other.kept.dump())
        for resume in (other.resume, third.resume):
            resume.connected()
            assert [resume.replayed(7, payload) for payload in (b"two", b"new", b"one")] == [True, False, True]
            assert not resume.replayed(8, b"one")

    def test_too_old(self) -> None:
        """It counts from when it was reached, however often it was written since."""
        run = Run()
        run.resume.cursor = 7
        run.kept.dump()
        run.sleep(CURSOR_FRESH_S + 1)
        data = run.kept.dump()
        other = Run(run.wall)
        other.kept.load(data)
        assert other.resume.cursor is None
        run.resume.cursor = 8
        again = Run(run.wall)
        again.kept.load(run.kept.dump())
        assert again.resume.cursor == 8

    def test_an_upstream_that_is_gone(self) -> None:
        """Its cursor is forgotten."""
        run = Run()
        run.resume.cursor = 7
        data = run.kept.dump().replace(b"feed", b"food")
        other = Run()
        other.kept.load(data)
        assert other.resume.cursor is None


class ChangeTests:
    """When there is something to write."""

    def test_changed(self) -> None:
        """Events and cursors, and nothing else."""
        run = Run()
        assert run.kept.changed()
        run.kept.dump()
        assert not run.kept.changed()
        run.connect.record(run.now)
        assert run.kept.changed()
        run.kept.dump()
        run.resume.cursor = 1
        assert run.kept.changed()
        data = run.kept.dump()
        other = Run()
        other.kept.load(data)
        assert not other.kept.changed()


class BrokenTests:
    """What cannot be read changes nothing."""

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"", "it is not what relayd writes: "),
            (b"{}", "it is not what relayd writes: Object missing required field `version`"),
            (b"\xff\xfe", "it is not what relayd writes: "),
            (b"[" * 100_000, "it is not what relayd writes: "),
            (b'{"version": 2, "windows": [], "cursors": []}', "it is of version 2, and this relayd knows 1"),
            (b'{"version": 1, "windows": [["feed.example", "connect", ["x"]]], "cursors": []}', "it is not what"),
            (b'{"version": 1, "windows": [["feed.example", "connect", [1]]], "cursors": [["f", null, 1, []]]}', "it"),
        ],
    )
    def test_each(self, data: bytes, why: str) -> None:
        """And says why."""
        run = Run()
        with pytest.raises(KeptUnreadable) as caught:
            run.kept.load(data)
        assert str(caught.value).startswith(why)
        assert run.hosts.recent(run.now) == {} and run.resume.cursor is None
