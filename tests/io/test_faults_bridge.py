"""Each callback of an exclusive route raises once: that browser gets 1011 and its upstream connection ends, one record
and one count tell of it, and the other bridges do not notice."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred

from relayd.core import downstream
from relayd.core.bridge import Bridge, Bridges
from relayd.core.downstream import DownstreamSession
from relayd.core.posting import Posting
from relayd.core.upstream.frames import FrameCutter
from relayd.core.upstream.session import UpstreamSession
from relayd.core.wayup import WayUp
from relayd.io import exclusive
from relayd.io.downstream import DownstreamProtocol
from relayd.io.exclusive import ExclusiveUpstream
from relayd.io.guard_connection import Guard
from relayd.io.upstream_protocol import UpstreamFactory, UpstreamProtocol
from tests.io.test_exclusive import close_of, data
from tests.io.test_wayup import PublishingCase
from tests.support.browser import CLOSE, TEXT, Browser
from tests.support.faults import Injected, inject
from tests.support.relay_rig import eventually

CONFIG = """
listeners: [{endpoint: "tcp:0:interface=127.0.0.1", origins: [any]}]
upstreams:
  echo:
    connect: {url: "ws://127.0.0.1:${env.PORT}/", query: {lang: "${browser.query.lang:-en}"}}
routes:
  - {topic: echo, upstream: echo, exclusive: true, access: {publish: public}}
