"""The Python client as a client under test: relayd_client_py.py URL TOPIC [TOKEN [PUBLISH]]."""

from __future__ import annotations

import asyncio
import sys

from relayd_client import RelayError, connect


async def main(url: str, topic: str, token: str | None = None, publish: str = "") -> None:
    async with connect(url, token=token) as relay:
        relay.on("state", lambda state: print(state, flush=True))
        relay.subscribe(topic, lambda message: None, binary=True, window=40)
        if publish:
            try:
                print("published", await relay.publish(publish, {"from": "the test"}), flush=True)
            except RelayError as error:
                print("not published", error, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
