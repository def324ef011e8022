"""The calendar of those who wait for their sockets: found in time, never before it, and not looked at in between."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from relayd.core.stalls import Stalls

STEPS = ["watch", "forget", "progress", "tick"]


class Waiting:
    """As a `Lagging`: its mark is when it was first looked at, or when it last made progress."""

    def __init__(self, slow_after_s: float) -> None:
        self.look_at = -1
        self.slow_after_s = slow_after_s
        self.progress_at: float | None = None
        self.looks = 0

    def due(self, now: float) -> float:
        """The real one's promise."""
        self.looks += 1
        if self.progress_at is None:
            self.progress_at = now
        return self.progress_at + self.slow_after_s


class Rig:
    """A calendar and its clock."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.stalls = Stalls(lambda: self.now)


def watch(stalls: Stalls, *waiting: Waiting) -> None:
    """Watch all of them."""
    for one in waiting:
        stalls.watch(one)


class StuckTests:
    """When somebody is named."""

    def test_in_time(self) -> None:
        """`slow_after` from falling behind, at two looks, and a second later at the most."""
        stalls, one = Rig(100.3).stalls, Waiting(10.0)
        stalls.stuck(100.2)
        watch(stalls, one)
        for second in range(101, 111):
            assert stalls.stuck(second + 0.3) == ([one] if second == 110 else [])
        assert one.looks == 2

    def test_progress_moves_it(self) -> None:
        """From the progress on, and not from the look that saw it."""
        stalls, one = Rig(100.0).stalls, Waiting(10.0)
        watch(stalls, one)
        one.progress_at = 104.0
        assert next(second for second in range(101, 120) if stalls.stuck(float(second))) == 114

    def test_due_within_a_second(self) -> None:
        """A timer that is a little early does not cost a whole period."""
        stalls, one = Rig(100.5).stalls, Waiting(2.0)
        watch(stalls, one)
        assert stalls.stuck(102.4) == []
        assert stalls.stuck(103.4) == [one]

    def test_who_is_not_sent_away_is_named_again(self) -> None:
        """Nobody is forgotten by being named."""
        stalls, one = Rig(10.0).stalls, Waiting(1.0)
        watch(stalls, one)
        assert [stalls.stuck(float(second)) for second in (10, 11, 12)] == [[], [one], [one]]
        assert stalls.count == 1

    def test_a_leap(self) -> None:
        """After a long pause everybody who is due is named at once."""
        stalls, many = Rig(10.0).stalls, [Waiting(float(number)) for number in range(1, 50)]
        watch(stalls, *many)
        assert stalls.stuck(10_000.0) == many


class MembershipTests:
    """Who stands in it."""

    def test_forget(self) -> None:
        """Gone at once; twice is once."""
        stalls, one, other = Rig(10.0).stalls, Waiting(1.0), Waiting(1.0)
        watch(stalls, one, other, one)
        assert (stalls.count, stalls.all()) == (2, [other, one])
        stalls.forget(one)
        stalls.forget(one)
        assert (stalls.count, stalls.all()) == (1, [other])

    @given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 5)), max_size=60))
    def test_model(self, steps: list[tuple[str, int]]) -> None:
        """Each stands in one second, nobody is named early, nobody is named late, and few are looked at."""
        rig, many = Rig(50.0), [Waiting(3.0) for _ in range(6)]
        stalls = rig.stalls
        inside: set[Waiting] = set()
        ticks = 0
        watched: Counter[Waiting] = Counter()
        for step, number in steps:
            one = many[number]
            if step == "watch":
                watch(stalls, one)
                inside.add(one)
                watched[one] += 1
            elif step == "forget":
                stalls.forget(one)
                inside.discard(one)
            elif step == "progress" and one.progress_at is not None:
                one.progress_at = rig.now
            else:
                rig.now += 1.0
                ticks += 1
                named = set(stalls.stuck(rig.now))
                late = {one for one in inside if one.progress_at is not None and one.progress_at + 4.0 <= rig.now}
                assert late <= named <= inside
                assert all(one.progress_at + 3.0 <= rig.now for one in named)
                for one in named:
                    stalls.forget(one)
                    inside.discard(one)
            assert set(stalls.all()) == inside
            assert stalls.count == len(inside)
        for one in many:
            assert one.looks <= 2 * watched[one] + ticks
