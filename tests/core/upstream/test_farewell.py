"""Tests of relayd.core.upstream.farewell."""

from __future__ import annotations

from math import inf

from relayd.core.upstream.effects import Note
from relayd.core.upstream.farewell import farewell


class FarewellTests:
    """What the log says at the end."""

    def test_in_good_order(self) -> None:
        """No warning; what the connection was is told."""
        note = farewell("feed", "old", {"sent": 3}, 0.0, refused=False, wished=True)
        assert note == Note("close", {"upstream": "feed", "why": "old", "sent": 3, "again_in_s": 0.0})

    def test_lost(self) -> None:
        """A warning, and when it is tried again."""
        note = farewell("feed", "gone", {}, 1.23456, refused=False, wished=False)
        assert note == Note("close", {"upstream": "feed", "why": "gone", "again_in_s": 1.235}, warning=True)

    def test_never_open(self) -> None:
        """It could not be reached; nobody wants it any more."""
        note = farewell("feed", "dns", None, None, refused=False, wished=False)
        assert note == Note("unreachable", {"upstream": "feed", "why": "dns"}, warning=True)

    def test_refused_for_ever(self) -> None:
        """The word for it is never."""
        note = farewell("feed", "key", None, inf, refused=True, wished=False)
        assert note == Note("refused", {"upstream": "feed", "why": "key", "again_in_s": "never"}, warning=True)
