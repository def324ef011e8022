"""The faults people report of feeds, each produced by a simulated one, and what relayd does about it.

What needs hours, or a chance of a kind, is shown in tests/core with a clock; `matrix.py` knows where.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from twisted.internet import reactor
from twisted.logger import formatEvent, globalLogPublisher

from relayd.core.upstream.states import State
from tests.feedsim.journal import LOST
from tests.feedsim.peer import BINARY, TEXT, Peer, frame
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
from tests.feedsim.profiles.okx import Okx
from tests.feedsim.profiles.twelvedata import TwelveData
from tests.feedsim.rig import FeedCase, Rig, eventually, turn

QUICK = "    reconnect: {min: 50ms, max: 200ms}\n"


def edited(*changes: tuple[str, str], block: str = "") -> Callable[[str], str]:
    """Changes of a feed's file, and a block more in its upstream."""

    def edit(text: str) -> str:
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        return text.replace("routes:\n", f"{block}routes:\n", 1)

    return edit


def lines_of_the_log(case: FeedCase) -> list[str]:
    """What is logged from now on, to the end of the test."""
    lines: list[str] = []

    def observe(event: dict[str, object]) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    case.addCleanup(globalLogPublisher.removeObserver, observe)
    return lines


class SilenceTests(FeedCase):
    """Row 1: open but silent."""

    async def test_nothing_at_all(self) -> None:
        """No frame for `silence.any`: stale first, then a new connection, and pings that are answered change nothing
        where no pongs come."""
        rig = self.run_feed(Kraken, edited(("any: 5s", "any: 600ms"), block=QUICK))
        browser = await rig.browse(["kraken/ticker/BTC~2FUSD"])
        await rig.subscribed("ticker BTC/USD")
        rig.feed.publish("ticker BTC/USD")
        await rig.caught_up(browser)
        rig.simulator.go_silent(pongs=False)
        rig.feed.publish("ticker BTC/USD")
        await eventually(lambda: len(rig.journal.connects) == 2)
        await rig.subscribed("ticker BTC/USD")
        rig.feed.publish("ticker BTC/USD")
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})
        self.assertIn(("reconnecting", ""), browser.states("kraken/ticker/BTC~2FUSD"))
        self.assertNotIn("close", [one.kind for one in rig.journal.heard])  # cut, not asked to close

    async def test_beats_are_no_data(self) -> None:
        """Heartbeats are answered, data does not come: `silence.data` ends it."""
        block = "    silence: {data: 500ms}\n" + QUICK
        rig = self.run_feed(Bitstamp, edited(("every: 10s", "every: 100ms"), block=block))
        browser = await rig.browse(["bitstamp/live_trades_btcusd"])
        await rig.subscribed("live_trades_btcusd")
        rig.feed.publish("live_trades_btcusd")
        await rig.caught_up(browser)
        await eventually(lambda: len(rig.journal.connects) == 2)
        self.assertIn("no data for silence.data", rig.session.why)
        self.assertGreaterEqual(rig.session.counters.beats, 3)

    async def test_a_heartbeat_without_an_answer(self) -> None:
        """It is the end of the connection, however much data comes."""
        rig = self.run_feed(Okx, edited(("every: 20s, within: 10s", "every: 100ms, within: 200ms"), block=QUICK))
        await rig.browse(["okx/tickers/BTC-USDT"])
        await rig.subscribed("tickers BTC-USDT")
        rig.feed.heard = lambda peer, text: None
        deadline = time.monotonic() + 3
        while len(rig.journal.connects) < 2 and time.monotonic() < deadline:
            rig.feed.publish("tickers BTC-USDT")
            await turn(0.02)
        self.assertGreaterEqual(len(rig.journal.connects), 2)
        self.assertIn("no answer to a heartbeat", rig.session.why)

    async def test_browsers_are_told_of_a_late_topic(self) -> None:
        """Each topic has an age of its own."""
        rig = self.run_feed(Bitstamp, edited(("allow:", "stale_after: 300ms\n    allow:")))
        browser = await rig.browse()
        await rig.subscribed()
        for key in rig.feed.topics.values():
            rig.feed.publish(key)
        for _ in range(20):
            await turn(0.05)
            rig.feed.publish("order_book_ethusd")
        states = [state for state, _ in browser.states("bitstamp/live_trades_btcusd")]
        self.assertEqual(states, ["live", "stale"])
        self.assertNotIn("stale", [state for state, _ in browser.states("bitstamp/order_book_ethusd")])


