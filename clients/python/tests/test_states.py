"""The table is total, and its end is one."""

from __future__ import annotations

from relayd_client.states import TABLE, Event, Phase


def test_total() -> None:
    """Every phase meets every event."""
    assert all(set(TABLE[phase]) == set(Event) for phase in Phase)


def test_closed_is_for_good() -> None:
    """Nothing leads out of it, and it can be reached from everywhere."""
    assert set(TABLE[Phase.CLOSED].values()) == {None}
    assert all(TABLE[phase][Event.CLOSE] is Phase.CLOSED for phase in Phase if phase is not Phase.CLOSED)


def test_words() -> None:
    """Users know four."""
    assert {phase.state for phase in Phase} == {"connecting", "open", "waiting", "closed"}
