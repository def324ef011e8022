"""Serials of what a ring let go."""

from __future__ import annotations

from relayd.core.ledger import LEAST_SERIALS, SERIALS_PER_ENTRY, Ledger


class LedgerTests:
    """Where a serial stands."""

    def test_from_the_first(self) -> None:
        """Kept since the topic began, it knows everything."""
        ledger = Ledger(1)
        assert ledger.offset_at(5) == 0
        for serial in (10, 20, 30):
            ledger.add(serial, 0)
        assert [ledger.offset_at(serial) for serial in (9, 10, 19, 20, 30, 99)] == [0, 1, 1, 2, 3, 3]

    def test_from_later(self) -> None:
        """What was let go before is not known."""
        ledger = Ledger(4)
        ledger.add(40, 0)
        assert ledger.offset_at(39) is None
        assert ledger.offset_at(40) == 4

    def test_bound(self) -> None:
        """It forgets the older half, and says so."""
        ledger = Ledger(1)
        for serial in range(1, LEAST_SERIALS + 2):
            ledger.add(serial, 0)
        assert len(ledger) == LEAST_SERIALS // 2 + 1
        assert ledger.offset_at(1) is None
        assert ledger.offset_at(LEAST_SERIALS) == LEAST_SERIALS

    def test_grows_with_its_ring(self) -> None:
        """So many for each entry that is held."""
        ledger = Ledger(1)
        held = LEAST_SERIALS
        for serial in range(1, SERIALS_PER_ENTRY * held + 1):
            ledger.add(serial, held)
        assert len(ledger) == SERIALS_PER_ENTRY * held