class StormTests(FeedCase):
    """Row 2: accepted, and dropped at once, for ever."""

    async def test_backoff_and_its_steps(self) -> None:
        """An accepted connection resets nothing; HTTP steps are made once for each dial, inside the backoff."""
        rig = self.run_feed(Kucoin, edited(block="    reconnect: {min: 100ms, max: 10s}\n"))
        rig.simulator.close_after(0.01)
        await rig.browse(["kucoin/ticker/BTC-USDT"])
        await eventually(lambda: len(rig.journal.connects) >= 3)
        # The latest connection may not have ended here yet, though it has there.
        connects = len(rig.journal.connects)
        self.assertIn(rig.session.redial.backoff.attempts, (connects - 1, connects))
        self.assertLessEqual(len(rig.feed.tokens) - len(rig.journal.connects), 1)


    async def test_an_alarm(self) -> None:
        """After five in a row it is a metric, a line in the log, and what browsers are told of the wait."""
        lines = lines_of_the_log(self)
        rig = self.run_feed(Bitstamp, edited(block="    reconnect: {min: 10ms, max: 20ms}\n"))
        rig.simulator.close_after(0.01)
        browser = await rig.browse(["bitstamp/live_trades_btcusd"])
        dropped = ("pending", "the upstream accepts connections and drops them")
        await eventually(lambda: dropped in browser.states("bitstamp/live_trades_btcusd"))
        self.assertGreaterEqual(rig.session.counters.short, 5)
        told = [line for line in lines if "accepts connections and drops them" in line]
        self.assertEqual([" 5 in a row" in line for line in told], [True])


class LimitTests(FeedCase):
    """Row 3: banned for being too fast."""

    async def test_no_window_of_frames_holds_more(self) -> None:
        """Subscriptions that come one by one, pings of theirs that are answered, a reconnect amid: five in any second,
        as the upstream counts them, and everything wanted is subscribed in the end."""
        coins = [f"{name}usdt" for name in ("btc", "eth", "xrp", "ada", "sol", "dot", "ltc", "bch")]
        rig = self.run_feed(Binance)
        for coin in coins:
            await rig.browse([f"binance/trade/{coin}"])
        await rig.subscribed(*(f"{coin}@trade" for coin in coins[:4]))
        rig.simulator.ping(b"copy me")
        await eventually(lambda: any(one.kind == "pong" for one in rig.journal.heard))
        rig.simulator.cut()
        await rig.subscribed(*(f"{coin}@trade" for coin in coins), within_s=8)
        self.assertGreaterEqual(len(rig.journal.heard), 5)
        self.assertEqual(rig.broken_limits(), [])
        self.assertEqual(rig.journal.offences, [])

    async def test_retry_after(self) -> None:
        """429 with Retry-After: not dialled before that, whatever the backoff says."""
        rig = self.run_feed(Bitstamp, edited(block=QUICK))
        rig.simulator.refuse(429, b"slow down", Retry_After="1")
        browser = await rig.browse(["bitstamp/live_trades_btcusd"])
        await rig.subscribed("live_trades_btcusd")
        first, second = rig.journal.connects
        self.assertGreaterEqual(second.at - first.at, 1.0)
        refused = ("pending", "the upstream refused the connection")
        self.assertEqual(browser.states("bitstamp/live_trades_btcusd")[:1], [refused])


