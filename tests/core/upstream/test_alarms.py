"""Tests of relayd.core.upstream.alarms."""

from __future__ import annotations

import pytest

from relayd.core.counters import UpstreamCounters
from relayd.core.upstream.alarms import DROPS, RIVAL, SHORT_MOST, Alarms, is_rival
from relayd.core.upstream.effects import Loss, LossKind, Note

DROPPED = Loss(LossKind.BROKEN, text="the connection ended without a close frame")
KICKED = Loss(LossKind.CLOSED, code=4000, text="kicked by a newer connection")


class ShortTests:
    """Accepted, and dropped within seconds."""

    def test_told_once(self) -> None:
        """At the fifth in a row; browsers see it from then on."""
        counters = UpstreamCounters()
        alarms = Alarms(counters)
        for _ in range(SHORT_MOST - 1):
            assert alarms.ended(DROPPED, wished=False, opened=True, proved=False) == []
            assert alarms.shown == ""
        told = [Note("short", {"times": 5}, warning=True)]
        assert alarms.ended(DROPPED, wished=False, opened=True, proved=False) == told
        assert alarms.shown == DROPS
        assert alarms.ended(DROPPED, wished=False, opened=True, proved=False) == []
        assert counters.short == SHORT_MOST + 1

    def test_in_a_row(self) -> None:
        """One that lasted ends the row; attempts that opened nothing neither end nor lengthen it."""
        alarms = Alarms(UpstreamCounters())
        for _ in range(SHORT_MOST - 1):
            alarms.ended(DROPPED, wished=False, opened=True, proved=False)
        alarms.ended(Loss(LossKind.CONNECT), wished=False, opened=False, proved=False)
        assert alarms.ended(DROPPED, wished=False, opened=True, proved=False)
        alarms.ended(DROPPED, wished=False, opened=True, proved=True)
        assert alarms.shown == ""
        for _ in range(SHORT_MOST - 1):
            assert alarms.ended(DROPPED, wished=False, opened=True, proved=False) == []


class WishedTests:
    """Ends in good order."""

    def test_they_say_nothing(self) -> None:
        """They are losses, and no more."""
        counters = UpstreamCounters()
        assert Alarms(counters).ended(KICKED, wished=True, opened=True, proved=False) == []
        assert (counters.losses, counters.short, counters.rivals) == (1, 0, 0)


class RivalTests:
    """One slot, two owners."""

    def test_told_once(self) -> None:
        """With the likely cause, until a connection lasts."""
        counters = UpstreamCounters()
        alarms = Alarms(counters)
        told = [Note("rival", {"text": "kicked by a newer connection"}, warning=True)]
        assert alarms.ended(KICKED, wished=False, opened=True, proved=False) == told
        assert alarms.shown == RIVAL
        assert alarms.ended(KICKED, wished=False, opened=True, proved=False) == []
        assert alarms.ended(KICKED, wished=False, opened=True, proved=True) == told
        assert counters.rivals == 3

    @pytest.mark.parametrize(
        "text",
        [
            "connection limit exceeded",
            "Too many connections",
            "max connections reached",
            "kicked by newer connection",
            "Session opened from another location",
            "already logged in",
            "Duplicate session",
            "Multiple concurrent connections not allowed",
            "you are logged in elsewhere",
            "Replaced by new connection",
        ],
    )
    def test_words(self, text: str) -> None:
        """As feeds say it."""
        assert is_rival(Loss(LossKind.CLOSED, code=1008, text=text))
        assert not is_rival(Loss(LossKind.DEADLINE, text=text))

    @pytest.mark.parametrize("text", ["", "going away", "Too many requests", "new version", "slow consumer", "idle"])
    def test_other_words(self, text: str) -> None:
        """Other reasons are none of this kind."""
        assert not is_rival(Loss(LossKind.CLOSED, code=1008, text=text))
