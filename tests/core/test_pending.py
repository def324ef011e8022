"""The waiting room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relayd.core.pending import Pending


def room(capacity: int = 4, per_key: int = 2) -> Pending[str]:
    """A room with 10 s for everybody, 5 s under pressure."""
    return Pending(capacity=capacity, per_key=per_key, within_s=10.0, pressed_within_s=5.0)


class PendingTests:
    """Time and number."""

    def test_time_is_for_the_whole_of_it(self) -> None:
        """An item is overdue 10 s after it came, and is out then."""
        waiting = room()
        assert waiting.add("a", "x", 0.0) is None
        assert waiting.add("b", "x", 1.0) is None
        assert waiting.take_overdue(9.9) == []
        assert waiting.take_overdue(10.5) == ["a"]
        assert "a" not in waiting
        assert "b" in waiting
        assert waiting.take_overdue(11.0) == ["b"]
        assert len(waiting) == 0

    def test_under_pressure_there_is_less_time(self) -> None:
        """Three of four places taken: 5 s for all three, also for the last when the first are gone."""
        waiting = room()
        for index, item in enumerate("abc"):
            waiting.add(item, None, float(index))
        assert waiting.under_pressure
        assert waiting.take_overdue(6.5) == ["a", "b"]
        assert not waiting.under_pressure
        waiting.add("d", None, 6.6)
        assert waiting.take_overdue(7.0) == ["c"]
        assert waiting.take_overdue(16.5) == []
        assert waiting.take_overdue(16.6) == ["d"]

    def test_the_oldest_gives_way(self) -> None:
        """At the capacity the first who came must leave."""
        waiting = room()
        for item in "abcd":
            assert waiting.add(item, None, 0.0) is None
        assert waiting.oldest == "a"
        assert waiting.add("e", None, 0.0) == "a"
        assert waiting.oldest == "b"

    def test_the_oldest_of_an_address_gives_way(self) -> None:
        """At the bound of one key its own oldest leaves, and nobody else's."""
        waiting = room()
        waiting.add("a", "x", 0.0)
        waiting.add("b", "y", 0.0)
        waiting.add("c", "y", 0.0)
        assert waiting.add("d", "y", 0.0) == "b"
        assert [item in waiting for item in "abcd"] == [True, False, True, True]

    def test_a_crowd_of_one_address_has_room(self) -> None:
        """Where half of the room is free, nobody leaves for anybody: an office comes back after a restart."""
        waiting = room(capacity=100, per_key=2)
        assert all(waiting.add(str(number), "office", 0.0) is None for number in range(51))
        assert waiting.add("one more", "office", 0.0) == "0"
        assert waiting.add("another", "home", 0.0) is None

    def test_leaving_twice_is_leaving_once(self) -> None:
        """discard does not mind who is not in."""
        waiting = room()
        waiting.add("a", "x", 0.0)
        waiting.discard("a")
        waiting.discard("a")
        assert waiting.oldest is None

    @given(st.lists(st.tuples(st.sampled_from("adt"), st.integers(0, 9), st.sampled_from(["x", "y", None]))))
    def test_bounds_hold_whatever_happens(self, steps: list[tuple[str, int, str | None]]) -> None:
        """Against a list that does the same by counting: never over a bound, never anybody lost or kept by mistake."""
        waiting = room()
        model: list[tuple[int, float, str | None]] = []
        pressed_at = -1.0
        for number, (step, item, key) in enumerate(steps):
            now = float(number)
            if step == "a" and item not in [there for there, _, _ in model]:
                of_key = [entry for entry in model if entry[2] == key and key is not None]
                is_held = len(of_key) >= 2 and len(model) > 2
                leaving = of_key[0] if is_held else model[0] if len(model) == 4 else None
                assert waiting.add(str(item), key, now) == (None if leaving is None else str(leaving[0]))
                model = [entry for entry in model if entry is not leaving] + [(item, now, key)]
                pressed_at = now if len(model) > 2 else pressed_at
            elif step == "d":
                waiting.discard(str(item))
                model = [entry for entry in model if entry[0] != item]
            elif step == "t":
                overdue = [entry for entry in model if now - entry[1] >= (5.0 if entry[1] <= pressed_at else 10.0)]
                assert waiting.take_overdue(now) == [str(entry[0]) for entry in overdue]
                model = [entry for entry in model if entry not in overdue]
            assert len(waiting) == len(model) <= 4
