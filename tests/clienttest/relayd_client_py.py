"""The Python client as a client under test: relayd_client_py.py URL TOPIC [TOKEN]."""

from __future__ import annotations

import asyncio
import sys

from relayd_client import connect


async def main(url: str, topic: str, token: str | None = None) -> None:
    async with connect(url, token=token) as relay:
        relay.on("state", lambda state: print(state, flush=True))
        relay.subscribe(topic, lambda message: None)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
