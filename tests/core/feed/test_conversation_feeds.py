"""Feeds that have no file here: mechanisms that the written-out ones do not use, each as a short dialogue.

Shapes as their documents give them, from memory; what counts is that the vocabulary can say them.
"""

from __future__ import annotations

from typing import Any

import yaml

from relayd.core.feed.build import build_dialect
from relayd.core.feed.conversation import Conversation, Wanted
from relayd.core.resolver import Resolver
from tests.support.feeds import spell
from tests.support.talk import read, say, talk


class Dialogue:
    """One conversation, written as in the file and spelt as in the scripts."""

    def __init__(self, text: str, **given: Any) -> None:
        self.conversation: Conversation[str] = talk(build_dialect(yaml.safe_load(text)), **given)

    def want(self, *topics: str) -> list[Any]:
        """Topics written `field=value field=value`."""
        return read(
            self.conversation.want([Wanted(one, dict(part.split("=", 1) for part in one.split())) for one in topics])
        )

    def drop(self, *topics: str) -> list[Any]:
        """What goes out."""
        return read(self.conversation.drop(topics))

    def hear(self, message: Any, hint: Any = None) -> Any:
        """What a message is, and what goes out in answer."""
        outcome = say(self.conversation, message)
        spelt = spell(outcome, hint)
        return (spelt, read(outcome.sends)) if outcome.sends else spelt


def data(topic: str, **more: Any) -> Any:
    """A publication."""
    return {"data": {"topic": topic, **more}}


UNROUTED, UNKNOWN, BEAT = {"unrouted": True}, {"unknown": True}, {"beat": True}


class ChannelAsKeyTests:
    """Alpaca: the channel is a key of the message that asks."""

    def test_dialogue(self) -> None:
        """Everything comes in arrays, the login too; letters stand for channels."""
        feed = Dialogue(
            """
            connect: {url: "wss://stream.data.alpaca.markets/v2/iex"}
            login:
              - {expect: {msg: connected}}
              - send: {action: auth, key: "${env.K}", secret: "${env.S}"}
                expect: {msg: authenticated}
                fail: {T: error}
            decode: {split: .}
            topic: {at: {channel: T, symbol: S}, map: {channel: {t: trades, q: quotes}}}
            subscribe: {each: $symbol, send: {action: $verb, $channel: $topics}}
            control:
              - {when: {T: error}, fail: {text: msg}}
              - {when: {T: subscription}, do: beat}
            """,
            secrets={"env.K": "k", "env.S": "s"},
        )
        auth = {"action": "auth", "key": "k", "secret": "s"}
        assert feed.hear([{"T": "success", "msg": "connected"}]) == ({"login": "next"}, [auth])
        assert feed.hear([{"T": "success", "msg": "authenticated"}]) == {"login": "done"}
        asked = feed.want("channel=trades symbol=AAPL", "channel=quotes symbol=AAPL", "channel=trades symbol=MSFT")
        assert asked == [
            {"action": "subscribe", "trades": ["AAPL", "MSFT"]},
            {"action": "subscribe", "quotes": ["AAPL"]},
        ]
        heard = feed.hear([{"T": "t", "S": "AAPL"}, {"T": "q", "S": "AAPL"}, {"T": "b", "S": "X"}])
        assert heard == [data("channel=trades symbol=AAPL"), data("channel=quotes symbol=AAPL"), UNROUTED]
        assert feed.hear([{"T": "subscription", "trades": ["AAPL"]}]) == BEAT
        assert feed.drop("channel=quotes symbol=AAPL") == [{"action": "unsubscribe", "quotes": ["AAPL"]}]


class JoinedTests:
    """Polygon: topics are one text."""

    def test_dialogue(self) -> None:
        """Put together from two fields."""
        feed = Dialogue(
            """
            connect: {url: "wss://socket.polygon.io/stocks"}
            decode: {split: .}
            topic: {at: {ev: ev, sym: sym}}
            subscribe: {each: "$ev.$sym", join: ",", send: {action: $verb, params: $topics}}
            control: [{when: {ev: status, status: success}, do: beat}, {when: {ev: status}, fail: {text: message}}]
            """
        )
        assert feed.want("ev=T sym=AAPL", "ev=Q sym=MSFT") == [{"action": "subscribe", "params": "T.AAPL,Q.MSFT"}]
        heard = feed.hear([{"ev": "T", "sym": "AAPL"}, {"ev": "status", "status": "success", "message": "ok"}])
        assert heard == [data("ev=T sym=AAPL"), BEAT]


