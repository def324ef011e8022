"""Each callback that the outside world can enter by raises once: one connection ends at most, everybody else goes on.

Two witnesses read a topic all the while. A third client, the victim, does what makes the callback run.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from relayd.core.downstream import DownstreamSession
from relayd.core.hub import Hub
from relayd.core.keepalive import QUIET_STEP_S, PingSweep
from relayd.core.pending import Pending
from relayd.core.poll import Poll
from relayd.core.readers import Readers
from relayd.core.sse import EventStreamSession
from relayd.io import guard_connection
from relayd.io.downstream import DownstreamProtocol
from relayd.io.guard import GuardFactory
from relayd.io.guard_connection import Guard
from relayd.io.poll import PollResource
from relayd.io.posting import PostHandler
from relayd.io.sink import TransportSink
from relayd.io.sse import EventStream
from relayd.io.web import JsonResource
from tests.support.browser import PING, PONG, TEXT, Browser, client_frame
from tests.support.faults import Injected, inject
from tests.support.relay_rig import Relay, eventually, turn

Victim = Callable[["FaultTests"], Awaitable[None]]

#: Six of these are longer than the pause between two looks at all clients: of ten steps of 2 s, as many as are left
#: when an event stream owes a sign of life (core/heartbeat.py).
WHILE_S = QUIET_STEP_S / 5


async def come_and_go(test: FaultTests) -> None:
    """A client that subscribes, asks, pings, and hangs up."""
    victim = await test.relay.browse("/ws?topics=t/v")
    for opcode, payload in ((TEXT, b'{"op":"ping","id":1}'), (PING, b"x"), (PONG, b"y"), (2, b"binary")):
        if victim.lost is None:
            victim.transport.write(client_frame(opcode, payload))
            await turn(0.02)
    test.relay.publish("t/v")
    await turn(0.02)
    if victim.lost is None:
        victim.transport.loseConnection()
    test.ahead_s += 3  # the deadline after a close
    await victim.until(lambda: victim.lost is not None)


async def ask(test: FaultTests) -> None:
    """An HTTP request."""
    victim = await test.relay.dial()
    victim.transport.write(b"GET /topics HTTP/1.1\r\nHost: relay.example\r\n\r\n")
    await victim.until(lambda: victim.lost is not None)


async def post(test: FaultTests) -> None:
    """A request with a body that comes later."""
    victim = await test.relay.dial()
    victim.transport.write(b"POST /topics HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 5\r\n\r\n")
    await turn(0.05)
    victim.transport.write(b"hello")
    await victim.until(lambda: victim.lost is not None)


async def say(test: FaultTests, line: bytes, *more: bytes) -> None:
    """A whole request, whose answer may last; then the client hangs up."""
    victim = await test.relay.dial()
    victim.transport.write(b"\r\n".join((line, b"Host: relay.example", *more)))
    for _ in range(10):
        await turn(WHILE_S)
        test.ahead_s += 2
    test.relay.publish("t/v")
    await turn(0.05)
    if victim.lost is None:
        victim.transport.loseConnection()
    await eventually(lambda: victim.lost is not None)


async def stream(test: FaultTests) -> None:
    """An event stream, over a few signs of life."""
    await say(test, b"GET /sse?topics=t/v HTTP/1.1", b"\r\n")


async def poll(test: FaultTests) -> None:
    """A poll that waits, and another after it that must be answered in time."""
    await say(test, b"GET /poll?topics=t/v&wait=1s HTTP/1.1", b"\r\n")
    other = await test.relay.dial()
    other.transport.write(b"GET /poll?topics=t/o&wait=1s HTTP/1.1\r\nHost: relay.example\r\n\r\n")
    await turn(0.05)
    test.ahead_s += 2
    await other.until(lambda: b"200 OK" in (other.head or b"") and b"topics" in other.data)


async def publish(test: FaultTests) -> None:
    """A publication by POST."""
    await say(test, b"POST /topics/t/v HTTP/1.1", b"Content-Type: text/plain", b"Content-Length: 5", b"", b"hello")


async def half_a_request(test: FaultTests) -> None:
    """A head that does not end, until its time is over."""
    victim = await test.relay.dial()
    victim.transport.write(b"GET /ws HTTP/1.1\r\n")
    await turn(0.05)
    test.ahead_s += 11
    await victim.until(lambda: victim.lost is not None)


async def half_a_message(test: FaultTests) -> None:
    """A message that does not end."""
    victim = await test.relay.browse("/ws")
    victim.transport.write(client_frame(TEXT, b"half", fin=False))
    await turn(0.05)
    test.ahead_s += 11
    await victim.until(lambda: victim.lost is not None)


async def wait_a_while(test: FaultTests) -> None:
    """Time for every tick."""
    victim = await test.relay.browse("/ws?topics=t/v")
    for _ in range(10):
        test.ahead_s += 4
        test.relay.hub_tick()
        await turn(WHILE_S)
        for browser in (*test.witnesses, victim):
            if browser.lost is None:
                browser.transport.write(client_frame(PONG, b"alive"))


#: Owner, callback, what makes it run.
CALLBACKS: tuple[tuple[Any, str, Victim], ...] = (
    (GuardFactory, "_build", ask),
    (Pending, "add", ask),
    (Guard, "_request_head", come_and_go),
    (Guard, "_hand_over", come_and_go),
    (guard_connection, "judge", come_and_go),
    (Guard, "_frames", come_and_go),
    (Guard, "_body", post),
    (Guard, "request_overdue", half_a_request),
    (Guard, "message_overdue", half_a_message),
    (GuardFactory, "sweep", half_a_request),
    (DownstreamProtocol, "_connect", come_and_go),
    (DownstreamProtocol, "_open", come_and_go),
    (DownstreamProtocol, "onMessage", come_and_go),
    (DownstreamProtocol, "onPing", come_and_go),
    (DownstreamProtocol, "onPong", come_and_go),
    (DownstreamProtocol, "pong", come_and_go),
    (DownstreamProtocol, "_end", come_and_go),
    (DownstreamProtocol, "_log_close", come_and_go),
    (DownstreamProtocol, "breach", half_a_message),
    (DownstreamSession, "opened", come_and_go),
    (DownstreamSession, "text", come_and_go),
    (DownstreamSession, "binary", come_and_go),
    (DownstreamSession, "lost", come_and_go),
    (Readers, "subscribe", come_and_go),
    (Readers, "leave", come_and_go),
    (TransportSink, "write", come_and_go),
    (PingSweep, "tick", wait_a_while),
    (PingSweep, "join", come_and_go),
    (Readers, "close_stuck", wait_a_while),
    (Hub, "tick", wait_a_while),
    (JsonResource, "render", ask),
    (EventStream, "_open", stream),
    (EventStream, "_begin", stream),
    (EventStream, "beat", stream),
    (EventStream, "_log_close", stream),
    (EventStreamSession, "opened", stream),
    (EventStreamSession, "lost", stream),
    (PollResource, "_ask", poll),
    (Poll, "begin", poll),
    (Poll, "look", poll),
    (Poll, "overdue", poll),
    (Poll, "_answer", poll),
    (PostHandler, "answer", publish),
    (PostHandler, "_publish", publish),
)


class FaultTests(TestCase):
    """One relay for each."""

    def setUp(self) -> None:
        self.ahead_s = 0.0
        self.relay = Relay(monotonic=lambda: time.monotonic() + self.ahead_s)
        self.relay.hub_tick = self.hub_tick
        self.relay.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.relay.close()))
        self.witnesses: list[Browser] = []

    def hub_tick(self) -> None:
        """As the ticker does."""
        try:
            self.relay.hub.tick(self.relay.hub.now())
        except Injected:
            self.relay.mishaps.report("timer")

    def inject(self, owner: Any, name: str) -> list[int]:
        """The callback raises at its next call, and works from then on; the guard finds some of its own in a table."""
        sound = getattr(owner, name)
        raised = inject(self, owner, name)
        if owner is Guard and name in ("_request_head", "_frames", "_body"):
            inputs = guard_connection._INPUTS
            state = next(state for state, call in inputs.items() if call is sound)
            self.patch(guard_connection, "_INPUTS", {**inputs, state: getattr(owner, name)})
        return raised

    async def test_nobody_is_left_behind(self) -> None:
        """A loss that fails at its entry is told once more: topics are not kept for who is gone."""
        for session, target in ((DownstreamSession, "/ws?topics=t/a"), (EventStreamSession, "/sse?topics=t/a")):
            client = await (self.relay.browse(target) if target.startswith("/ws") else self.relay.dial())
            if target.startswith("/sse"):
                client.transport.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await eventually(lambda: "t/a" in self.relay.hub.topics and self.relay.hub.topics["t/a"].readers == 1)
            raised = self.inject(session, "lost")
            client.transport.abortConnection()
            await eventually(lambda: self.relay.hub.topics["t/a"].readers == 0)
            assert raised
            assert len(self.flushLoggedErrors(Injected)) == 1

    async def suffer(self, owner: Any, name: str, victim: Victim) -> None:
        """Inject, let the victim do its part, and ask the witnesses."""
        self.witnesses = [await self.relay.browse("/ws?topics=t/w") for _ in range(2)]
        await eventually(lambda: len(self.relay.clients.open) == 2)
        raised = self.inject(owner, name)
        self.relay.publish("t/w", b"1")
        await victim(self)
        assert raised, f"{name} was not called"
        errors = self.flushLoggedErrors(Injected)
        assert 1 <= len(errors) <= 2, errors
        self.relay.publish("t/w", b"2")
        again = await self.relay.browse("/ws?topics=t/w")
        self.relay.publish("t/w", b"3")
        for witness in self.witnesses:
            await eventually(lambda witness=witness: '"data":3' in "".join(map(str, witness.frames)))
            heard = "".join(map(str, witness.frames))
            assert [heard.count(f'"data":{number}') for number in (1, 2, 3)] == [1, 1, 1]
            assert witness.lost is None
        await eventually(lambda: '"data":3' in "".join(map(str, again.frames)))
        counted = self.relay.clients.counters.errors + self.relay.guards.counters.errors
        assert counted + sum(self.relay.mishaps.counters.caught.values()) >= (name not in UNCOUNTED)


#: Twisted itself catches these (it drops the connection).
UNCOUNTED = {"sweep", "tick"}


def _add(owner: Any, name: str, victim: Victim) -> None:
    async def test(self: FaultTests) -> None:
        await self.suffer(owner, name, victim)

    where = owner.__name__.rsplit(".", 1)[-1]
    test.__doc__ = f"{where}.{name} raises."
    setattr(FaultTests, f"test_{where}_{name.lstrip('_')}", test)


for _owner, _name, _victim in CALLBACKS:
    _add(_owner, _name, _victim)
