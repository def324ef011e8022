"""Tests of relayd.core.upstream.talk."""

from __future__ import annotations

import inspect

import pytest

from relayd.core.upstream.talk import Talk
from tests.support.talk import talk
from tests.support.upstream import TinyTalk

ASKED = {name: value for name, value in vars(Talk).items() if inspect.isfunction(value) and name[0] != "_"}


class TalkTests:
    """What a session asks is what a conversation answers."""

    @pytest.mark.parametrize("name", ASKED)
    def test_a_conversation_takes_the_same_arguments(self, name: str) -> None:
        """By their names and order, and needs no others, before and after its login; so does the one that stands in for
        it in tests."""
        wanted = list(inspect.signature(ASKED[name]).parameters)[1:]
        for speaker in (talk(open=False), talk(), TinyTalk()):
            taken = list(inspect.signature(getattr(speaker, name)).parameters.values())
            assert [one.name for one in taken[: len(wanted)]] == wanted
            assert all(one.default is not one.empty for one in taken[len(wanted) :])
