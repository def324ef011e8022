"""How long one client may hold the loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from relayd.core.turns import SHARE_S, Turns
from tests.support.hub_rig import Clock


class Rig:
    """Turns of a loop that the test turns, and who had them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock, lambda call: self.clock.call_later(0.0, call))
        self.had: list[str] = []

    def client(self, name: str, turns: int = 1) -> Callable[[], None]:
        """Somebody who needs so many turns."""

        def go_on() -> None:
            nonlocal turns
            self.had.append(name)
            turns -= 1
            if turns:
                self.turns.wait(go_on)

        return go_on


class TurnsTests:
    """One client, and several."""

    def test_a_share_is_a_time(self) -> None:
        """It begins anew for each."""
        rig = Rig()
        rig.turns.begin()
        assert not rig.turns.is_over
        rig.clock.advance(SHARE_S)
        assert rig.turns.is_over
        rig.turns.begin()
        assert not rig.turns.is_over

    def test_one_a_turn_in_order(self) -> None:
        """Who needs more goes behind the others; each turn of the loop serves one."""
        rig = Rig()
        for name, needs in (("a", 3), ("b", 1), ("c", 2)):
            rig.turns.wait(rig.client(name, needs))
        assert (rig.had, len(rig.turns)) == ([], 3)
        for expected in ("a", "ab", "abc", "abca", "abcac", "abcaca"):
            rig.clock.turn()
            assert rig.had == list(expected)
        assert (rig.clock.waiting, len(rig.turns)) == (0, 0)

    def test_who_leaves(self) -> None:
        """Those behind move up; whoever comes back is the last."""
        rig = Rig()
        first, second, third = (rig.client(name) for name in "abc")
        for go_on in (first, second, third):
            rig.turns.wait(go_on)
        rig.turns.leave(second)
        assert len(rig.turns) == 2
        rig.turns.wait(second)
        for _ in range(3):
            rig.clock.turn()
        assert rig.had == ["a", "c", "b"]
        assert rig.clock.waiting == 0

    def test_all_leave(self) -> None:
        """The turn that was asked for is nobody's; the next who waits has one all the same."""
        rig = Rig()
        go_on = rig.client("a")
        rig.turns.wait(go_on)
        rig.turns.leave(go_on)
        rig.clock.turn()
        assert (rig.had, rig.clock.waiting) == ([], 0)
        rig.turns.wait(go_on)
        rig.clock.turn()
        assert rig.had == ["a"]

    def test_a_fault_is_nobody_elses(self) -> None:
        """Whose turn fails is not called again, and the others are."""
        rig = Rig()

        def fail() -> None:
            raise RuntimeError

        rig.turns.wait(fail)
        rig.turns.wait(rig.client("b"))
        with pytest.raises(RuntimeError):
            rig.clock.turn()
        rig.clock.turn()
        assert rig.had == ["b"]
