"""What messages are rendered with."""

from __future__ import annotations

import pytest

from relayd.core.feed.errors import Unset
from relayd.core.feed.resume import Resume
from relayd.core.feed.template import compile_node
from relayd.core.feed.voice import Voice


def voice(resume: Resume | None = None) -> Voice:
    """At 1,700,000,000.75 s."""
    return Voice(
        wall=lambda: 1_700_000_000.75,
        uuid=lambda: "u-1",
        secrets={"env.K": "k"},
        saved={"token": "t"},
        resume=resume or Resume(),
    )


class VoiceTests:
    """Values."""

    def test_ids_rise_with_each_message_that_uses_one(self) -> None:
        """Others take none; a look takes none."""
        speaker = voice()
        assert speaker.values({"id"})["id"] == 1
        assert "id" not in speaker.values({"now"})
        assert speaker.values({"id"}, take_id=False)["id"] == 2
        assert speaker.values({"id"})["id"] == 2

    def test_clock_and_random(self) -> None:
        """Whole seconds, whole milliseconds."""
        values = voice().values({"now", "now_ms", "uuid"})
        assert (values["now"], values["now_ms"], values["uuid"]) == (1_700_000_000, 1_700_000_000_750, "u-1")

    def test_secrets_saved_and_the_cursor(self) -> None:
        """They are always there; a cursor that is not known yet is null."""
        resume = Resume()
        speaker = voice(resume)
        assert speaker.values(()) == {"env.K": "k", "token": "t", "cursor": None}
        resume.replayed(7, b"")
        assert speaker.values(())["cursor"] == 7

    def test_frames(self) -> None:
        """With values of their own, if any."""
        speaker = voice()
        assert speaker.frame(compile_node({"id": "$id", "k": "${env.K}"})).payload == b'{"id":1,"k":"k"}'
        assert speaker.frame(compile_node("$x"), {"x": "y"}).payload == b"y"
        with pytest.raises(Unset):
            speaker.frame(compile_node("$x"))

    def test_requests_are_numbered(self) -> None:
        """From 1."""
        speaker = voice()
        assert (speaker.number(), speaker.number()) == (1, 2)
