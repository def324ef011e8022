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


class FollowTests:
    """The upstream resumed where the connection before had ended."""

    def test_what_was_asked_for(self) -> None:
        """Its gap is undone, and due again with the next loss; one that is sure stays, and what was not asked for."""
        for fields, phase, sure, undone in (
            ({}, Phase.SENT, False, True),
            ({}, Phase.CONFIRMED, False, True),
            (None, Phase.WANTED, False, True),
            ({}, Phase.WANTED, False, False),
            ({}, Phase.FAILED, False, False),
            ({}, Phase.CONFIRMED, True, False),
        ):
            entry: Entry[str] = Entry("a", fields)
            entry.phase, entry.gap_due, entry.gap_sure = phase, True, sure
            entry.follow()
            assert (entry.gap_due, entry.had_data) == (not undone, undone)
