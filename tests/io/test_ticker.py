"""Tests of relayd.io.ticker."""

from __future__ import annotations

from math import inf

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relayd.io.ticker import LONGEST_S, Ticker


class Thing:
    """Something with a deadline, which it keeps or moves."""

    def __init__(self, at: float, every: float = inf) -> None:
        self.at = at
        self.every = every
        self.ticks: list[float] = []

    def next_deadline(self) -> float:
        return self.at

    def tick(self, now: float) -> None:
        self.ticks.append(round(now, 6))
        self.at += self.every


class TickerTests(SynchronousTestCase):
    """One timer for all deadlines."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.offset = 1000.0
        self.ticker = Ticker(self.clock, lambda: self.clock.seconds() + self.offset)

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 100)):
            self.clock.advance(0.01)

    def test_each_at_its_time(self) -> None:
        """And only then."""
        soon, often = Thing(1000.5), Thing(1000.25, every=0.5)
        self.ticker.startService()
        self.ticker.add(soon)
        self.ticker.add(often)
        self.pass_time(1.5)
        self.assertEqual([round(at, 1) for at in soon.ticks], [1000.5])
        self.assertEqual(len(often.ticks), 3)

    def test_woken(self) -> None:
        """A deadline that came nearer is seen in the next turn, however often it is said."""
        thing = Thing(inf)
        self.ticker.startService()
        self.ticker.add(thing)
        self.pass_time(0.1)
        thing.at = -inf
        self.ticker.wake()
        self.ticker.wake()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertEqual(thing.ticks, [])
        self.clock.advance(0)
        self.assertEqual(len(thing.ticks), 1)

    def test_a_deadline_that_does_not_move(self) -> None:
        """It is ticked again and again, and the reactor breathes in between."""
        thing = Thing(-inf, every=0.0)
        self.ticker.startService()
        self.ticker.add(thing)
        self.clock.pump([0.0] * 10)
        self.assertEqual(len(thing.ticks), 1)
        self.clock.pump([0.001] * 10)
        self.assertEqual(len(thing.ticks), 11)

    def test_a_step_of_the_wall_clock(self) -> None:
        """The reactor's clock stands still or jumps: what is due is decided by the other one, and looked at in time."""
        thing = Thing(1030.0)
        self.ticker.startService()
        self.ticker.add(thing)
        self.offset -= 3600
        self.clock.advance(3600)
        self.assertEqual(thing.ticks, [])
        self.offset += 30
        self.clock.advance(LONGEST_S)
        self.assertEqual(len(thing.ticks), 1)

    def test_a_fault_holds_up_nobody(self) -> None:
        """It is logged, and the others have their turn."""

        class Faulty(Thing):
            def tick(self, now: float) -> None:
                self.at = inf
                raise RuntimeError("a fault")

        thing = Thing(1000.0)
        self.ticker.startService()
        self.ticker.add(Faulty(1000.0))
        self.ticker.add(thing)
        self.clock.advance(0)
        self.assertEqual(len(thing.ticks), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_fault_that_stays(self) -> None:
        """Costs a look a second, not a thousand; it is reported each time."""
        places: list[str] = []

        class Faulty(Thing):
            def next_deadline(self) -> float:
                raise RuntimeError("a fault")

        self.ticker.report = places.append
        self.ticker.startService()
        self.ticker.add(Faulty(1000.0))
        self.pass_time(5 * LONGEST_S)
        self.assertLessEqual(len(places), 7)
        self.assertEqual(set(places), {"timer"})

    def test_a_fault_after_its_tick(self) -> None:
        """Who cannot say when it is due again holds up nobody either."""
        places: list[str] = []

        class Faulty(Thing):
            def next_deadline(self) -> float:
                if self.ticks:
                    raise RuntimeError("a fault")
                return super().next_deadline()

        thing = Thing(1000.0, every=LONGEST_S)
        self.ticker.report = places.append
        self.ticker.startService()
        self.ticker.add(Faulty(1000.0))
        self.ticker.add(thing)
        self.pass_time(5 * LONGEST_S)
        self.assertGreaterEqual(len(thing.ticks), 4)
        self.assertLessEqual(len(places), 7)

    def test_says_how_late_it_was(self) -> None:
        """What everything else on the reactor waited too."""
        lags: list[float] = []
        self.ticker.on_lag.append(lags.append)
        self.ticker.startService()
        self.clock.advance(0)
        self.clock.advance(LONGEST_S + 3.0)
        self.assertEqual([round(lag, 3) for lag in lags], [0.0, 3.0])

    def test_removed_and_stopped(self) -> None:
        """Neither is ticked any more, and no timer stays behind."""
        gone, there = Thing(1000.5), Thing(1000.5)
        self.ticker.add(gone)
        self.ticker.wake()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.ticker.startService()
        self.ticker.add(there)
        self.ticker.remove(gone)
        self.ticker.remove(gone)
        self.pass_time(1)
        self.assertEqual((len(gone.ticks), len(there.ticks)), (0, 1))
        self.ticker.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.ticker.wake()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_by_a_tick(self) -> None:
        """Then it sleeps no more."""
        ticker = self.ticker

        class Stopping(Thing):
            def tick(self, now: float) -> None:
                ticker.stopService()

        self.ticker.startService()
        self.ticker.add(Stopping(1000.0))
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.ticker.startService()
        self.ticker.stopService()
