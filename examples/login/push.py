"""From the threads of a web server to relayd: one connection, in an event loop of its own."""

from __future__ import annotations

import asyncio
import threading

from relayd_client import connect


class Push:
    """Publishes what it is handed, and waits until relayd has it.

    Args:
        url: of relayd's `/ws`.
        token: that of the application.
    """

    def __init__(self, url: str, token: str) -> None:
        self._relay = connect(url, token=token)
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        threading.Thread(target=self._loop.run_until_complete, args=(self._live(),), daemon=True).start()

    async def _live(self) -> None:
        async with self._relay:
            await self._ended.wait()

    def publish(self, topic: str, data: object, within_s: float = 5.0) -> None:
        """One publication.

        Raises:
            relayd_client.Refused: relayd said no, or there is no connection.
            TimeoutError: there was no answer in time.
        """
        asyncio.run_coroutine_threadsafe(self._publish(topic, data), self._loop).result(within_s)

    async def _publish(self, topic: str, data: object) -> None:
        await self._relay.ready()
        await self._relay.publish(topic, data)