class PartialFailureTests(FeedCase):
    """Row 4: part of a batch fails."""

    async def test_one_of_a_batch_is_named(self) -> None:
        """Its browsers hear the reason; the others go on."""
        rig = self.run_feed(Kraken)
        rig.feed.refused.add("ticker X/USD")
        browser = await rig.browse(["kraken/ticker/BTC~2FUSD", "kraken/ticker/X~2FUSD"])
        await rig.subscribed("ticker BTC/USD")
        rig.feed.publish("ticker BTC/USD")
        await rig.caught_up(browser)
        await eventually(lambda: browser.states("kraken/ticker/X~2FUSD"))
        self.assertEqual(browser.states("kraken/ticker/X~2FUSD"), [("failed", "Currency pair not supported X/USD")])
        self.assertNotIn("failed", [state for state, _ in browser.states("kraken/ticker/BTC~2FUSD")])

    async def test_those_that_were_not_taken_are_listed(self) -> None:
        """Beside those that were, without an id of what was asked: each is told for itself."""
        rig = self.run_feed(TwelveData)
        rig.feed.refused.add("EUR/USD")
        browser = await rig.browse()
        await rig.subscribed("AAPL")
        await eventually(lambda: browser.states("twelvedata/EUR~2FUSD"))
        [(state, _)] = browser.states("twelvedata/EUR~2FUSD")
        self.assertEqual(state, "failed")
        self.assertNotIn("failed", [state for state, _ in browser.states("twelvedata/AAPL")])

    async def test_a_batch_fails_and_nobody_says_which(self) -> None:
        """It is halved until the culprit is alone, within the rate; the others are subscribed."""
        coins = [f"{name}usdt" for name in ("btc", "eth", "xrp", "bad")]
        rig = self.run_feed(Binance)
        rig.feed.refused.add("badusdt@trade")
        browser = await rig.browse([f"binance/trade/{coin}" for coin in coins])
        await rig.subscribed(*(f"{coin}@trade" for coin in coins[:3]))
        await eventually(lambda: browser.states("binance/trade/badusdt"))
        self.assertEqual(browser.states("binance/trade/badusdt"), [("failed", "Invalid request: badusdt@trade")])
        self.assertEqual(browser.states("binance/trade/btcusdt"), [])
        for coin in coins[:3]:
            rig.feed.topic_of[f"{coin}@trade"] = f"binance/trade/{coin}"
            rig.feed.publish(f"{coin}@trade")
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})
        self.assertEqual((rig.broken_limits(), rig.journal.offences), ([], []))

    async def test_a_reply_names_those_that_were_taken(self) -> None:
        """Those that it leaves out have failed."""
        rig = self.run_feed(Kabu)
        rig.feed.refused.add("9999@1")
        browser = await rig.browse(["kabu/1/9433", "kabu/1/9999"])
        await rig.subscribed("9433@1")
        await eventually(lambda: browser.states("kabu/1/9999"))
        [(state, why)] = browser.states("kabu/1/9999")
        self.assertEqual((state, bool(why)), ("failed", True))
        rig.feed.publish("9433@1")
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})
        self.assertNotIn("failed", [state for state, _ in browser.states("kabu/1/9433")])
        self.assertEqual([one.method for one in rig.journal.requests], ["POST", "PUT"])

    async def test_no_ack_at_all(self) -> None:
        """After `subscribe.within` it has failed, and a late ack mends it."""
        change = ("bytes: 65536}", "bytes: 65536, within: 300ms}")
        rig = self.run_feed(Okx, edited(change))
        rig.simulator.acks = "held"
        browser = await rig.browse(["okx/tickers/BTC-USDT"])
        await eventually(lambda: browser.states("okx/tickers/BTC-USDT"))
        [(state, why)] = browser.states("okx/tickers/BTC-USDT")
        self.assertEqual(state, "failed")
        self.assertIn("subscribe.within", why)
        rig.simulator.release_acks()
        await eventually(lambda: len(browser.states("okx/tickers/BTC-USDT")) == 2)
        self.assertEqual(browser.states("okx/tickers/BTC-USDT")[1][0], "pending")

    async def test_more_than_the_feed_takes(self) -> None:
        """25 on the one connection there may be: the others fail with the reason, are not asked for; those go on."""
        rig = self.run_feed(Bitfinex, edited(("{topics: 25, ", "{topics: 25, connections: 1, ")))
        names = [f"tAAA{first}{second}D" for first in "ABCDE" for second in "ABCDEF"]
        topics = [f"bitfinex/trades/{name}" for name in names]
        browser = await rig.browse(topics)
        await rig.subscribed(*(f"trades {name}" for name in names[:25]))
        await eventually(lambda: sum(bool(browser.states(topic)) for topic in topics) == 5)
        self.assertEqual(browser.states(topics[-1]), [("failed", "limits.topics of upstream bitfinex is reached (25)")])
        for name, topic in zip(names[:25], topics, strict=False):
            rig.feed.topic_of[f"trades {name}"] = topic
            rig.feed.publish(f"trades {name}")
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})
        self.assertEqual(sum('"subscribe"' in text for text in rig.journal.texts()), 25)

    async def test_acks_that_come_backwards_and_twice(self) -> None:
        """Each confirms its own."""
        rig = self.run_feed(Htx)
        rig.simulator.acks = "held"
        browser = await rig.browse()
        await rig.subscribed()
        rig.simulator.release_acks(backwards=True)
        rig.simulator.acks = "twice"
        for key in rig.feed.topics.values():
            rig.feed.publish(key)
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})
        self.assertEqual(rig.session.counters.fails, 0)

    async def test_revoked_after_the_ack(self) -> None:
        """Its browsers hear of it; other topics go on."""
        rig = self.run_feed(Okx)
        browser = await rig.browse()
        await rig.subscribed()
        rig.feed.publish("tickers BTC-USDT")
        rig.feed.revoke("tickers")
        rig.feed.publish("trades ETH-USDT")
        await rig.caught_up(browser)
        await eventually(lambda: ("failed", "channel-conn-count-error") in browser.states("okx/tickers/BTC-USDT"))
        self.assertNotIn("failed", [state for state, _ in browser.states("okx/trades/ETH-USDT")])


class WantedSetTests(FeedCase):
    """Row 5: subscriptions are lost when the connection is."""

    async def test_the_wanted_set_is_the_only_truth(self) -> None:
        """What came and went while there was no connection is right on the next one."""
        rig = self.run_feed(Coinbase, lambda text: text.replace("allow:", "linger: 10ms\n    allow:"))
        stays = await rig.browse(["coinbase/ticker/BTC-USD"])
        goes = await rig.browse(["coinbase/matches/BTC-USD"])
        await rig.subscribed("ticker BTC-USD", "matches BTC-USD")
        rig.simulator.cut()
        goes.browser.transport.abortConnection()
        await eventually(lambda: len(rig.session.topics) == 1)
        comes = await rig.browse(["coinbase/ticker/ETH-USD"])
        await rig.subscribed("ticker BTC-USD", "ticker ETH-USD")
        [peer] = rig.simulator.open
        tickers = [key for key in peer.subscribed if not key.startswith("heartbeat ")]
        self.assertEqual(sorted(tickers), ["ticker BTC-USD", "ticker ETH-USD"])
        self.assertIsNone(stays.browser.lost or comes.browser.lost)