class FilterTests:
    """Nostr: filters from a table, ids of our own, repeats."""

    def test_dialogue(self) -> None:
        """A subscription may be closed at any time."""
        feed = Dialogue(
            """
            connect: {url: "wss://relay.example.com"}
            topics: {notes: {filter: {kinds: [1], limit: 10}}, likes: {filter: {kinds: [7]}}}
            topic: {bound: 1, when: {0: EVENT}}
            subscribe: {send: [REQ, s$id, $filter], bind: s$id}
            unsubscribe: {send: [CLOSE, $bound]}
            payload: 2
            dedupe: 2.id
            control:
              - {when: {0: EOSE}, ack: {id: 1}}
              - {when: {0: CLOSED}, fail: {id: 1, text: 2}}
            """
        )
        assert feed.want("name=notes", "name=likes") == [
            ["REQ", "s1", {"kinds": [1], "limit": 10}],
            ["REQ", "s2", {"kinds": [7]}],
        ]
        event = {"id": "ab", "kind": 1}
        assert feed.hear(["EVENT", "s1", event], {"data": {"payload": 1}}) == data("name=notes", payload=event)
        assert feed.hear(["EVENT", "s1", event]) == BEAT
        assert feed.hear(["EOSE", "s1"]) == {"ack": ["name=notes"]}
        assert feed.hear(["CLOSED", "s2", "rate-limited: x"]) == {
            "fail": {"topics": ["name=likes"], "text": "rate-limited: x"}
        }
        assert feed.drop("name=notes", "name=likes") == [["CLOSE", "s1"]]


class WholeSetTests:
    """mempool.space: each message replaces the set, and the topic is a key."""

    def test_dialogue(self) -> None:
        """A frame may hold several."""
        feed = Dialogue(
            """
            connect: {url: "wss://mempool.space/api/v1/ws"}
            topic: {key_of: [block, mempoolInfo]}
            topics: {block: {want: blocks}, mempoolInfo: {want: stats}}
            subscribe: {each: $want, whole: true, send: {action: want, data: $topics}}
            heartbeat: {send: {action: ping}, expect: {pong: true}}
            """
        )
        assert feed.want("name=block", "name=mempoolInfo") == [{"action": "want", "data": ["blocks", "stats"]}]
        assert feed.hear({"mempoolInfo": 1, "block": 2}) == {
            "data": [{"topic": "name=block"}, {"topic": "name=mempoolInfo"}]
        }
        assert feed.drop("name=block") == [{"action": "want", "data": ["stats"]}]
        assert feed.drop("name=mempoolInfo") == [{"action": "want", "data": []}] and feed.hear({"pong": True}) == BEAT
        assert feed.hear({"block": 2}) == UNROUTED


class ArrayProtocolTests:
    """Phoenix channels: everything by position, references of our own."""

    def test_dialogue(self) -> None:
        """A channel that breaks is joined again."""
        feed = Dialogue(
            """
            connect: {url: "wss://h.example.com/socket/websocket", query: {vsn: "2.0.0"}}
            topic: {at: 2, unless: {3: "phx_*"}}
            subscribe: {send: [r$id, r$id, $topic, phx_join, {}]}
            unsubscribe: {send: [null, r$id, $topic, phx_leave, {}]}
            payload: 4
            control:
              - {when: {3: phx_reply, 4.status: ok}, ack: {id: 1}}
              - {when: {3: phx_reply}, fail: {id: 1, text: 4.response.reason}}
              - {when: {3: [phx_error, phx_close]}, do: resubscribe, at: 2}
            heartbeat: {send: [null, hb$id, phoenix, heartbeat, {}], every: 30s}
            """
        )
        room = "name=room:lobby"
        assert feed.want(room) == [["r1", "r1", "room:lobby", "phx_join", {}]]
        assert feed.hear(["r1", "r1", "room:lobby", "phx_reply", {"status": "ok"}]) == {"ack": [room]}
        said = feed.hear(["r1", None, "room:lobby", "new_msg", {"body": "hi"}], {"data": {"payload": 1}})
        assert said == data(room, payload={"body": "hi"})
        assert feed.hear(["r1", None, "room:lobby", "phx_error", {}]) == {"control": "resubscribe", "topics": [room]}
        assert read(feed.conversation.beat()) == [[None, "hb2", "phoenix", "heartbeat", {}]]
        assert feed.hear([None, "hb2", "phoenix", "phx_reply", {"status": "ok"}]) == {"ack": []}
        assert feed.drop(room) == [[None, "r3", "room:lobby", "phx_leave", {}]]