limits: {lag: 1m}  # on a machine that gives the test no time, browsers would be refused for that
"""

Victim = Callable[["BridgeFaultTests"], Awaitable[Browser]]


async def talk(test: BridgeFaultTests) -> Browser:
    """Says something, and hears the echo."""
    victim = await test.browse("/raw/echo")
    if b" 101 " in (victim.head or b""):
        victim.send(TEXT, b"hello")
        await test.until(lambda: over(victim) or data(victim))
    return victim


async def talk_and_go(test: BridgeFaultTests) -> Browser:
    """The same, and hangs up."""
    victim = await talk(test)
    if victim.lost is None:
        victim.send(CLOSE, (1000).to_bytes(2, "big"))
    await test.until(lambda: victim.lost is not None)
    return victim


async def flood(test: BridgeFaultTests) -> Browser:
    """Says more than a listener takes at once."""
    victim = await test.browse("/raw/echo")
    for _ in range(400):
        victim.send(TEXT, b"x")
    await test.until(lambda: over(victim) or len(data(victim)) == 400)
    return victim


async def doze(test: BridgeFaultTests) -> Browser:
    """Does not read for a while what the upstream says."""
    victim = await test.browse("/raw/echo")
    bridge, upstream = await test.line()
    victim.transport.pauseProducing()
    for _ in range(100):
        upstream.sendMessage(b"x" * 80_000, True)  # more than both kernels hold
    await test.until(lambda: test.raised or bridge._is_held)
    victim.transport.resumeProducing()
    await test.until(lambda: over(victim) or len(data(victim)) == 100)
    return victim


async def press(test: BridgeFaultTests) -> Browser:
    """Says more than the upstream takes, which reads later."""
    victim = await test.browse("/raw/echo")
    bridge, upstream = await test.line()
    upstream.listen(False)
    handle = bridge._line._upstream._protocol.transport.getHandle()
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    for _ in range(25):
        victim.send(TEXT, b"y" * 12_000)
    await test.until(lambda: test.raised or bridge._line.way.paused)
    if upstream.transport.connected:
        upstream.listen(True)
    if handle.fileno() >= 0:  # not closed yet
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 128 << 10)
    await test.until(lambda: over(victim) or len(data(victim)) == 25)
    return victim


async def cut_off(test: BridgeFaultTests) -> Browser:
    """Its upstream ends."""
    victim = await test.browse("/raw/echo")
    _, upstream = await test.line()
    upstream.sendClose(1000)
    await test.until(lambda: over(victim))
    return victim


def over(browser: Browser) -> bool:
    """Whether it was closed, or is gone."""
    return close_of(browser) is not None or browser.lost is not None


#: Owner, callback, what makes it run.
CALLBACKS: tuple[tuple[Any, str, Victim], ...] = (
    (Bridges, "open", talk),
    (Bridge, "begin", talk),
    (Bridge, "opened", talk),
    (Bridge, "up", talk),
    (Bridge, "_go_on", talk),
    (Bridge, "_look", talk),
    (Bridge, "_send", talk),
    (Bridge, "publish", talk),
    (Bridge, "ended", cut_off),
    (Bridge, "_drained", doze),
    (WayUp, "pause", press),
    (WayUp, "filled", press),
    (WayUp, "drained", press),
    (WayUp, "leave", talk_and_go),
    (WayUp, "send", talk),
    (downstream, "check_access", talk),
    (DownstreamSession, "_cross", talk),
    (DownstreamSession, "_say_raw", talk),
    (Posting, "leave", talk_and_go),
    (DownstreamProtocol, "rest", flood),
    (Guard, "go_on", flood),
    (exclusive, "Ticker", talk),
    (ExclusiveUpstream, "ask", talk),
    (ExclusiveUpstream, "startService", talk),
    (ExclusiveUpstream, "stopService", talk_and_go),
    (ExclusiveUpstream, "hold", doze),
    (UpstreamSession, "tick", talk),
    (ExclusiveUpstream, "_dial", talk),
    (UpstreamSession, "tcp_up", talk),
    (ExclusiveUpstream, "ws_open", talk),
    (ExclusiveUpstream, "message", talk),
    (ExclusiveUpstream, "lost", cut_off),
    (UpstreamSession, "socket_closed", talk_and_go),
    (ExclusiveUpstream, "buffer_filled", press),
    (ExclusiveUpstream, "_carry_out", talk),
    (ExclusiveUpstream, "_carry_out_one", talk),
    (UpstreamSession, "publish", talk),
    (UpstreamSession, "ws_open", talk),
    (UpstreamSession, "message", talk),
    (UpstreamSession, "stop", talk_and_go),
    (UpstreamSession, "lost", cut_off),
    (UpstreamProtocol, "hold", doze),
    (UpstreamProtocol, "send", talk),
    (FrameCutter, "feed", talk),
    (UpstreamProtocol, "onConnecting", talk),
    (UpstreamProtocol, "_actuallyStartHandshake", talk),
    (UpstreamProtocol, "onCloseFrame", cut_off),
    (UpstreamFactory, "buildProtocol", talk),
)

#: There is no bridge yet, or no browser any more, when these run.
WITHOUT_CLOSE = {
    (WayUp, "leave"),
    (Posting, "leave"),
    (Guard, "go_on"),
    (ExclusiveUpstream, "stopService"),
    (UpstreamSession, "socket_closed"),
    (UpstreamSession, "stop"),
}


class BridgeFaultTests(PublishingCase):
    """One relay for each; two others talk over bridges of their own before and after."""

    config = CONFIG

    def setUp(self) -> None:
        super().setUp()
        self.raised: list[int] = []

    @property
    def counters(self) -> Any:
        return self.relay.bridges.bridges.counters

    async def line(self) -> tuple[Any, Any]:
        """The bridge that was opened last, with the upstream's end of it."""
        await self.until(lambda: self.raised or len(self.echo.open) == 3)
        return list(self.relay.clients.open.values())[-1]._session._bridge, self.echo.open[-1]

    async def until(self, condition: Callable[[], Any]) -> None:
        await eventually(condition)

    async def suffer(self, owner: Any, name: str, victim: Victim) -> None:
        """Inject, let the victim do its part, and ask the others."""
        others = [await self.browse("/raw/echo") for _ in range(2)]
        await self.heard(others, b"before")
        self.raised = inject(self, owner, name)
        browser = await victim(self)
        await self.until(lambda: self.raised)
        if (owner, name) not in WITHOUT_CLOSE:
            if b" 101 " in (browser.head or b""):
                await self.until(lambda: over(browser))
                assert close_of(browser) == (1011, "internal"), browser.frames[-3:]
            else:
                assert (browser.head or b"").startswith(b"HTTP/1.1 500 "), browser.head
        await self.until(lambda: len(self.echo.open) == 2 and self.counters.open == 2)
        await self.until(lambda: len(self.relay.clients.open) == 2)
        await self.until(lambda: not self.relay.bridges.lines._ending)
        assert len(self.flushLoggedErrors(Injected)) == 1
        caught = sum(self.relay.mishaps.counters.caught.values())
        assert self.relay.clients.counters.errors + self.relay.guards.errors + caught == 1
        late = await self.browse("/raw/echo")
        await self.heard([*others, late], b"after")
        assert not any(map(over, others))

    async def heard(self, browsers: list[Browser], said: bytes) -> None:
        """Each says it, and hears the echo."""
        for browser in browsers:
            browser.send(TEXT, said)
        for browser in browsers:
            await self.until(lambda browser=browser: data(browser)[-1:] == [(TEXT, said)])


def _add(owner: Any, name: str, victim: Victim) -> None:
    def test(self: BridgeFaultTests) -> Deferred[None]:
        return Deferred.fromCoroutine(self.suffer(owner, name, victim))

    where = owner.__name__.rsplit(".", 1)[-1]
    test.__doc__ = f"{where}.{name} raises."
    setattr(BridgeFaultTests, f"test_{where}_{name.lstrip('_')}", test)


for _owner, _name, _victim in CALLBACKS:
    _add(_owner, _name, _victim)
