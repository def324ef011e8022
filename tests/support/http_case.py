"""Asks relayd over HTTP as `curl` would: through the guard, over real connections."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from relayd.core.routes import Route
from tests.support.relay_rig import Relay


@dataclass
class Answer:
    """What came back."""

    status: int
    head: bytes
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def headers(self) -> dict[str, str]:
        """All in lower case; of one that comes twice the last."""
        _, *lines = self.head.decode().rstrip().split("\r\n")
        return dict(line.lower().split(": ", 1) for line in lines)


class HttpTestCase(TestCase):
    """A relay, and a way to ask it."""

    def relay(self, *routes: Route, **kwargs: Any) -> Relay:
        relay = Relay(*routes, **kwargs)
        relay.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(relay.close()))
        return relay

    async def begin(self, relay: Relay, target: str, *headers: str, body: Any = None, method: str = "GET") -> Any:
        """A connection whose request has been sent; a body that is not bytes as JSON."""
        browser = await relay.dial()
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {target} HTTP/1.1", "Host: relay.example", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(text)}")
        browser.transport.write("\r\n".join([*lines, "", ""]).encode() + text)
        return browser

    async def answer(self, browser: Any) -> Answer:
        await browser.until(lambda: browser.lost)
        return Answer(int(browser.head.split()[1]), browser.head, bytes(browser.data))

    async def ask(self, relay: Relay, target: str, *headers: str, method: str = "GET") -> Answer:
        return await self.answer(await self.begin(relay, target, *headers, method=method))

    async def post(self, relay: Relay, target: str, body: Any, *headers: str) -> Answer:
        return await self.answer(await self.begin(relay, target, *headers, body=body, method="POST"))
