"""The stage on Twisted and Autobahn: one listening port of loopback, and what a script sees of each connection."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from relayd.clienttest.stage import AT_ONCE_S, Fault, Peer
from relayd.core.wire import CLOSE, TEXT, frame

#: What a client may ask at all; the values: what it is answered where no script awaits it.
KNOWN: Final = {
    "subscribe": None,
    "unsubscribe": "unsubscribed",
    "ping": "pong",
    "pace": "paced",
    "auth": "authorized",
    "publish": "published",
    "ack": None,
}
LOOK_EVERY_S: Final = 0.02


class Waits:
    """Something to wait for, looked at whenever something happens, and every 20 ms."""

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock

    async def until(self, look: Callable[[], Any], within_s: float) -> Any:
        """What `look` gives once it is true; None if it is not in time."""
        deadline = self.clock.seconds() + within_s
        while not (found := look()):
            if self.clock.seconds() >= deadline:
                return None
            await self.sleep(LOOK_EVERY_S)
        return found

    def sleep(self, seconds: float) -> Deferred[None]:
        """Fires later."""
        waiting: Deferred[None] = Deferred()
        self.clock.callLater(seconds, waiting.callback, None)
        return waiting


class Connection(WebSocketServerProtocol):
    """One connection of the client. Implements `stage.Peer`."""

    factory: StageFactory
    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self.began_at = 0.0
        self.ended_at = 0.0
        self._inbox: deque[dict[str, Any]] = deque()
        self._pongs: list[bytes] = []
        self._fault = ""
        self._is_gone = False
        self._was_cut = False
        self._stays = False
        self._ignores = False
        self._held: set[str] = set()

    # -- from Autobahn ------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        self.began_at = self.factory.waits.clock.seconds()
        self.factory.attempts.append(self.began_at)
        super().connectionMade()

    def onConnect(self, request: Any) -> str | None:
        if self.factory.refusals > 0:
            self.factory.refusals -= 1
            raise ConnectionDeny(503, "overloaded")
        if request.protocols and "relayd.v1" not in request.protocols:
            raise ConnectionDeny(400, "offers no relayd.v1")
        return "relayd.v1" if request.protocols else None

    def onOpen(self) -> None:
        self.factory.arrived.append(self)
        self.factory.peers.append(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if isBinary:
            self._wrong("sent a binary message: /ws speaks text")
            return
        try:
            message = json.loads(payload)
        except ValueError:
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("op"), str):
            self._wrong(f"sent what is no JSON object with an op: {payload[:60]!r}")
            return
        self._judge(message)
        if not self._ignores:
            self._take(message)

    def onPong(self, payload: bytes) -> None:
        self._pongs.append(payload)

    def onPing(self, payload: bytes) -> None:
        if not self._ignores:
            self.sendPong(payload)

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> None:
        self._is_gone = True
        if self._stays:
            return
        if not self._was_cut:
            self.transport.write(frame(CLOSE, (code or 1000).to_bytes(2, "big")))
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.ended_at:
            self.ended_at = self.factory.waits.clock.seconds()
        self._is_gone = True
        super().connectionLost(reason)

    # -- the rules for all scenarios ----------------------------------------------------------------------------------

    def _wrong(self, what: str) -> None:
        self._fault = self._fault or what

    def _judge(self, message: dict[str, Any]) -> None:
        op, identity = message["op"], message.get("id")
        if op not in KNOWN:
            self._wrong(f"sent the op {op!r}, which relayd.v1 does not have")
        if op in ("subscribe", "unsubscribe"):
            topics = message.get("topics")
            if not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics):
                self._wrong(f"{op}: topics is {topics!r}, expected a list of texts")
                return
            if op == "unsubscribe":
                self._held -= set(topics)
            elif twice := self._held & set(topics):
                self._wrong(f"subscribed twice to {sorted(twice)[0]} on one connection")
            else:
                self._held |= set(topics)
        if identity is not None and (isinstance(identity, bool) or not isinstance(identity, int | str)):
            self._wrong(f"{op}: id is {identity!r}, expected an integer or a text")

    def _take(self, message: dict[str, Any]) -> None:
        op = message["op"]
        answer = KNOWN.get(op)
        if op in self.factory.scripted:
            self._inbox.append(message)
        elif answer is not None and message.get("id") is not None:
            self.say(op=answer, id=message["id"])

    def _check(self) -> None:
        if self._fault:
            raise Fault(self._fault)

    # -- for scripts --------------------------------------------------------------------------------------------------

    def _find(self, op: str) -> dict[str, Any] | None:
        return next((message for message in self._inbox if message["op"] == op), None)

    async def heard(self, op: str, within_s: float = AT_ONCE_S) -> dict[str, Any]:
        found = await self.factory.waits.until(lambda: self._fault or self._find(op) or self._is_gone, within_s)
        self._check()
        message = self._find(op)
        if message is None:
            raise Fault(f"hung up before it sent {op}" if found else f"sent no {op} within {within_s:g} s")
        self._inbox.remove(message)
        return message

    async def quiet(self, op: str, for_s: float, why: str) -> None:
        found = await self.factory.waits.until(lambda: self._fault or self._find(op), for_s)
        self._check()
        if found:
            raise Fault(why)

    async def stays(self, for_s: float) -> None:
        gone = await self.factory.waits.until(lambda: self._fault or self._is_gone, for_s)
        self._check()
        if gone:
            raise Fault("hung up, though nothing was wrong")

    async def pause(self, for_s: float) -> None:
        await self.factory.waits.sleep(for_s)

    async def gone(self, within_s: float, why: str) -> None:
        gone = await self.factory.waits.until(lambda: self._is_gone, within_s)
        self._check()
        if not gone:
            raise Fault(why)
        if not self.ended_at:
            self.ended_at = self.factory.waits.clock.seconds()

    def say(self, **message: Any) -> None:
        self.raw(frame(TEXT, json.dumps(message, ensure_ascii=False).encode()))

    def raw(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    async def in_pieces(self, data: bytes, size: int) -> None:
        for start in range(0, len(data), size):
            self.raw(data[start : start + size])
            await self.factory.waits.sleep(0)

    async def pinged(self, payload: bytes, within_s: float) -> None:
        self._pongs.clear()
        self.sendPing(payload)
        found = await self.factory.waits.until(lambda: self._fault or self._is_gone or payload in self._pongs, within_s)
        self._check()
        if payload not in self._pongs:
            raise Fault("hung up, though nothing was wrong" if found else "did not answer a ping")

    def close(self, code: int, reason: str, *, stay: bool = False) -> None:
        self._was_cut = True
        self._stays = stay
        self.ended_at = self.factory.waits.clock.seconds()
        self.raw(frame(CLOSE, code.to_bytes(2, "big") + reason.encode("ascii")))

    def drop(self) -> None:
        self._was_cut = True
        self.ended_at = self.factory.waits.clock.seconds()
        self._is_gone = True
        if self.transport is not None:
            self.transport.abortConnection()

    def ignore(self) -> None:
        self._ignores = True


class Hung(Protocol):
    """A connection whose handshake is never answered."""


class StageFactory(WebSocketServerFactory):
    """Where connections come in. Implements `stage.Stage`.

    Args:
        waits: the clock.
        gave_up: why waiting for the client is in vain; "" while it is not.
        scripted: what the script answers itself.
    """

    protocol: Any = Connection

    def __init__(self, waits: Waits, gave_up: Callable[[], str], scripted: frozenset[str]) -> None:
        super().__init__(reactor=waits.clock)
        # The server of a test has no clocks of its own: what a client does in its own time is judged by scripts.
        self.setProtocolOptions(openHandshakeTimeout=0, closeHandshakeTimeout=0, failByDrop=False)
        self.waits = waits
        self.scripted = scripted
        self.arrived: deque[Connection] = deque()
        self.peers: list[Connection] = []
        self.attempts: list[float] = []
        self.refusals = 0
        self.hangs = 0
        self._gave_up = gave_up
        self._taken = 0

    def buildProtocol(self, addr: Any) -> Any:
        if self.hangs > 0:
            self.hangs -= 1
            self.attempts.append(self.waits.clock.seconds())
            return Hung()
        return super().buildProtocol(addr)

    async def connection(self, within_s: float) -> Peer:
        found = await self.waits.until(lambda: self.arrived or self._gave_up(), within_s)
        if self.arrived:
            self._taken += 1
            return self.arrived.popleft()
        raise Fault(self._gave_up() if found else f"did not connect within {within_s:g} s")

    async def nobody(self, for_s: float, why: str) -> None:
        if await self.waits.until(lambda: len(self.attempts) > self._taken, for_s):
            raise Fault(why)

    def refuse(self, times: int) -> None:
        self.refusals = times

    def hang(self) -> None:
        self.hangs = 1

