"""The first protocol of every browser's connection: reads the request head, then hands the connection to whom it is
for and stays in between.

    bytes -> PROXY header (if the listener wants one) -> request head -> core/guard.judge, which finds
        a WebSocket      a fresh protocol of the factory that `websocket` names, fed a clean head, its frames metered
        an event stream  a fresh protocol of the factory that `stream` names, which is fed nothing
        anything else    a fresh protocol of `site` (twisted.web), fed a clean head and the declared body
        a refusal        a fixed answer, then silence until the client hangs up

One request a connection on the HTTP side is a decision: with it no second request can be smuggled in behind the
first, and a proxy that keeps connections to relayd can never mix two visitors.

What stands behind gets the connection's own transport, so its writes and its back pressure never pass the guard. A
WebSocket protocol must have

    breach(close: CloseCode) -> None   send that close frame, read nothing more, abort when the peer does not hang up
    rest(resting: bool) -> None        read nothing of the client, or go on
    unread_s(now: float) -> float      for how long in all it was not read, for whatever reason
    answered(portion: bytes, now: float) -> bool    whether a portion that begins where a frame can begin is a pong that
                                       was asked for and no more; if so it is done with, metered by being asked for

It must answer the handshake within the call that feeds it the head. No timer stands
for a connection: `GuardFactory.sweep` looks at the deadlines of all, and lets in who had to wait (core/repeaters.py),
one in a turn of the loop. While nobody has a deadline it does not look: open WebSockets between messages have none.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocolFactory
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from relayd.core.address import client_key
from relayd.core.admission import Admission
from relayd.core.beat import next_beat
from relayd.core.counters import ListenerCounters
from relayd.core.guard import GuardCounters, GuardSettings, Stream
from relayd.core.head import RequestHead
from relayd.core.pending import Pending
from relayd.core.refusal import NO_STREAMS, HttpRefusal
from relayd.core.repeaters import Repeaters
from relayd.core.turns import Turns
from relayd.io.guard_connection import Guard
from relayd.io.mishaps import safely
from relayd.io.proxied import Proxied
from relayd.io.reactor import next_turn_of

__all__ = ["GuardCounters", "GuardFactory", "GuardSettings", "HttpRefusal", "RequestHead"]

#: How often deadlines are looked at: the precision of the shortest, 2 s, within an eighth (guess).
SWEEP_EVERY_S: Final = 0.25

T = TypeVar("T", bound=Guard | Proxied)
V = TypeVar("V")


def _no_streams(head: RequestHead, stream: Stream) -> HttpRefusal:
    return NO_STREAMS


log = Logger()


class GuardFactory(ServerFactory):
    """The guards of one listener.

    `websocket` says for each WebSocket that may open which factory's protocol gets it, or refuses; a factory may
    have `meter_limits` (core/meter.MeterLimits) where those of the settings do not fit. `stream` does the same for
    event streams. `site` gets every other request. `admission`, `repeaters`, `turns` and `counters` are shared by the
    listeners of a process; without one of the first three the factory has its own. `show_address` writes an address
    for the log; without it the log holds none.
    """

    noisy = False

    def __init__(
        self,
        *,
        websocket: Callable[[RequestHead], IProtocolFactory | HttpRefusal],
        stream: Callable[[RequestHead, Stream], IProtocolFactory | HttpRefusal] = _no_streams,
        site: IProtocolFactory,
        settings: GuardSettings,
        reactor: Any,
        monotonic: Callable[[], float],
        counters: GuardCounters,
        admission: Admission | None = None,
        repeaters: Repeaters | None = None,
        turns: Turns | None = None,
        show_address: Callable[[str], str] | None = None,
    ) -> None:
        self.websocket = websocket
        self.stream = stream
        self.site: Any = site
        self.settings = settings
        self.monotonic = monotonic
        self.counters = counters
        self.admission = admission or Admission(settings.admission, started=monotonic(), random=random_module.random)
        self._repeaters = Repeaters(monotonic, ListenerCounters()) if repeaters is None else repeaters
        self._turns = Turns(monotonic, next_turn_of(reactor)) if turns is None else turns
        self._show_address = show_address
        self._reactor = reactor
        self._call: IDelayedCall | None = None  # the next look at deadlines, while there are any
        self._pending: Pending[Guard | Proxied] = Pending(
            capacity=settings.pending,
            per_key=settings.pending_per_address,
            within_s=settings.request_within_s,
            pressed_within_s=settings.pressed_within_s,
        )
        self._lingering: Pending[Guard] = Pending(
            capacity=settings.pending,
            per_key=settings.pending_per_address,
            within_s=settings.linger_s,
            pressed_within_s=settings.linger_s,
        )
        self._answering: dict[Guard, None] = {}  # with a request at the site
        self._waiting: dict[Guard, float] = {}  # before the door, and until when; each is pending too
        self._open_messages: dict[Guard, None] = {}
        self._resting: dict[Guard, float] = {}  # whose clients are not read, and until when
        self._guards = 0  # connections that are not lost
        self.bodies_bytes = 0
        """Of the requests whose bodies are under way, as they were declared."""

    @property
    def pending(self) -> int:
        """Connections whose request is not whole."""
        return len(self._pending)

    @property
    def sockets(self) -> int:
        """Connections that are open, whatever they do."""
        return self._guards

    @property
    def answers(self) -> int:
        """HTTP requests that are being answered."""
        return len(self._answering)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A guard for a new connection. Over TLS the PROXY header stands before TLS: relayd/io/proxied.py."""
        try:
            return self._build(addr)
        except Exception:
            self.count_error()
            return None  # which closes the socket; an exception would leave it open, with nobody to look after it

    def _build(self, addr: IAddress | None) -> Any:
        if self.settings.proxy_protocol and not self.settings.secure:
            return Proxied(self, self._guard, addr)
        return self._guard(addr)

    def _guard(self, addr: IAddress | None) -> Guard:
        self.counters.accepted += 1
        return Guard(self, addr)

    def startFactory(self) -> None:
        """The site may keep timers and a log."""
        self.site.doStart()

    def stopFactory(self) -> None:
        """No new connections; those that are there keep their deadlines."""
        self.site.doStop()
        if self._call is not None and not self._has_deadlines:
            self._call.cancel()
            self._call = None

    @property
    def _has_deadlines(self) -> bool:
        """Whether somebody is in one of the rooms that `sweep` looks at."""
        return bool(
            self._pending
            or self._lingering
            or self._answering
            or self._resting
            or self._waiting
            or self._open_messages
        )

    def _tick(self) -> None:
        self._call = None
        try:
            self.sweep(self.monotonic())
        finally:
            if self._has_deadlines:
                self._look()

    def _look(self) -> None:
        """At deadlines, with the next beat, and from then on while there are any."""
        if self._call is None:
            now = self.monotonic()
            self._call = self._reactor.callLater(next_beat(now, SWEEP_EVERY_S) - now, self._tick)

    def sweep(self, now: float) -> None:
        """End what is overdue: half-sent requests, answers that nobody takes, messages that do not end; and rests."""
        pressed = self._pending.under_pressure
        for waiting in self._pending.take_overdue(now):
            self._safely(waiting, waiting.cut_short if pressed else waiting.request_overdue)
        for guard in self._lingering.take_overdue(now):
            self._safely(guard, guard.drop)
        for guard in [guard for guard in self._answering if guard.is_stalled(now)]:
            self.counters.stalled += 1
            self._safely(guard, guard.drop)
        for guard in [guard for guard, until in self._resting.items() if until <= now]:
            del self._resting[guard]
            self._safely(guard, guard.go_on)
        for guard in [guard for guard, until in self._waiting.items() if until <= now]:
            del self._waiting[guard]
            self._turns.wait(partial(self._safely, guard, guard.come_in))
        for guard in [guard for guard in self._open_messages if guard.is_message_overdue(now)]:
            self._safely(guard, guard.message_overdue)

    def _safely(self, guard: Guard | Proxied, call: Callable[[], object]) -> None:
        """On behalf of one of many: an exception is counted, logged, and ends that one alone."""
        safely(self.count_error, guard.transport.abortConnection, call)

    def count_error(self) -> None:
        """While an exception is handled."""
        self.counters.errors += 1
        log.failure("looking after a connection failed, and it is closed")

    def shown(self, client: str) -> dict[str, str]:
        """The field that names a client in the log, if it is to be named."""
        return {} if self._show_address is None else {"client": self._show_address(client)}

    # Bookkeeping of the guards, called by them. There are two ways into the rooms that `sweep` looks at, one for each
    # kind of room, and both see to it that it does.

    def _seat(self, room: Pending[T], guard: T) -> T | None:
        self._look()
        return room.add(guard, self._key_of(guard), self.monotonic())

    def _note(self, room: dict[Guard, V], guard: Guard, what: V) -> None:
        self._look()
        room[guard] = what

    def expect(self, guard: Guard | Proxied) -> None:
        """A connection is there and has said nothing yet; where too many are so, the oldest gives way."""
        self._guards += 1
        self.admission.sockets += 1
        leaving: Guard | Proxied | None = self._seat(self._pending, guard)
        if leaving is None and self.admission.is_crowded:
            leaving = self._lingering.oldest or self._pending.oldest
        if leaving is not None:
            self.counters.evicted += 1
            leaving.drop()

    def settle(self, guard: Guard | Proxied) -> None:
        """A connection is no longer waited for."""
        self._pending.discard(guard)
        if isinstance(guard, Guard):
            self._lingering.discard(guard)

    def linger(self, guard: Guard) -> None:
        """A refused connection gets a moment to read why."""
        leaving = self._seat(self._lingering, guard)
        if leaving is not None:
            leaving.drop()

    def _key_of(self, guard: Guard | Proxied) -> str | None:
        """By what connections are counted before it is known who asks: all clients of a proxy have the proxy's
        address.
        """
        return None if self.settings.trusted_proxies.trusts(guard.peer) else client_key(guard.peer)

    def answering(self, guard: Guard) -> None:
        """A connection has a request at the site."""
        self._note(self._answering, guard, None)

    def watch(self, guard: Guard, is_open: bool) -> None:
        """A message of this connection is under way, or none is."""
        if is_open:
            self._note(self._open_messages, guard, None)
        else:
            self._open_messages.pop(guard, None)

    def rest(self, guard: Guard, until: float) -> None:
        """Its client is not read until then, up to the time between two sweeps longer."""
        self.counters.rests += guard not in self._resting
        self._note(self._resting, guard, until)

    def opens_at(self, client: str) -> float | None:
        """When this client may come in, None for now."""
        return self._repeaters.opens_at(client_key(client))

    def wait(self, guard: Guard, until: float) -> None:
        """It comes in then, up to the time between two sweeps later, in a turn of its own."""
        self.counters.waits += 1
        self._note(self._waiting, guard, until)

    def forget(self, guard: Guard | Proxied) -> None:
        """A connection is gone."""
        self._guards -= 1
        self.admission.sockets -= 1
        self.settle(guard)
        if isinstance(guard, Proxied):
            return
        self._answering.pop(guard, None)
        self._waiting.pop(guard, None)
        self._resting.pop(guard, None)
        self._open_messages.pop(guard, None)
        if guard.admitted:
            guard.admitted = False
            self.admission.release(guard.client)
