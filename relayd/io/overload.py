"""Watches memory and the event loop, and does what core/overload.py decides."""

from __future__ import annotations

import random as random_module
from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from relayd.core.admission import Admission
from relayd.core.beat import next_beat
from relayd.core.closecode import CLOSE_OVERLOADED
from relayd.core.hub import Hub
from relayd.core.loop_lag import WorstLag
from relayd.core.overload import LOOK_EVERY_S, Holdings, Load, Overload, slowest

#: What a client that was sent away is asked to wait, spread over as much again (guess: two steps down).
RETRY_S: Final = 10

log = Logger()


class OverloadWatch:
    """Woken by the ticker. `sockets` counts connections in the clear and over TLS, `buffered_bytes` what they have
    not taken; `hear_lag` hears what the ticker says."""

    def __init__(
        self,
        overload: Overload,
        hub: Hub,
        admission: Admission,
        *,
        base_bytes: int,
        sockets: Callable[[], tuple[int, int]],
        buffered_bytes: Callable[[], int],
        pairs: Callable[[], int],
        now: float,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self.overload = overload
        self._lag = WorstLag()
        self._hub = hub
        self._admission = admission
        self._base_bytes = base_bytes
        self._sockets = sockets
        self._buffered_bytes = buffered_bytes
        self._pairs = pairs
        self._random = random
        self._next = now + LOOK_EVERY_S

    def hear_lag(self, lag_s: float) -> None:
        """A timer fired so late."""
        self._lag.hear(lag_s)
        self.overload.counters.loop_lag.observe(lag_s)

    def next_deadline(self) -> float:
        """When `tick` wants to be called."""
        return self._next

    def tick(self, now: float) -> None:
        """Look at the figures, and act."""
        self._next = next_beat(now, LOOK_EVERY_S)
        readers = self._hub.readers
        clear, secure = self._sockets()
        held = Holdings(
            base_bytes=self._base_bytes,
            ring_bytes=self._hub.ring_bytes,
            connections=clear,
            tls_connections=secure,
            lagging=readers.count_lagging(),
            buffered_bytes=self._buffered_bytes(),
            pairs=self._pairs(),
        )
        overload = self.overload
        before = overload.load
        if overload.look(now, held.bytes, self._lag.take()):
            self._changed(before)
        if overload.excess_bytes <= 0:
            return
        for client in slowest(readers.laggards(now), overload.excess_bytes):
            readers.send_away(client, CLOSE_OVERLOADED, RETRY_S + int(self._random() * (RETRY_S + 1)))
            overload.counters.evicted += 1

    def _changed(self, before: Load) -> None:
        overload = self.overload
        self._admission.overloaded = overload.load.level >= Load.REFUSING.level
        fields = {"was": before.value, "figures": overload.why, "evicted": overload.counters.evicted}
        if overload.load.level > before.level:
            log.warn("overload: {state}", state=overload.load.value, **fields)
        else:
            log.info("overload eases: {state}", state=overload.load.value, **fields)
