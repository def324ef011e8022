"""Tests of relayd.core.upstream.states."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.upstream.states import CONNECTED, OPEN, TABLE, Event, OutOfOrder, Rule, State, after


class TableTests:
    """The table is total and says what it should."""

    def test_every_state_meets_every_event(self) -> None:
        """No pair is left to chance: 11 states by 11 events."""
        assert set(TABLE) == set(State)
        for state, row in TABLE.items():
            assert set(row) == set(Event), state
            assert all(isinstance(target, State | Rule) for target in row.values())

    def test_the_common_life(self) -> None:
        """Dial, connect, log in, subscribe, data, silence, data, loss, dial again."""
        state = State.STOPPED
        seen = []
        for event in (
            Event.START, Event.DIAL, Event.TCP_UP, Event.WS_OPEN, Event.READY, Event.DATA, Event.LATE, Event.DATA,
            Event.LOST, Event.DIAL, Event.REFUSE, Event.DIAL, Event.CLOSE, Event.LOST, Event.STOP,
        ):  # fmt: skip
            state = after(state, event)
            seen.append(state.value)
        assert seen == [
            "idle", "connecting", "handshaking", "login", "subscribing", "live", "stale", "live",
            "backoff", "connecting", "refused", "connecting", "draining", "idle", "stopped",
        ]  # fmt: skip

    def test_every_state_is_reached_and_left(self) -> None:
        """From STOPPED every state can be reached, and from every state STOPPED: nothing is a trap."""

        def reach(origin: State) -> set[State]:
            seen, todo = {origin}, deque([origin])
            while todo:
                for target in TABLE[todo.popleft()].values():
                    if isinstance(target, State) and target not in seen:
                        seen.add(target)
                        todo.append(target)
            return seen

        assert reach(State.STOPPED) == set(State)
        assert all(State.STOPPED in reach(state) for state in State)

    def test_a_loss_is_never_out_of_order(self) -> None:
        """Connections end at any time, also after we gave them up; and a stop may come at any time."""
        for state in State:
            for event in (Event.LOST, Event.REFUSE, Event.START, Event.STOP, Event.CLOSE):
                assert after(state, event) in State

    def test_the_groups(self) -> None:
        """Every open state has a connection, and only those with one can be lost to another state."""
        assert OPEN < CONNECTED
        assert {state for state in State if after(state, Event.LOST) is not state} == CONNECTED

    def test_an_error_names_both(self) -> None:
        """Who breaks the order reads which event met which state."""
        with pytest.raises(OutOfOrder, match="'ws open' cannot happen while idle"):
            after(State.IDLE, Event.WS_OPEN)

    @given(st.lists(st.sampled_from(list(Event)), max_size=60))
    def test_any_walk_stays_in_the_table(self, events: list[Event]) -> None:
        """Any order of events yields a state or OutOfOrder, nothing else."""
        state = State.STOPPED
        for event in events:
            try:
                state = after(state, event)
            except OutOfOrder:
                assert TABLE[state][event] is Rule.ERROR
