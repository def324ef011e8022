"""Login, step by step."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.core.feed.build_parts import Reader, read_login
from relayd.core.feed.errors import Problems, Unset
from relayd.core.feed.login import LoginProgress
from relayd.core.feed.path import Scope
from relayd.core.feed.resume import Resume
from relayd.core.feed.voice import Voice


def login(*blocks: Any, **secrets: str) -> tuple[LoginProgress, Voice]:
    """The progress of these steps, and the voice that speaks them."""
    voice = Voice(wall=lambda: 5.5, uuid=lambda: "u", secrets=secrets, saved={}, resume=Resume())
    return LoginProgress(read_login(Reader(Problems()), blocks), voice), voice


class LoginProgressTests:
    """Steps."""

    def test_none(self) -> None:
        """Done as soon as the connection is open."""
        progress, _ = login()
        assert not progress.done and progress.go_on() == [] and progress.done

    def test_only_sent(self) -> None:
        """Nothing is waited for."""
        progress, _ = login({"send": {"a": 1}}, {"send": "b"})
        assert [frame.payload for frame in progress.go_on()] == [b'{"a":1}', b"b"] and progress.done

    def test_server_speaks_first(self) -> None:
        """Then we, then it: what it said is used in the next message."""
        progress, voice = login(
            {"expect": {"t": "hello"}, "save": {"sid": "d.sid", "none": "d.none"}},
            {"send": {"auth": "$sid", "id": "$id"}, "expect": {"t": "ok"}, "fail": {"t": "no"}},
        )
        assert progress.go_on() == []
        assert progress.is_answered(Scope({"t": "other"})) is None
        assert progress.is_answered(Scope({"t": "hello", "d": {"sid": 7}})) is True
        assert [frame.payload for frame in progress.go_on()] == [b'{"auth":7,"id":1}']
        assert voice.saved == {"sid": 7} and not progress.done
        assert progress.is_answered(Scope({"t": "ok"})) is True
        assert progress.go_on() == [] and progress.done

    def test_refused(self) -> None:
        """The refusal is looked for first."""
        progress, _ = login({"expect": {"t": "*"}, "fail": {"t": "no"}})
        progress.go_on()
        assert progress.is_answered(Scope({"t": "no"})) is False

    def test_nothing_is_an_answer_before_the_connection_is_open(self) -> None:
        """It cannot have been asked for."""
        progress, _ = login({"expect": {"t": "*"}})
        assert progress.is_answered(Scope({"t": "x"})) is None

    def test_a_step_that_waits_for_a_refusal_only(self) -> None:
        """It ends when it is sent."""
        progress, _ = login({"send": "x", "fail": {"t": "no"}}, {"expect": {"t": "ok"}})
        assert len(progress.go_on()) == 1 and progress.is_answered(Scope({"t": "no"})) is None

    def test_computed_values_stay(self) -> None:
        """A signature's time may be needed later."""
        progress, voice = login(
            {"set": {"ts": "$now", "x": "${ts}!"}, "send": {"x": "$x", "k": "${env.K}"}}, **{"env.K": "k"}
        )
        assert [frame.payload for frame in progress.go_on()] == [b'{"x":"5!","k":"k"}']
        assert voice.saved == {"ts": 5, "x": "5!"}

    def test_a_missing_value(self) -> None:
        """The caller decides."""
        progress, _ = login({"send": "$x"})
        with pytest.raises(Unset):
            progress.go_on()
