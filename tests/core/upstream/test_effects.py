"""Tests of relayd.core.upstream.effects."""

from __future__ import annotations

import pytest

from relayd.core.upstream.effects import DialRequest, Loss, LossKind, printable


class LossTests:
    """What people read of an end."""

    @pytest.mark.parametrize(
        ("loss", "text"),
        [
            (Loss(LossKind.BROKEN), "broken"),
            (Loss(LossKind.BROKEN, text="reset"), "broken: reset"),
            (Loss(LossKind.CLOSED, code=1008, text="too fast"), "closed 1008: too fast"),
            (Loss(LossKind.HTTP, status=429), "http 429"),
        ],
    )
    def test_in_words(self, loss: Loss, text: str) -> None:
        """Kind, number, reason."""
        assert str(loss) == text


    def test_shown(self) -> None:
        """Browsers hear where the fault lies, and nothing that the upstream said."""
        assert LossKind.CONNECT.shown == "the upstream cannot be reached"
        assert LossKind.CLOSED.shown == ""


class PrintableTests:
    """What strangers write into log lines."""

    def test_one_line_without_control_characters(self) -> None:
        """Line breaks, escapes and direction marks become spaces, and there is an end to it."""
        assert printable("a\r\nb\x1b[31mc\u202ed") == "a  b [31mc d"
        assert printable("x" * 500) == "x" * 200
        assert printable("abc", 2) == "ab"

    def test_secrets_are_not_in_a_request_s_picture(self) -> None:
        """Headers stay out of what is printed by accident."""
        assert "hunter2" not in repr(DialRequest("wss://feed.example/", {"Authorization": "Bearer hunter2"}))