class JsonRpcTests:
    """Deribit: what the answer leaves out has failed; links; a beat that must be answered."""

    def test_dialogue(self) -> None:
        """All under one id counter."""
        feed = Dialogue(
            """
            connect: {url: "wss://streams.deribit.com/ws/api/v2"}
            login:
              - {send: {id: $id, method: public/set_heartbeat, params: {interval: 30}}, expect: {id: "*", result: ok}}
            topic: {at: params.channel, when: {method: subscription}}
            subscribe: {send: {id: $id, method: "public/$verb", params: {channels: $topics}}}
            payload: params.data
            control:
              - {when: {id: "*", result: "*"}, ack: {id: id, all: result}}
              - {when: {method: heartbeat, params.type: test_request}, send: {id: $id, method: public/test}}
            sequence:
              {for: {name: "book.*"}, prev: params.data.prev_change_id, at: params.data.change_id, gap: resubscribe}
            snapshot: {for: {name: "book.*"}, when: {params.data.type: snapshot}}
            """
        )
        assert feed.hear({"id": 1, "result": "ok"}) == {"login": "done"}
        channels = ["book.BTC", "nope"]
        assert feed.want("name=book.BTC", "name=nope") == [
            {"id": 2, "method": "public/subscribe", "params": {"channels": channels}}
        ]
        assert feed.hear({"id": 2, "result": ["book.BTC"]}) == {
            "ack": ["name=book.BTC"],
            "fail": {"topics": ["name=nope"]},
        }
        beat = {"method": "heartbeat", "params": {"type": "test_request"}}
        assert feed.hear(beat) == (BEAT, [{"id": 3, "method": "public/test"}])
        for change, told in (
            ({"type": "snapshot", "prev_change_id": 1, "change_id": 5}, {"seq": [1, 5], "snapshot": True}),
            ({"type": "change", "prev_change_id": 5, "change_id": 7}, {"seq": [5, 7]}),
            ({"type": "change", "prev_change_id": 9, "change_id": 10}, {"seq": [9, 10], "gap": True}),
        ):
            message = {"method": "subscription", "params": {"channel": "book.BTC", "data": change}}
            assert feed.hear(message) == data("name=book.BTC", **told)


class LastTwoTests:
    """Kraken v1: channel and pair are the last two of an array."""

    def test_dialogue(self) -> None:
        """One answer for each pair."""
        feed = Dialogue(
            """
            connect: {url: "wss://ws.kraken.com"}
            topic: {at: {channel: -2, pair: -1}}
            subscribe: {each: $pair, send: {event: $verb, pair: $topics, subscription: {name: $channel}}}
            control:
              - when: {event: subscriptionStatus, status: subscribed}
                ack: {at: {channel: subscription.name, pair: pair}}
              - {when: {event: subscriptionStatus, status: error}, fail: {at: {pair: pair}, text: errorMessage}}
              - {when: {event: [heartbeat, systemStatus]}, do: beat}
            """
        )
        good, bad = "channel=trade pair=XBT/USD", "channel=trade pair=X"
        assert feed.want(good, bad) == [
            {"event": "subscribe", "pair": ["XBT/USD", "X"], "subscription": {"name": "trade"}}
        ]
        status = {"event": "subscriptionStatus", "subscription": {"name": "trade"}}
        assert feed.hear({**status, "status": "subscribed", "pair": "XBT/USD"}) == {"ack": [good]}
        assert feed.hear({**status, "status": "error", "pair": "X", "errorMessage": "no"}) == {
            "fail": {"topics": [bad], "text": "no"}
        }
        for _ in range(2):
            assert feed.hear([0, [["5"]], "trade", "XBT/USD"]) == data(good)
            assert (
                feed.hear([0, 1, [["5"]], "trade", "ETH/USD"]) == UNROUTED and feed.hear({"event": "heartbeat"}) == BEAT
            )