class GapTests(FeedCase):
    """Rows 6 and 7: messages that are missing, and numbers that only look like it."""

    async def test_a_message_is_missing(self) -> None:
        """The mark stands in its place, and counts."""
        rig = self.run_feed(Coinbase)
        key, topic = "matches BTC-USD", "coinbase/matches/BTC-USD"
        browser = await rig.browse([topic])
        await rig.subscribed(key)
        rig.feed.publish(key)
        rig.feed.publish(key, lose=True)
        rig.feed.publish(key)
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})
        self.assertEqual([one is LOST for one in browser.received(topic)], [False, True, False])
        [lost] = [one for one in browser.browser.messages if one.get("op") == "lost"]
        self.assertEqual((lost["count"], lost["why"]), (1, "upstream"))

    async def test_every_new_connection_is_marked(self) -> None:
        """Nobody can know what was missed, so nothing stands beside what came before without the mark."""
        rig = self.run_feed(Bitstamp, edited(block=QUICK))
        key, topic = "live_trades_btcusd", "bitstamp/live_trades_btcusd"
        browser = await rig.browse([topic])
        for connects in (1, 2, 3):
            await eventually(lambda connects=connects: len(rig.journal.connects) == connects)
            await rig.subscribed(key)
            rig.feed.publish(key)
            await rig.caught_up(browser)
            rig.simulator.cut()
        self.assertEqual([one is LOST for one in browser.received(topic)][:5], [False, True, False, True, False])
        losses = [one for one in browser.browser.messages if one.get("op") == "lost"]
        self.assertEqual({(one["count"], one["why"]) for one in losses}, {(None, "upstream")})

    async def test_asked_for_anew(self) -> None:
        """`gap: resubscribe`: the mark, then a snapshot, on the same connection; at most three times in 5 min."""
        rig = self.run_feed(Okx)
        key = "books BTC-USDT"
        browser = await rig.browse(["okx/books/BTC-USDT"])
        await rig.subscribed(key)
        for turns in range(4):
            rig.feed.publish(key)
            rig.feed.publish(key, lose=True)
            rig.feed.publish(key)
            asks = min(3, turns + 1)
            await eventually(lambda asks=asks: sum('"subscribe"' in text for text in rig.journal.texts()) == 1 + asks)
            await rig.subscribed(key)
        await turn(0.1)
        self.assertEqual(sum('"subscribe"' in text for text in rig.journal.texts()), 4)
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})
        self.assertEqual(len(rig.journal.connects), 1)
        told = [one for one in browser.browser.messages if one.get("topic") == "okx/books/BTC-USDT"]
        snapshots = [at for at, one in enumerate(told) if one.get("snapshot")]
        marked = [any(one.get("op") == "lost" for one in told[before:at]) for before, at in pairwise(snapshots)]
        self.assertEqual(marked, [True, True, True])

    async def test_a_counter_of_the_connection(self) -> None:
        """A heartbeat shows it too; `gap: reconnect` begins anew."""
        rig = self.run_feed(Bitfinex, edited(block=QUICK))
        key = "trades tBTCUSD"
        browser = await rig.browse(["bitfinex/trades/tBTCUSD"])
        await rig.subscribed(key)
        rig.feed.publish(key)
        rig.feed.publish(key, lose=True)
        await eventually(lambda: len(rig.journal.connects) == 2)
        await rig.subscribed(key)
        rig.feed.publish(key)
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})

    async def test_a_counter_begins_again(self) -> None:
        """A smaller number is a new start, not a gap; a repeated message neither."""
        rig = self.run_feed(Coinbase)
        key, topic = "matches BTC-USD", "coinbase/matches/BTC-USD"
        browser = await rig.browse([topic])
        await rig.subscribed(key)
        rig.feed.publish(key)
        rig.feed.publish(key)
        rig.feed.counts[key] = 0
        rig.feed.publish(key)
        rig.feed.publish(key)
        await rig.caught_up(browser)
        self.assertNotIn(LOST, browser.received(topic))
        self.assertEqual(rig.session.counters.gaps, 0)

    async def test_a_message_twice(self) -> None:
        """A repeated number is no gap."""
        rig = self.run_feed(Coinbase)
        key, topic = "matches BTC-USD", "coinbase/matches/BTC-USD"
        browser = await rig.browse([topic])
        await rig.subscribed(key)
        rig.feed.publish(key, times=2)
        rig.feed.publish(key)
        await eventually(lambda: len(browser.received(topic)) == 3)
        self.assertEqual(rig.session.counters.gaps, 0)


