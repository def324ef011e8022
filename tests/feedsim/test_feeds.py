"""Whole feeds, from the simulated upstream to the bytes in the browser, each by its own relay.yaml."""

from __future__ import annotations

import json

from tests.feedsim.profile import Profile
from tests.feedsim.profiles.binance import Binance
from tests.feedsim.profiles.bitfinex import Bitfinex
from tests.feedsim.profiles.bitstamp import Bitstamp
from tests.feedsim.profiles.coinbase import Coinbase
from tests.feedsim.profiles.graphql import Graphql
from tests.feedsim.profiles.homeassistant import HomeAssistant
from tests.feedsim.profiles.htx import Htx
from tests.feedsim.profiles.jetstream import Jetstream
from tests.feedsim.profiles.kabu import Kabu
from tests.feedsim.profiles.kraken import Kraken
from tests.feedsim.profiles.kucoin import Kucoin
from tests.feedsim.profiles.mempool import Mempool
from tests.feedsim.profiles.okx import Okx
from tests.feedsim.profiles.twelvedata import TwelveData
from tests.feedsim.profiles.twitch import Twitch
from tests.feedsim.profiles.wamp import Wamp
from tests.feedsim.profiles.wikimedia import Wikimedia
from tests.feedsim.rig import FeedCase, Rig, eventually

AGENT = "relayd (ops@example.com)"


class WholeFeedCase(FeedCase):
    """What is shown of every feed."""

    async def whole(self, profile: type[Profile], without: str = "") -> Rig:
        """Subscribe, receive, lose the connection, come back: every byte and every loss is accounted for."""
        rig = self.run_feed(profile)
        keys = {topic: key for topic, key in rig.feed.topics.items() if topic != without}
        browser = await rig.browse(list(keys))
        await rig.subscribed(*keys.values())
        for _ in range(3):
            for key in keys.values():
                rig.feed.publish(key)
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})
        rig.simulator.cut()
        for key in keys.values():
            rig.feed.publish(key)
        await rig.subscribed(*keys.values())
        for _ in range(2):
            for key in keys.values():
                rig.feed.publish(key)
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})
        self.assertEqual(rig.journal.offences, [])
        self.assertEqual(rig.broken_limits(), [])
        self.assertEqual(rig.session.counters.unknown, 0)
        self.assertEqual(len(rig.journal.connects), 2)
        return rig


class ExchangeTests(WholeFeedCase):
    """Exchanges."""

    async def test_binance(self) -> None:
        """Batches, a payload cut out of its envelope, five frames a second."""
        await self.whole(Binance, without="binance/book/btcusdt")

    async def test_coinbase(self) -> None:
        """Signed, acked by the whole list, beaten by a companion."""
        rig = await self.whole(Coinbase)
        [peer] = rig.simulator.open
        self.assertIn("heartbeat BTC-USD", peer.subscribed)

    async def test_kraken(self) -> None:
        """An ack for each symbol."""
        await self.whole(Kraken)

    async def test_bitfinex(self) -> None:
        """Ids that are learnt anew on each connection, data before the ack."""
        await self.whole(Bitfinex)

    async def test_okx(self) -> None:
        """An ack for each argument, snapshots in the stream."""
        await self.whole(Okx)

    async def test_htx(self) -> None:
        """Gzip, and pings that want their number back."""
        await self.whole(Htx)

    async def test_kucoin(self) -> None:
        """A token for each connection, a welcome first."""
        rig = await self.whole(Kucoin)
        self.assertEqual([peer.state["token"] for peer in rig.simulator.open], ["t/2"])
        await eventually(lambda: any('"ping"' in text for text in rig.journal.texts(2)))

    async def test_bitstamp(self) -> None:
        """One topic a message."""
        await self.whole(Bitstamp)


class OtherFeedTests(WholeFeedCase):
    """What is no exchange."""

    async def test_kabu(self) -> None:
        """Subscribed by HTTP, with one token for all connections."""
        rig = await self.whole(Kabu)
        self.assertEqual(rig.feed.tokens, 1)

    async def test_homeassistant(self) -> None:
        """It speaks first, and sends under our own ids; several messages in one frame are several publications."""
        rig = await self.whole(HomeAssistant)
        both = await rig.browse(["home/state_changed/sensor.power"])
        rig.feed.coalesce("state_changed", 3)
        await eventually(lambda: len(both.received("home/state_changed/sensor.power")) == 3)
        asked = [text for text in rig.journal.texts(2) if "subscribe_events" in text]
        self.assertEqual(len(asked), 2)

    async def test_graphql(self) -> None:
        """Ids that we choose; what it ends is asked for again."""
        rig = await self.whole(Graphql)
        rig.feed.complete("power")
        await rig.subscribed()
        rig.feed.ping()
        await eventually(lambda: '{"type":"pong"}' in rig.journal.texts(2))

    async def test_wamp(self) -> None:
        """A ticket, then ids that the router tells."""
        await self.whole(Wamp)

    async def test_mempool(self) -> None:
        """The one key of a message is its topic; all that is wanted is asked for in one message."""
        await self.whole(Mempool)

    async def test_twelvedata(self) -> None:
        """Symbols in one text."""
        await self.whole(TwelveData)

    async def test_twitch(self) -> None:
        """Subscribed by HTTP, for the session that the greeting names; what is said again is published once."""
        rig = await self.whole(Twitch)
        browser = await rig.browse(["twitch/stream.online/1234"])
        for times in (2, 1):
            rig.feed.publish("stream.online 1234", times=times)
        await eventually(lambda: len(browser.received("twitch/stream.online/1234")) >= 3)
        ids = [json.loads(payload)["id"] for payload in browser.received("twitch/stream.online/1234")]
        self.assertEqual(ids, [6, 7, 8], "the newest, which a newcomer has, and two more")

    async def test_wikimedia(self) -> None:
        """Server-sent events; the id of the last one goes back as it came, and what happened meanwhile comes."""
        rig = await self.whole(Wikimedia)
        first, second = rig.journal.connects
        self.assertEqual(first.target, "/v2/stream/mediawiki.recentchange,mediawiki.page-create")
        self.assertEqual((first.headers["user-agent"], first.headers["accept"]), (AGENT, "text/event-stream"))
        self.assertNotIn("last-event-id", first.headers)
        self.assertEqual(
            second.headers["last-event-id"], '[{"topic": "eqiad.mediawiki", "partition": 0, "offset": 6}]'
        )

    async def test_jetstream(self) -> None:
        """Topics in the URL; what happened meanwhile is replayed, and nothing twice."""
        rig = await self.whole(Jetstream)
        [browser] = rig._browsers
        told = [one for one in browser.messages if one.get("op") == "lost"]
        self.assertEqual(told, [], "a replay that lost nothing has no mark")
        self.assertNotIn("cursor", rig.journal.connects[0].target)
        self.assertIn("cursor=", rig.journal.connects[1].target)