class OuterCounterTests:
    """Coinbase Advanced: several events a frame, one counter for all frames."""

    def test_dialogue(self) -> None:
        """The counter stands in the frame."""
        feed = Dialogue(
            """
            connect: {url: "wss://advanced-trade-ws.coinbase.com"}
            decode: {split: events}
            topic: {at: {channel: outer.channel, symbol: tickers.0.product_id}}
            subscribe: {each: $symbol, send: {type: $verb, product_ids: $topics, channel: $channel}}
            sequence: {per: connection, at: outer.sequence_num, step: 1, gap: reconnect}
            control: [{when: {outer.channel: subscriptions}, do: beat}]
            """
        )
        topic = "channel=ticker symbol=BTC-USD"
        assert feed.want(topic) == [{"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "ticker"}]
        event = {"tickers": [{"product_id": "BTC-USD"}]}
        for number, told in ((1, {}), (2, {}), (5, {"gap": True})):
            heard = feed.hear({"channel": "ticker", "sequence_num": number, "events": [event, event]})
            assert heard == [data(topic, seq=number, **told), data(topic, seq=number)]
        assert feed.hear({"channel": "subscriptions", "sequence_num": 6, "events": [{}]}) == {**BEAT, "seq": 6}


class HttpSubscribeTests:
    """Twitch: subscribing by HTTP with the id of the session."""

    def test_dialogue(self) -> None:
        """Closed with the address of the next connection."""
        feed = Dialogue(
            """
            connect: {url: "wss://eventsub.wss.twitch.tv/ws"}
            login: [{expect: {metadata.message_type: session_welcome}, save: {sid: payload.session.id}}]
            topic:
              at: {type: metadata.subscription_type, user: payload.event.broadcaster_user_id}
              when: {metadata.message_type: notification}
            subscribe:
              http:
                method: POST
                url: "https://api.twitch.tv/helix/eventsub/subscriptions"
                headers: {Authorization: "Bearer ${env.T}"}
                json: {type: $type, condition: {user: $user}, transport: {session_id: $sid}}
            payload: payload.event
            dedupe: metadata.message_id
            control:
              - {when: {metadata.message_type: session_reconnect}, do: drain, url: payload.session.reconnect_url}
              - when: {metadata.message_type: revocation}
                fail: {at: {type: metadata.subscription_type}, text: reason}
            """,
            secrets={"env.T": "t"},
        )
        welcome = {"metadata": {"message_type": "session_welcome"}, "payload": {"session": {"id": "S1"}}}
        assert feed.hear(welcome) == {"login": "done"}
        topic = "type=channel.follow user=1337"
        body = {"type": "channel.follow", "condition": {"user": "1337"}, "transport": {"session_id": "S1"}}
        assert feed.want(topic) == [("POST", "https://api.twitch.tv/helix/eventsub/subscriptions", body)]
        assert spell(feed.conversation.reply(b'{"data":[]}', 202), None) == {"ack": [topic]}
        meta = {"message_type": "notification", "message_id": "m1", "subscription_type": "channel.follow"}
        event = {"metadata": meta, "payload": {"event": {"broadcaster_user_id": "1337"}}}
        assert feed.hear(event) == data(topic) and feed.hear(event) == BEAT
        url = "wss://cell-b.wss.twitch.tv/ws?id=1"
        leave = {"metadata": {"message_type": "session_reconnect"}, "payload": {"session": {"reconnect_url": url}}}
        assert feed.hear(leave) == {"control": "drain"} and feed.conversation.dial_request(url).url == url
        revoked = {"metadata": {"message_type": "revocation", "subscription_type": "channel.follow"}, "reason": "gone"}
        assert feed.hear(revoked) == {"fail": {"topics": [topic], "text": "gone"}} and feed.drop(topic) == []


class ToldIntervalTests:
    """Discord: the server tells the interval, and wants its counter back."""

    def test_dialogue(self) -> None:
        """Null before anything was counted."""
        feed = Dialogue(
            """
            connect: {url: "wss://gateway.discord.gg/", query: {v: "10", encoding: json}}
            login:
              - {expect: {op: 10}, save: {beat_ms: d.heartbeat_interval}}
              - {send: {op: 2, d: {token: "${env.T}", intents: 513}}, expect: {t: READY}, fail: {op: 9}}
            topic: {at: t, when: {op: 0}}
            payload: d
            cursor: {at: s}
            heartbeat: {send: {op: 1, d: $cursor}, expect: {op: 11}, every: "${beat_ms}ms"}
            control: [{when: {op: [7, 9]}, do: reconnect}]
            """,
            secrets={"env.T": "t"},
            resolver=Resolver(lambda fields: (fields["name"],)),
        )
        hello = feed.hear({"op": 10, "d": {"heartbeat_interval": 41_250}})
        assert hello == ({"login": "next"}, [{"op": 2, "d": {"token": "t", "intents": 513}}])
        assert (
            read(feed.conversation.beat()) == [{"op": 1, "d": None}] and feed.conversation.heartbeat_every_s() == 41.25
        )
        assert feed.hear({"op": 0, "t": "READY", "s": 1, "d": {}}) == {"login": "done"}
        assert feed.hear({"op": 0, "t": "TYPING", "s": 2, "d": {}}) == data("TYPING") and feed.hear({"op": 11}) == BEAT
        assert read(feed.conversation.beat()) == [{"op": 1, "d": 2}] and feed.hear({"op": 7}) == {
            "control": "reconnect"
        }


class RecordTests:
    """SignalR: texts that end with a separator, ours written by hand."""

    def test_dialogue(self) -> None:
        """Values cannot break out of them."""
        feed = Dialogue(
            r"""
            connect: {url: "wss://h.example.com/hub"}
            decode: {split: "\x1e"}
            login: [{send: "{\"protocol\":\"json\",\"version\":1}\x1e", expect: {}}]
            topic: {at: target, when: {type: 1}}
            subscribe:
              send: "{\"type\":1,\"target\":\"Join\",\"arguments\":[\"$topic\"],\"invocationId\":\"$id\"}\x1e"
            payload: arguments
            control: [{when: {type: 3}, ack: {id: invocationId}}, {when: {type: 6}, do: beat}]
            """.replace("expect: {}", 'expect: "{}"'),
        )
        assert feed.hear("{}\x1e") == {"login": "done"}
        asked = feed.conversation.want([Wanted("tick", {"name": "tick"}), Wanted("evil", {"name": 'a"],"x":["'})])
        frame = b'{"type":1,"target":"Join","arguments":["tick"],"invocationId":"1"}\x1e'
        assert [one.payload for one in asked] == [frame]
        (refused,) = feed.conversation.take_refused()
        assert refused.topics == ("evil",)
        assert feed.hear('{"type":3,"invocationId":"1"}\x1e') == {"ack": ["tick"]}
        heard = feed.hear(
            '{"type":6}\x1e{"type":1,"target":"tick","arguments":[1]}\x1e', [{}, {"data": {"payload": 1}}]
        )
        assert heard == [BEAT, data("tick", payload=[1])]


class SnapshotOnRequestTests:
    """HTX depth: a snapshot asked for on the same connection."""

    def test_dialogue(self) -> None:
        """It comes under another key."""
        feed = Dialogue(
            """
            connect: {url: "wss://api.huobi.pro/feed"}
            topic: {at: [ch, rep], name: market.$symbol.$channel}
            subscribe: {verbs: [sub, unsub], send: {$verb: $topic, id: $id}}
            snapshot: {for: {channel: "mbp.*"}, when: {rep: "*"}, send: {req: $topic, id: $id}}
            sequence: {for: {channel: "mbp.*"}, prev: tick.prevSeqNum, at: tick.seqNum, gap: resync}
            control: [{when: {status: ok}, ack: {id: id}}]
            """
        )
        topic, name = "symbol=btcusdt channel=mbp.150", "market.btcusdt.mbp.150"
        assert feed.want(topic) == [{"sub": name, "id": 1}]
        assert read(feed.conversation.snapshot(topic)) == [{"req": name, "id": 2}]
        assert feed.hear({"ch": name, "tick": {"prevSeqNum": 4, "seqNum": 5}}) == data(topic, seq=[4, 5])
        assert feed.hear({"id": 2, "rep": name, "status": "ok"}) == data(topic, snapshot=True)
        assert feed.hear({"id": 1, "status": "ok", "subbed": name}) == {"ack": [topic]}


class PartialAnswerTests:
    """Bybit options: the answer lists what succeeded and what did not."""

    def test_dialogue(self) -> None:
        """Both are told to those concerned."""
        feed = Dialogue(
            """
            connect: {url: "wss://stream.bybit.com/v5/public/option"}
            topic: {at: topic}
            subscribe: {send: {op: $verb, args: $topics, req_id: $id}}
            control: [{when: {success: true}, ack: {id: req_id, some: data.successTopics, not: data.failTopics}}]
            """
        )
        assert len(feed.want("name=a", "name=b", "name=c")) == 1
        answer = {"success": True, "req_id": "1", "data": {"successTopics": ["a", "c"], "failTopics": ["b"]}}
        assert feed.hear(answer) == {"ack": ["name=a", "name=c"], "fail": {"topics": ["name=b"]}}


class BareTests:
    """A feed without names, ids or acks: a socket of which everything is wanted."""

    def test_dialogue(self) -> None:
        """Text, binary, empty: as it comes."""
        feed = Dialogue("connect: {url: 'ws://plant.example.com/raw'}")
        topic = Wanted[str]("all", {})
        assert feed.conversation.want([topic]) == []
        for payload, is_text in ((b"any text", True), (b"\x00\xff", False), (b"", True), (b"[1", True)):
            heard = feed.conversation.message(payload, is_text)
            assert (heard.topics, heard.payload, heard.is_text) == (("all",), payload, is_text)
