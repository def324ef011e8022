"""Who holds a client, and for how long it was not read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relayd.core.intake import Hold, Intake


class Tap:
    """A transport that is read or not."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.intake = Intake(lambda: self.calls.append("stop"), lambda: self.calls.append("go on"))


class IntakeTests:
    """While any hold lasts, the client is not read."""

    def test_one(self) -> None:
        """The transport hears of it once, however often it is said."""
        tap = Tap()
        assert not tap.intake.is_held
        for now in (1.0, 2.0):
            tap.intake.hold(Hold.SESSION, True, now)
        assert tap.intake.is_held and tap.calls == ["stop"]
        for now in (3.0, 4.0):
            tap.intake.hold(Hold.SESSION, False, now)
        assert not tap.intake.is_held and tap.calls == ["stop", "go on"]

    def test_two(self) -> None:
        """The end of one is not the end of the other."""
        tap = Tap()
        tap.intake.hold(Hold.SESSION, True, 1.0)
        tap.intake.hold(Hold.METER, True, 2.0)
        tap.intake.hold(Hold.SESSION, False, 3.0)
        assert tap.intake.is_held and tap.calls == ["stop"]
        tap.intake.hold(Hold.METER, False, 4.0)
        assert tap.calls == ["stop", "go on"]
        assert tap.intake.unread_s(9.0) == 3.0

    def test_release(self) -> None:
        """All at once, and nothing where none is."""
        tap = Tap()
        tap.intake.release(1.0)
        assert tap.calls == []
        for why in Hold:
            tap.intake.hold(why, True, 1.0)
        tap.intake.release(2.0)
        tap.intake.release(3.0)
        assert tap.calls == ["stop", "go on"] and tap.intake.unread_s(9.0) == 1.0

    def test_unread(self) -> None:
        """The time of all holds so far, the present one with it."""
        tap = Tap()
        assert tap.intake.unread_s(5.0) == 0.0
        tap.intake.hold(Hold.METER, True, 5.0)
        assert (tap.intake.unread_s(5.0), tap.intake.unread_s(7.0)) == (0.0, 2.0)
        tap.intake.hold(Hold.METER, False, 8.0)
        assert tap.intake.unread_s(20.0) == 3.0
        tap.intake.hold(Hold.SESSION, True, 20.0)
        assert tap.intake.unread_s(21.0) == 4.0

    @given(st.lists(st.tuples(st.sampled_from(Hold), st.booleans())))
    def test_any_order(self, steps: list[tuple[Hold, bool]]) -> None:
        """A second a step, beside a model that keeps a set."""
        tap, holds, unread_s = Tap(), set[Hold](), 0
        for now, (why, held) in enumerate(steps):
            unread_s += bool(holds)
            tap.intake.hold(why, held, float(now))
            (holds.add if held else holds.discard)(why)
            assert tap.intake.is_held is bool(holds)
            assert tap.intake.unread_s(float(now)) == unread_s
            assert (tap.calls[-1:] == ["stop"]) is bool(holds)
        assert all(one != other for one, other in zip(tap.calls, tap.calls[1:], strict=False))
