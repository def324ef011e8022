"""Tests of relayd.core.flush."""

from __future__ import annotations

from relayd.core.flush import Flush, Notice


class FlushTests:
    """What is sent, and what it is made of."""

    def test_one_frame_is_not_copied(self) -> None:
        """Nearly every flush of a quiet feed has one."""
        frame = bytes(range(200))
        notice = Notice(frame, 7)
        flush = Flush([notice], [frame], 1, broken=False)
        assert flush.data is frame
        assert (notice.data, notice.serial, flush.entries) == (frame, 7, [notice])

    def test_several_in_a_row(self) -> None:
        """Nobody has been offered them yet."""
        flush = Flush([], [b"a", b"b"], 1, broken=True)
        assert (flush.data, flush.next, flush.members, flush.broken) == (b"ab", 0, None, True)