class TokenTests(FeedCase):
    """Row 8: a stale token."""

    async def test_a_token_for_each_attempt(self) -> None:
        """It expires while connected: the next attempt has a new one."""
        rig = self.run_feed(Kucoin, edited(block=QUICK))
        await rig.browse()
        await rig.subscribed()
        rig.feed.expire()
        await eventually(lambda: len(rig.journal.connects) == 2)
        await rig.subscribed()
        self.assertEqual([peer.state["token"] for peer in rig.simulator.open], ["t/2"])

    async def test_a_failed_fetch_is_not_kept(self) -> None:
        """503 with a page, a reply without a token, then one that is right."""
        rig = self.run_feed(Kabu, edited(block=QUICK))
        rig.simulator.replies.extend([(503, b"<html>busy</html>", {}), (200, b'{"ResultCode": 4}', {})])
        await rig.browse()
        await rig.subscribed()
        self.assertEqual(rig.feed.tokens, 1)
        self.assertEqual(len(rig.journal.connects), 1)

    async def test_kept_until_refused(self) -> None:
        """The old one is used for every connection; after a refused handshake a new one is fetched."""
        rig = self.run_feed(Kabu, edited(block="    reconnect: {min: 50ms, max: 200ms, status: {401: retry}}\n"))
        await rig.browse()
        await rig.subscribed()
        rig.simulator.cut()
        await eventually(lambda: len(rig.journal.connects) == 2)
        self.assertEqual(rig.feed.tokens, 1)
        rig.simulator.refuse(401)
        rig.simulator.cut()
        await eventually(lambda: len(rig.journal.connects) == 4)
        self.assertEqual(rig.feed.tokens, 2)


class ClockTests(FeedCase):
    """Row 9: our clock is wrong, and signatures are refused for it."""

    async def test_the_clock_of_the_upstream(self) -> None:
        """Its `Date` is an hour behind: what is signed and sent holds its time, which is a metric too."""
        rig = self.run_feed(Coinbase)
        rig.feed.ahead_s = -3600.0
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + rig.feed.ahead_s))
        rig.simulator.refuse(503, b"busy", Date=date)
        await rig.browse(["coinbase/level2/ETH-USD"])
        await rig.subscribed("level2 ETH-USD")
        self.assertLess(abs(rig.relay.clocks["coinbase"].skew_s + 3600), 5)


class LoginTests(FeedCase):
    """Row 9: the login is refused."""

    async def test_refused(self) -> None:
        """Told to the browsers, and not tried again at the pace of the backoff."""
        rig = self.run_feed(HomeAssistant, edited(block=QUICK))
        rig.feed.refused.add("everybody")
        browser = await rig.browse(["home/state_changed"])
        await eventually(lambda: browser.states("home/state_changed"))
        [(state, why)] = browser.states("home/state_changed")
        self.assertEqual((state, "refused" in why), ("failed", True))
        await turn(0.6)
        self.assertEqual(len(rig.journal.connects), 1)
        self.assertIs(rig.session.state, State.REFUSED)
        self.assertGreater(rig.session.next_deadline(), time.monotonic() + 120)  # five minutes, with jitter

    async def test_a_close_code_that_says_stop(self) -> None:
        """4403: never again by itself."""
        rig = self.run_feed(Graphql)
        rig.feed.environ = {"TOKEN": "wrong"}
        await rig.stop_relay()
        rig.start_relay()
        browser = await rig.browse(["live/power"])
        await eventually(lambda: browser.states("live/power"))
        self.assertEqual(browser.states("live/power")[0][0], "failed")
        await turn(0.3)
        self.assertEqual(len(rig.journal.connects), 1)


class OneSlotTests(FeedCase):
    """Row 10: one slot, two owners."""

    async def test_thrown_out_by_another(self) -> None:
        """A code of this kind: a long pause, so that two owners do not throw each other out for ever."""
        rig = self.run_feed(Bitstamp, edited(block="    reconnect: {codes: {4000: 2m}}\n"))
        await rig.browse(["bitstamp/live_trades_btcusd"])
        await rig.subscribed("live_trades_btcusd")
        rig.simulator.close(4000, "connection limit exceeded")
        await turn(0.5)
        self.assertEqual(len(rig.journal.connects), 1)
        self.assertIn("4000", rig.session.why)
        self.assertGreater(rig.session.next_deadline(), time.monotonic() + 50)
        self.assertEqual(rig.session.counters.rivals, 1)

    async def test_its_words_tell(self) -> None:
        """Without a rule for the code: they are enough for a long pause, and for an alarm with the likely cause."""
        rig = self.run_feed(Bitstamp, edited(block=QUICK))
        browser = await rig.browse(["bitstamp/live_trades_btcusd"])
        await rig.subscribed("live_trades_btcusd")
        rig.feed.publish("live_trades_btcusd")
        await rig.caught_up(browser)
        rig.simulator.close(1008, "connection limit exceeded")
        rival = ("reconnecting", "the upstream lets in one connection, and somebody else has it")
        await eventually(lambda: rival in browser.states("bitstamp/live_trades_btcusd"))
        self.assertEqual((len(rig.journal.connects), rig.session.counters.rivals), (1, 1))
        self.assertGreater(rig.session.next_deadline(), time.monotonic() + 50)

    async def test_the_old_connection_is_gone_first(self) -> None:
        """Where there is one slot a planned close has no overlap."""
        rig = self.run_feed(Bitstamp, edited(block="    limits: {connections: 1}\n" + QUICK))
        rig.simulator.one_at_a_time = True
        await rig.browse()
        await rig.subscribed()
        others: list[int] = []

        def note(peer: Peer) -> None:
            others.append(len(rig.simulator.open))
            rig.simulator.accept(peer)

        rig.simulator.handshakes.append(note)
        rig.feed.ask_to_reconnect()
        await eventually(lambda: others)
        await rig.subscribed()
        self.assertEqual(others, [0])
        self.assertEqual(len(rig.journal.connects), 2)


