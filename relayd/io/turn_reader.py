"""A WebSocket that is read in turns: what a client says beyond its share of a turn of the reactor waits for the next
(core/turns.py). While it waits its client is not read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from relayd.core.turns import Turns
from relayd.io.frame_reader import FrameReader


class TurnReader(FrameReader):
    """One connection; who derives from it says whose turns these are, and what a fault and a wait mean."""

    comes_last = False
    """It has no share of the turn in which it speaks, but waits behind everybody else."""
    _waits = False  # for the next turn, with what is not read yet
    _failed = False  # an exception went through Autobahn

    def find_turns(self) -> Turns:
        """The turns of the process."""
        raise NotImplementedError

    def rest_for_turn(self, resting: bool) -> None:
        """Read nothing of the client, or go on. Not called where it has to wait and waits already."""
        raise NotImplementedError

    def turn_is_over(self) -> None:
        """It said more than its share."""
        raise NotImplementedError

    def guarded(self, call: Callable[..., None], *args: Any) -> None:
        """Call, and end this connection alone if that fails."""
        raise NotImplementedError

    def read(self, data: bytes) -> None:
        """Bytes of the client, for Autobahn."""
        self._safely(super().dataReceived, data)

    def consumeData(self) -> None:
        """Read what came as far as this client's share of the turn goes."""
        if self._waits:
            return
        if self.state not in (self.STATE_OPEN, self.STATE_CLOSING):
            super().consumeData()
        elif self.comes_last:
            self._wait()
        else:
            self._take_turn()

    def forget_rest(self) -> None:
        """What came and is not read yet never is, and there is nothing to wait for."""
        self.data = b""
        if self._waits:
            self._waits = False
            self.find_turns().leave(self._go_on)
            self.rest_for_turn(False)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.forget_rest()
        super().connectionLost(reason)

    def _take_turn(self) -> None:
        turns = self.find_turns()
        turns.begin()
        while self.processData() and self.state != self.STATE_CLOSED:
            if self.data and turns.is_over:
                self.turn_is_over()
                self._wait()
                return

    def _wait(self) -> None:
        self._waits = True
        self.rest_for_turn(True)
        self.find_turns().wait(self._go_on)

    def _go_on(self) -> None:
        self._waits = False
        if self._failed or self.state not in (self.STATE_OPEN, self.STATE_CLOSING):
            return
        self.guarded(self._safely, self._take_turn)
        if not self._waits:
            self.rest_for_turn(False)

    def _safely(self, call: Callable[..., None], *args: Any) -> None:
        try:
            call(*args)
        except Exception:
            self._failed = True  # nobody knows where Autobahn stands
            raise
