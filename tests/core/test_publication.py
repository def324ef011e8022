"""What a ring holds."""

from __future__ import annotations

import gc
from typing import Any

from relayd.core.publication import RETAINED_OVERHEAD_BYTES, GapMark, Publication

TOPIC: Any = object()


class PublicationTests:
    """A payload and its place."""

    def test_size_counts_the_object(self) -> None:
        """An empty payload is not free."""
        assert Publication(TOPIC, 1, 1, b"", True, False, 0.0).size == RETAINED_OVERHEAD_BYTES
        assert Publication(TOPIC, 1, 1, b"xyz", True, False, 0.0).size == RETAINED_OVERHEAD_BYTES + 3

    def test_the_collector_does_not_look_at_it(self) -> None:
        """Rings are full of them."""
        assert not gc.is_tracked(Publication(TOPIC, 1, 1, b"", True, False, 0.0))

    def test_each_is_its_own(self) -> None:
        """Not equal to another that says the same, and with frames of its own."""
        one, other = (Publication(TOPIC, 1, 1, b"", True, False, 0.0) for _ in range(2))
        assert one != other
        assert len({one, other}) == 2
        assert one.frames is not other.frames

    def test_a_mark_counts_by_number(self) -> None:
        """It is no snapshot and has no key."""
        mark = GapMark(TOPIC, 1, 1, None, "upstream", 0.0)
        assert (mark.size, mark.snapshot, mark.key) == (0, False, None)
