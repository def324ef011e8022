"""What a dialect knows of itself."""

from __future__ import annotations

import pytest

from relayd.core.feed.errors import Refused
from tests.support.talk import LEARNT, dialect

BTC = {"channel": "t", "symbol": "BTC"}


class PropertyTests:
    """What others need to know."""

    def test_kinds(self) -> None:
        """Unasked, in the URL, acks, ids that acks tell."""
        plain = dialect()
        assert (plain.unasked, plain.topics_in_url, plain.acks, plain.ack_binds) == (False, False, True, False)
        assert dialect(LEARNT).ack_binds and dialect(subscribe=None).unasked
        url = dialect(connect={"url": "wss://h/$topics"}, topic={"at": "ch"}, subscribe={"in": "url"}, control=None)
        assert url.topics_in_url and not url.acks
        assert dialect(control=None, subscribe={"http": {"url": "http://h/$symbol"}}).acks

    def test_rules(self) -> None:
        """The expected answer first."""
        spoken = dialect(heartbeat={"send": "ping", "expect": "pong"})
        assert len(spoken.rules) == 4 and spoken.rules[0].texts == ("pong",)
        assert len(dialect(heartbeat="off").rules) == 3

    def test_login_time(self) -> None:
        """The sum of what is waited for."""
        assert dialect().login_within_s == 0.0
        assert dialect(login=[{"send": "x"}, {"expect": "y"}, {"expect": "z", "within": "5s"}]).login_within_s == 15.0

    def test_deadlines_of_topics(self) -> None:
        """By variant."""
        spoken = dialect(
            subscribe=[
                {"for": {"channel": "t"}, "send": "$symbol", "within": "5s"},
                {"for": {"channel": "u"}, "send": "$symbol"},
            ]
        )
        assert spoken.within_s(BTC) == 5.0 and spoken.within_s({"channel": "u"}) is None
        assert spoken.within_s({"channel": "x"}) is None


class EndingTests:
    """How a subscription is ended."""

    def test_ways(self) -> None:
        """By a block of its own, the other verb, the whole set, or not at all."""
        assert dialect().ending(0, BTC) is dialect().subscribe[0] or dialect().ending(0, BTC) is not None
        assert dialect(subscribe={"send": "$symbol"}).ending(0, BTC) is None
        assert (
            dialect(subscribe={"each": "$symbol", "send": {"s": "$topics"}, "whole": True}).ending(0, BTC) is not None
        )
        own = dialect(unsubscribe=[{"for": {"channel": "x"}, "send": "$symbol"}])
        assert own.ending(0, BTC) is None and own.ending(0, {"channel": "x"}) is own.unsubscribe[0]


class FeedNameTests:
    """Names and the `topics` table."""

    def test_names(self) -> None:
        """Where all parts are there."""
        spoken = dialect(topic={"at": "s", "name": "$a@$b"}, subscribe={"send": {"s": "$topics"}})
        assert spoken.feed_name({"a": "x", "b": "y"}) == "x@y" and spoken.feed_name({"a": "x"}) is None
        assert dialect().feed_name(BTC) is None
        assert spoken.row_values({"a": "x", "b": "y"}) == {"a": "x", "b": "y", "topic": "x@y"}

    def test_rows(self) -> None:
        """The values of a name; others are refused."""
        spoken = dialect(topic={"at": "s"}, topics={"power": {"query": "q"}}, subscribe={"send": {"q": "$query"}})
        assert spoken.row_values({"name": "power"}) == {"name": "power", "topic": "power", "query": "q"}
        with pytest.raises(Refused):
            spoken.row_values({"name": "x"})
        assert spoken.refusal({"name": "x"}) == "the upstream has no such topic"

    def test_answered_under_another_name(self) -> None:
        """Its fields; everything else answers as it was asked."""
        spoken = dialect(
            topic={"at": "s", "name": "$a:$b"},
            topics={"t:USDC": {"as": "t:USD"}, "t:X": {}},
            subscribe={"send": {"q": "$topic"}},
        )
        assert spoken.answered_as({"a": "t", "b": "USDC"}) == {"a": "t", "b": "USD"}
        assert spoken.answered_as({"a": "t", "b": "X"}) == {"a": "t", "b": "X"}
        assert dialect().answered_as(BTC) is BTC


class RefusalTests:
    """What cannot be asked for."""

    def test_reasons(self) -> None:
        """Fit for a browser."""
        assert dialect().refusal(BTC) is None and dialect(subscribe=None).refusal({}) is None
        assert "channel" in (dialect().refusal({"symbol": "x"}) or "")
        spoken = dialect(subscribe={"for": {"channel": "u"}, "send": "$symbol"})
        assert spoken.refusal(BTC) == "the upstream has no subscription of this kind"
        joined = dialect(subscribe={"each": "$symbol", "join": ",", "send": {"s": "$topics"}})
        assert joined.refusal({**BTC, "symbol": "a,b"}) and joined.refusal(BTC) is None
        by_secret = dialect(subscribe={"each": "${env.P}$symbol", "join": ",", "send": {"s": "$topics"}})
        assert by_secret.refusal({**BTC, "symbol": "a,b"}) is None
        typed = dialect(topic={"at": {"channel": "c", "symbol": "s"}, "types": {"symbol": "int"}})
        assert typed.refusal(BTC) == "symbol is not of the type int"


class CompanionTests:
    """A subscription in place of a ping."""

    def test_fields(self) -> None:
        """Of the subscription it beats for."""
        spoken = dialect(heartbeat={"also": {"channel": "hb", "symbol": "$symbol"}})
        assert (
            spoken.companion(BTC) == {"channel": "hb", "symbol": "BTC"} and spoken.companion({"channel": "t"}) is None
        )
        assert dialect().companion(BTC) is None and dialect(heartbeat="off").companion(BTC) is None
