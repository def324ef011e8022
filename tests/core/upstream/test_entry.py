"""Tests of relayd.core.upstream.entry."""

from __future__ import annotations

from relayd.core.upstream.entry import Entry, Phase, shown


class EntryTests:
    """One topic."""

    def test_as_it_begins(self) -> None:
        """Wanted, and nothing more."""
        assert shown(Entry("a", {})) == (Phase.WANTED, "")

    def test_without_a_place(self) -> None:
        """It is wanted, and shown as failed, with the reason."""
        entry = Entry("a", {})
        entry.why = "full"
        assert shown(entry) == (Phase.FAILED, "full")
        entry.phase = Phase.SENT
        assert shown(entry) == (Phase.SENT, "full")
