"""What a ring holds."""

from __future__ import annotations

import gc
from typing import Any

from relayd.core.publication import (
    RETAINED_BYTES,
    RETAINED_OVERHEAD_BYTES,
    SHARED_BYTES,
    UNFRAMED,
    Encoding,
    GapMark,
    Publication,
)

TOPIC: Any = object()


class PublicationTests:
    """A payload and its place."""

    def test_size_counts_the_object(self) -> None:
        """An empty payload is not free."""
        assert [held - RETAINED_OVERHEAD_BYTES for held in RETAINED_BYTES] == list(range(SHARED_BYTES))

    def test_the_collector_does_not_look_at_it(self) -> None:
        """Rings are full of them."""
        assert not gc.is_tracked(Publication(TOPIC, 1, 1, b"", True, False, 0.0, RETAINED_OVERHEAD_BYTES))

    def test_each_is_its_own(self) -> None:
        """Not equal to another that says the same."""
        one, other = (Publication(TOPIC, 1, 1, b"", True, False, 0.0, RETAINED_OVERHEAD_BYTES) for _ in range(2))
        assert one != other
        assert len({one, other}) == 2

    def test_what_nobody_asked_for_is_not_framed(self) -> None:
        """All share the same empty places, one for each encoding."""
        one, mark = Publication(TOPIC, 1, 1, b"", True, False, 0.0, 0), GapMark(TOPIC, 1, 1, None, "upstream", 0.0)
        assert one.frames is mark.frames is UNFRAMED
        assert [UNFRAMED[encoding] for encoding in Encoding] == [None] * len(UNFRAMED)

    def test_a_mark_counts_by_number(self) -> None:
        """It is no snapshot and has no key."""
        mark = GapMark(TOPIC, 1, 1, None, "upstream", 0.0)
        assert (mark.size, mark.snapshot, mark.key) == (0, False, None)
