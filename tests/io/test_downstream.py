"""A browser's WebSocket over real connections: opening, messages, faults, and every way to its end."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.support.browser import ACCEPT, CLOSE, PING, PONG, TEXT
from tests.support.relay_rig import Relay, eventually


class OpenTests(TestCase):
    """From the handshake to the first data."""

    async def test_welcome_and_data(self) -> None:
        """A plain `?topics=` needs nothing more: welcome, subscribed, data."""
        relay = Relay()
        relay.open()
        try:
            relay.publish("t/a", b'{"price":1}')
            browser = await relay.browse("/ws?topics=t/a")
            assert browser.head is not None
            assert ACCEPT in browser.head
            assert b"Server:" not in browser.head
            await browser.until(lambda: len(browser.messages) >= 3)
            assert [message.get("op") for message in browser.messages] == ["welcome", "subscribed", None]
            relay.publish("t/a", b'{"price":2}')
            await browser.until(lambda: len(browser.messages) == 4)
            assert browser.messages[-1] == {"topic": "t/a", "offset": 2, "data": {"price": 2}}
        finally:
            await relay.close()
