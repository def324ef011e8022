"""Which of two signals of one frame is heard."""

from __future__ import annotations

import pytest

from relayd.core.upstream.effects import Loss, LossKind
from relayd.core.upstream.signal import Signal, graver
from relayd.core.upstream.states import Event

END = Loss(LossKind.ASKED)
ANOTHER_END = Loss(LossKind.LOGIN)


@pytest.mark.parametrize(
    ("one", "other", "heard"),
    [
        (None, None, None),
        (None, Event.DATA, Event.DATA),
        (Event.DATA, None, Event.DATA),
        (Event.DATA, Event.READY, Event.READY),
        (Event.READY, Event.DATA, Event.READY),
        (Event.READY, Event.CLOSE, Event.CLOSE),
        (Event.CLOSE, END, END),
        (END, Event.CLOSE, END),
        (END, ANOTHER_END, END),
    ],
)
def test_graver(one: Signal, other: Signal, heard: Signal) -> None:
    """An end before all else; data is the least; of two alike the later event, but the first end."""
    assert graver(one, other) is heard