class BurstTests(FeedCase):
    """Row 11: a slow consumer is cut."""

    KEY, TOPIC, COUNT = "live_trades_btcusd", "bitstamp/live_trades_btcusd", 10_000

    def pour(self, rig: Rig) -> None:
        """The burst: a thousand messages each millisecond, where the machine can; they are made before."""
        [peer] = rig.feed.listeners(self.KEY)
        made = [rig.feed.make(self.KEY, number, peer) for number in range(1, self.COUNT + 1)]
        for one in made:
            rig.feed.tell(self.KEY, one, True)
        frames = [frame(TEXT, one.frame) for one in made]
        for turns in range(10):
            reactor.callLater(turns / 1000, peer.write, b"".join(frames[turns * 1000 : (turns + 1) * 1000]))

    async def stuck(self, rig: Rig) -> None:
        """A browser that reads nothing."""
        stuck = await rig.browse([self.TOPIC])
        stuck.browser.transport.pauseProducing()
        await rig.subscribed(self.KEY)

    async def test_the_upstream_never_waits_for_browsers(self) -> None:
        """10,000 messages in 10 ms, and a browser that reads nothing: all are read, and a healthy browser has them."""
        rig = self.run_feed(
            Bitstamp, lambda text: text.replace("allow:", "deliver: {history: 20000/1h/16MiB}\n    allow:")
        )
        await self.stuck(rig)
        browser = await rig.browse([self.TOPIC])
        self.pour(rig)
        await eventually(lambda: rig.session.counters.published == self.COUNT, 8)
        await rig.caught_up(browser, 8)
        self.assertEqual(rig.unaccounted(browser), {})

    async def test_memory_grows_by_the_ring_alone(self) -> None:
        """All of the burst come to the ring, which keeps a thousand; nobody else keeps any of the others."""
        rig = self.run_feed(
            Bitstamp, lambda text: text.replace("allow:", "deliver: {history: 1000/1h/1MiB}\n    allow:")
        )
        await self.stuck(rig)
        self.pour(rig)
        ring = rig.relay.hub.topic(self.TOPIC).ring
        tracemalloc.start()
        try:
            await eventually(lambda: rig.session.counters.published == self.COUNT, 12)
            await turn()
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        self.assertEqual((ring.end - 1, len(ring), rig.session.counters.gaps), (self.COUNT, 1000, 0))
        framed = sum(sys.getsizeof(one) for entry in ring.after(0) for one in entry.frames if one is not None)
        numbers = sum(sys.getsizeof(one) for entry in ring.after(0) for one in (entry.offset, entry.serial, entry.at))
        # What was framed for browsers and the numbers of an entry go with it. 64 KiB: the last read of the upstream.
        # 64 KiB: the flush of which the browser that reads nothing took a part. 64 KiB: lists that grow in steps.
        self.assertLess(grown, ring.bytes + framed + numbers + 3 * 65536)


class PlannedCloseTests(FeedCase):
    """Row 12: the upstream says when it goes."""

    async def drained(self, rig: Rig, tell: Callable[[], object]) -> None:
        browser = await rig.browse()
        await rig.subscribed()
        keys = list(rig.feed.topics.values())
        for key in keys:
            rig.feed.publish(key)
        tell()
        await eventually(lambda: len(rig.journal.connects) == 2)
        await eventually(lambda: set(keys) <= set(rig.simulator.open[-1].subscribed))
        await turn(0.1)
        for key in keys:
            rig.feed.publish(key)
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})
        self.assertEqual(rig.journal.offences, [])

    async def test_bitstamp(self) -> None:
        """`bts:request_reconnect`."""
        rig = self.run_feed(Bitstamp, edited(block=QUICK))
        await self.drained(rig, rig.feed.ask_to_reconnect)

    async def test_okx(self) -> None:
        """The notice of 60 s."""
        rig = self.run_feed(Okx, edited(block=QUICK))
        await self.drained(rig, rig.feed.give_notice)

    async def test_binance(self) -> None:
        """`!serverShutdown`: what is subscribed anew keeps the limit of five frames a second."""
        rig = self.run_feed(Binance, edited(("status: {429", "min: 50ms, max: 200ms, status: {429")))
        topics = ["binance/trade/ethusdt", "binance/aggTrade/btcusdt"]
        browser = await rig.browse(topics)
        await rig.subscribed("ethusdt@trade", "btcusdt@aggTrade")
        rig.feed.publish("ethusdt@trade")
        rig.feed.shut_down()
        await eventually(lambda: len(rig.journal.connects) == 2)
        await eventually(lambda: rig.simulator.open and len(rig.simulator.open[-1].subscribed) == 2)
        rig.feed.publish("ethusdt@trade")
        await rig.caught_up(browser)
        self.assertEqual((rig.unaccounted(browser), rig.broken_limits(), rig.journal.offences), ({}, [], []))

    async def test_bitfinex(self) -> None:
        """Info 20051."""
        rig = self.run_feed(Bitfinex, edited(block=QUICK))
        await self.drained(rig, lambda: rig.feed.inform(20051))


