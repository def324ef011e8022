"""A plant: 48 machines that warm up, cool down and sometimes run hot, as one binary message twenty times a second.

A message is big-endian: uint32 number, float64 seconds since 1970, then temperature (Celsius), load (0 to 1) and
vibration (mm/s) of each machine as float32.
"""

from __future__ import annotations

import math
import random
import struct
import time
from itertools import chain
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.application.service import Service
from twisted.internet.task import LoopingCall

MACHINES = 48
EVERY_S = 0.05
MESSAGE = struct.Struct(f">Id{3 * MACHINES}f")


class Machine:
    """Follows its load, slowly; one in sixteen runs hotter than is good for it."""

    def __init__(self, number: int, dice: random.Random) -> None:
        self._dice = dice
        self._phase = dice.uniform(0, 2 * math.pi)
        self._period_s = dice.uniform(15, 60)
        self._heat = 58 if number % 16 == 11 else 38
        self._temperature = 45.0

    def step(self, now: float) -> tuple[float, float, float]:
        """Temperature, load and vibration."""
        wave = math.sin(self._phase + 2 * math.pi * now / self._period_s)
        load = min(1.0, max(0.0, 0.55 + 0.35 * wave + self._dice.gauss(0, 0.02)))
        self._temperature += 0.02 * (35 + self._heat * load - self._temperature) + self._dice.gauss(0, 0.05)
        vibration = 1.2 + 2.2 * load + abs(self._dice.gauss(0, 0.25))
        return self._temperature, load, vibration


class Connection(WebSocketServerProtocol):
    """Whoever dials the plant."""

    def onOpen(self) -> None:
        self.factory.readers.add(self)

    def onClose(self, was_clean: bool, code: int, reason: str) -> None:
        self.factory.readers.discard(self)


class Plant(Service):
    """Listens on a port of loopback, and tells everybody who has dialled."""

    def __init__(self, reactor: Any) -> None:
        dice = random.Random(7)
        self._machines = [Machine(number, dice) for number in range(MACHINES)]
        self._factory = WebSocketServerFactory(reactor=reactor)
        self._factory.protocol = Connection
        self._factory.readers = set()
        self._number = 0
        self._beat = LoopingCall(self._tell)
        self.port = reactor.listenTCP(0, self._factory, interface="127.0.0.1")
        for second in range(120):  # it has been running for a while
            for machine in self._machines:
                machine.step(time.time() - 120 + second)

    def startService(self) -> None:
        super().startService()
        self._beat.start(EVERY_S)

    def stopService(self) -> Any:
        super().stopService()
        self._beat.stop()
        return self.port.stopListening()

    def _tell(self) -> None:
        now = time.time()
        values = chain.from_iterable(machine.step(now) for machine in self._machines)
        self._number += 1
        message = MESSAGE.pack(self._number, now, *values)
        for reader in self._factory.readers:
            reader.sendMessage(message, isBinary=True)


def make_feed(reactor: Any) -> tuple[Plant, int]:
    """The plant and the port it listens on."""
    plant = Plant(reactor)
    return plant, plant.port.getHost().port
