"""The Python client on one topic: prints, a JSON array a line, what it is given and told, in order.

    with_relayd_client.py URL TOPIC loop|callback

Lines: ["got", offset, n]  ["lost", after, next, count, why]  ["resumed", recovered]  ["open"]  ["topic", state]
and, in a loop, ["missed", count]. Ends when a publication's data is "end".
"""

from __future__ import annotations

import asyncio
import json
import sys

from relayd_client import ConnectionState, Publication, codes, connect

# After many cuts in a row the waits would be a minute; of these, the jitter is real.
codes.CEILING_MAX_S = 0.1


def tell(*values: object) -> None:
    print(json.dumps(values), flush=True)


async def main(url: str, topic: str, how: str) -> None:
    ended = asyncio.Event()

    def got(message: Publication) -> None:
        if message.missed != 0:
            tell("missed", message.missed)
        if message.data == "end":
            ended.set()
        else:
            tell("got", message.offset, message.data["n"])

    def changed(state: ConnectionState) -> None:
        if state.state == "open":
            tell("open")

    async with connect(url) as relay, asyncio.timeout(120):
        relay.on("state", changed)
        relay.on("error", lambda refusal: tell("error", str(refusal)))
        reading = relay.subscribe(topic, got if how == "callback" else None)
        reading.on("lost", lambda lost: tell("lost", lost.after, lost.next, lost.count, lost.why))
        reading.on("resumed", lambda resumed: tell("resumed", resumed.recovered))
        reading.on("state", lambda state: tell("topic", state.state))
        if how == "callback":
            await ended.wait()
        else:
            async for message in reading:
                got(message)
                if ended.is_set():
                    break
    tell("done", relay.state)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