class HandshakeTests(FeedCase):
    """The last row: what goes wrong around the handshake, and around what is sent."""

    async def test_never_answered(self) -> None:
        """Given up at `connect.within`, and dialled again."""
        change = ('connect: {url: "ws', 'connect: {within: 200ms, url: "ws')
        rig = self.run_feed(Kraken, edited(change, block=QUICK))
        rig.simulator.never_answer()
        await rig.browse(["kraken/ticker/BTC~2FUSD"])
        await rig.subscribed("ticker BTC/USD")
        self.assertEqual(len(rig.journal.connects), 2)

    async def test_the_first_frame_in_the_segment_of_the_answer(self) -> None:
        """It is read: here it is the first step of a login."""
        rig = self.run_feed(HomeAssistant)
        rig.feed.opened = lambda peer: peer.state.update(known=False, last_id=0)
        first = frame(TEXT, b'{"type": "auth_required", "ha_version": "2024.1"}')
        rig.simulator.handshakes.append(lambda peer: rig.simulator.accept(peer, first))
        await rig.browse()
        await rig.subscribed()

    async def test_a_page_in_place_of_the_handshake(self) -> None:
        """503 with HTML: its beginning is told, and it is dialled again."""
        rig = self.run_feed(Bitstamp, edited(block=QUICK))
        rig.simulator.refuse(503, b"<html>" + b"busy " * 500)
        seen: list[str] = []
        rig.simulator.handshakes.append(lambda peer: (seen.append(rig.session.why), rig.simulator.accept(peer)))
        await rig.browse(["bitstamp/live_trades_btcusd"])
        await rig.subscribed("live_trades_btcusd")
        self.assertIn("503", seen[0])
        self.assertIn("<html>busy", seen[0])
        self.assertLess(len(seen[0]), 400)

    async def test_a_redirect_is_not_followed(self) -> None:
        """302 is a failure like any other."""
        rig = self.run_feed(Bitstamp, edited(block=QUICK))
        rig.simulator.refuse(302, Location="ws://127.0.0.1:1/")
        await rig.browse(["bitstamp/live_trades_btcusd"])
        await rig.subscribed("live_trades_btcusd")
        self.assertEqual(len(rig.journal.connects), 2)

    async def test_unsubscribe_does_not_overtake(self) -> None:
        """A topic that comes, goes and comes again within its linger is subscribed once; gone for longer, once more."""
        rig = self.run_feed(Bitstamp, lambda text: text.replace("allow:", "linger: 200ms\n    allow:"))
        topic = ["bitstamp/live_trades_btcusd"]
        await rig.browse(["bitstamp/order_book_ethusd"])
        for _ in range(3):
            browser = await rig.browse(topic)
            browser.browser.transport.abortConnection()
            await eventually(lambda browser=browser: browser.browser.lost)
        await eventually(lambda: any("unsubscribe" in text for text in rig.journal.texts()))
        asked = [text for text in rig.journal.texts() if "live_trades" in text]
        self.assertEqual([":subscribe" in text for text in asked], [True, False])


