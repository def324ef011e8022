"""Topics of a relayd in an asyncio program: comes back by itself, resumes where each topic stood, says what is missing.

    async with connect("wss://relay.example/ws") as relay:
        with relay.subscribe(topic("market", "ticker", "BTC/USD"), max_hz=5) as prices:
            async for price in prices:
                print(price.data)

The words are those of relayd.js; how each is meant: README.md, and docs/protocol.md of relayd.
"""

from relayd_client.connection import Connection, connect
from relayd_client.messages import (
    Closed,
    ConnectionState,
    Lost,
    Publication,
    Refused,
    RelayError,
    Resumed,
    TopicState,
)
from relayd_client.subscription import Subscription
from relayd_client.topics import topic
from relayd_client.version import VERSION as __version__

__all__ = [
    "Closed",
    "Connection",
    "ConnectionState",
    "Lost",
    "Publication",
    "Refused",
    "RelayError",
    "Resumed",
    "Subscription",
    "TopicState",
    "__version__",
    "connect",
    "topic",
]
