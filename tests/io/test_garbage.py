"""Who has gone is freed by counting references, without the garbage collector: its looks at everything can be rare."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import ref

from relayd.core.poll import Poll
from relayd.io import http
from relayd.io.guard_connection import Guard
from tests.support.browser import CLOSE
from tests.support.http_case import HttpTestCase
from tests.support.relay_rig import Relay, eventually

TIMES = 3  # a circle would keep each of them


class GarbageTests(HttpTestCase):
    """Over real sockets, with the collector switched off."""

    def watch(self, *kinds: type) -> list[ref[Any]]:
        """What is made of these kinds from now on."""
        made: list[ref[Any]] = []

        def watched(init: Callable[..., None]) -> Callable[..., None]:
            def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
                init(self, *args, **kwargs)
                made.append(ref(self))

            return __init__

        for kind in kinds:
            self.patch(kind, "__init__", watched(vars(kind)["__init__"]))
        return made

    def only_client(self, relay: Relay) -> list[ref[Any]]:
        """It, its session and what that reads."""
        client: Any
        (client,) = relay.clients.open.values()
        return [ref(one) for one in (client, client._session, client._session._reading)]

    async def gone(self, relay: Relay, made: list[ref[Any]], come_and_go: Callable[[], Awaitable[None]]) -> None:
        """Nothing of what was watched is left once the connections are lost and no deadline remembers them."""
        self.addCleanup(gc.enable)
        gc.disable()
        for _ in range(TIMES):
            await come_and_go()
        await eventually(lambda: not relay.guards.sockets)
        relay.clients.tick(relay.clients.monotonic() + 60.0)
        assert len(made) >= TIMES
        await eventually(lambda: not [one for one in made if one() is not None])

    async def test_websockets(self) -> None:
        """Closed in order, or lost; their sessions too."""
        relay = self.relay()
        made = self.watch(Guard)
        for is_orderly in (True, False):

            async def come_and_go(is_orderly: bool = is_orderly) -> None:
                browser = await relay.browse("/ws?topics=t/a,t/b")
                await browser.until(lambda: len(browser.messages) >= 2)
                made.extend(self.only_client(relay))
                if is_orderly:
                    browser.send(CLOSE)
                else:
                    browser.transport.abortConnection()
                await browser.until(lambda: browser.lost is not None)

            await self.gone(relay, made, come_and_go)

    async def test_event_streams(self) -> None:
        """With their sessions."""
        relay = self.relay()
        made = self.watch(Guard)

        async def come_and_go() -> None:
            browser = await self.begin(relay, "/sse?topics=t/a")
            await eventually(lambda: relay.clients.open)
            made.extend(self.only_client(relay))
            browser.transport.abortConnection()
            await browser.until(lambda: browser.lost is not None)

        await self.gone(relay, made, come_and_go)

    async def test_polls(self) -> None:
        """Answered at once, or after a wait."""
        relay = self.relay()
        made = self.watch(Guard, Poll)
        relay.publish("t/a", b"1")

        async def come_and_go() -> None:
            await self.ask(relay, "/poll?topics=t/a")
            await self.ask(relay, "/poll?topics=t/b&wait=1ms")

        await self.gone(relay, made, come_and_go)

    async def test_requests_that_wait_for_data(self) -> None:
        """In vain, or not."""
        relay = self.relay()
        made = self.watch(Guard, http._Waiting)

        async def come_and_go() -> None:
            await self.ask(relay, "/topics/t/a?wait=1ms")

        await self.gone(relay, made, come_and_go)