class GarbageTests(FeedCase):
    """What comes is not what the feed's pages say."""

    async def test_odd_messages_are_counted_and_do_no_harm(self) -> None:
        """Empty, truncated, unknown, binary, another key order, numbers as texts: the next message is published."""
        rig = self.run_feed(Coinbase)
        key, topic = "matches BTC-USD", "coinbase/matches/BTC-USD"
        browser = await rig.browse([topic])
        await rig.subscribed(key)
        [peer] = rig.simulator.open
        for odd in (b"", b'{"type": "mat', b"[]", b"null", b'{"type": "news"}', b'"\\ud800"'):
            peer.say(odd)
        peer.raw(BINARY, b"\x00\xff")
        other = b'{"product_id":"BTC-USD", "new": {"field": []}, "trade_id": "1", "type":"match"}'
        peer.say(other)
        rig.feed.counts[key] = 1
        rig.journal.tell(topic, other, sent=True)
        rig.feed.publish(key)
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})
        self.assertEqual(len(rig.journal.connects), 1)
        self.assertGreaterEqual(rig.session.counters.unknown, 5)

    async def test_fragments(self) -> None:
        """A message in pieces is one message."""
        rig = self.run_feed(Bitstamp)
        key = "live_trades_btcusd"
        browser = await rig.browse(["bitstamp/live_trades_btcusd"])
        await rig.subscribed(key)

        def send(peer: Peer, made: object) -> None:
            payload: bytes = made.frame
            peer.raw(TEXT, payload[:5], fin=False)
            peer.raw(0, b"", fin=False)
            peer.raw(0, payload[5:])

        rig.feed.send = send
        rig.feed.publish(key)
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})

    async def test_an_end_inside_a_frame(self) -> None:
        """Half a message is no message; what is missing is marked."""
        rig = self.run_feed(Bitstamp, edited(block=QUICK))
        key = "live_trades_btcusd"
        browser = await rig.browse(["bitstamp/live_trades_btcusd"])
        await rig.subscribed(key)
        rig.feed.publish(key)
        await rig.caught_up(browser)
        made = rig.feed.make(key, 2, None)
        rig.feed.tell(key, made, False)
        [peer] = rig.simulator.open
        peer.write(frame(TEXT, made.frame)[:-4])
        await turn(0.05)
        peer.reset()
        await eventually(lambda: len(rig.journal.connects) == 2)
        await rig.subscribed(key)
        rig.feed.publish(key)
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})

    async def test_not_utf8_and_too_large(self) -> None:
        """Either ends the connection with a reason, and the next one works."""
        rig = self.run_feed(Bitstamp, edited(block=QUICK))
        await rig.browse(["bitstamp/live_trades_btcusd"])
        for number, bad in enumerate((frame(TEXT, b"\xc3\x28"), b"\x81\x7f" + (1 << 40).to_bytes(8, "big")), 1):
            await rig.subscribed("live_trades_btcusd")
            rig.simulator.open[-1].write(bad)
            await eventually(lambda number=number: len(rig.journal.connects) == number + 1)
        await rig.subscribed("live_trades_btcusd")


class CursorTests(FeedCase):
    """Where a feed can be resumed."""

    async def test_over_a_restart(self) -> None:
        """`state`: the relay that comes next goes on where the last one was, and what happened between is published."""
        directory = Path(self.mktemp()).absolute()
        rig = self.run_feed(Jetstream, lambda text: f"{text}state: {{dir: {directory}}}\n")
        browser = await rig.browse(["bluesky/app.bsky.feed.post"])
        await rig.subscribed("app.bsky.feed.post")
        rig.feed.publish("app.bsky.feed.post")
        await rig.caught_up(browser)
        await rig.stop_relay()
        missed = rig.feed.publish("app.bsky.feed.post")
        rig.start_relay()
        again = await rig.browse(["bluesky/app.bsky.feed.post"])
        await eventually(lambda: again.received("bluesky/app.bsky.feed.post"))
        self.assertEqual(again.received("bluesky/app.bsky.feed.post"), [missed.payload])

    async def test_a_point_that_is_too_old(self) -> None:
        """400: the point is forgotten, and the next dial does without."""
        rig = self.run_feed(Jetstream, lambda text: text.replace("{status:", "{min: 50ms, max: 200ms, status:"))
        browser = await rig.browse()
        await rig.subscribed()
        rig.feed.publish("app.bsky.feed.post")
        await rig.caught_up(browser)
        rig.feed.oldest_us = rig.feed.now_us + 1
        rig.simulator.cut()
        await eventually(lambda: len(rig.journal.connects) == 3)
        self.assertEqual(["cursor=" in one.target for one in rig.journal.connects], [False, True, False])

    async def test_a_point_that_is_clamped(self) -> None:
        """The feed goes on from where it can, and does not say so: the mark stands."""
        rig = self.run_feed(Jetstream, lambda text: text.replace("{status:", "{min: 50ms, max: 200ms, status:"))
        topic, key = "bluesky/app.bsky.feed.post", "app.bsky.feed.post"
        browser = await rig.browse([topic])
        await rig.subscribed(key)
        rig.feed.publish(key)
        await rig.caught_up(browser)
        rig.feed.opened = lambda peer: peer.subscribed.update({key: True})
        rig.simulator.cut()
        await rig.subscribed(key)
        rig.feed.publish(key)
        await rig.caught_up(browser)
        self.assertEqual([one is LOST for one in browser.received(topic)], [False, True, False])

    async def test_topics_in_the_url_change(self) -> None:
        """After `settle` there is a new connection with all of them, and nothing is missing or double."""
        rig = self.run_feed(Jetstream, edited(("settle: 5s", "settle: 100ms")))
        first = await rig.browse(["bluesky/app.bsky.feed.post"])
        await rig.subscribed("app.bsky.feed.post")
        rig.feed.publish("app.bsky.feed.post")
        await rig.caught_up(first)
        await rig.browse(["bluesky/app.bsky.feed.like"])
        await rig.subscribed("app.bsky.feed.post", "app.bsky.feed.like")
        rig.feed.publish("app.bsky.feed.post")
        await rig.caught_up(first)
        self.assertEqual(rig.unaccounted(first), {})
