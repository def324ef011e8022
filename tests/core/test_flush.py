"""Tests of relayd.core.flush."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from relayd.core.flush import Flush, Notice, breaks, leave_behind
from relayd.core.publication import Encoding, GapMark
from relayd.core.routes import Mode
from tests.support.hub_rig import Rig, delivery, route


class NoticeTests:
    """A message with a time."""

    def test_what_it_holds(self) -> None:
        """Its size is that of the message."""
        notice = Notice(b'{"op":"state"}', 7.5)
        assert (notice.data, notice.at, notice.size) == (b'{"op":"state"}', 7.5, 14)


class BreaksTests:
    """Whom a gap closes."""

    @pytest.mark.parametrize("mode", list(Mode))
    def test_what_closes(self, mode: Mode) -> None:
        """A gap, those who read nothing but payloads, where every one of them counts."""
        mark = GapMark(Rig(route("t/$n", delivery(mode))).hub.topic("t/a"), 1, 1, None, "upstream", 0.0)
        closing = [encoding for encoding in Encoding if breaks(mark, encoding)]
        assert closing == ([] if mode is Mode.CONFLATE else [Encoding.RAW])


class FlushTests:
    """What is sent, and what it is made of."""

    def test_at_first(self) -> None:
        """Nobody has been offered it yet, and nobody is closed for it."""
        flush = Flush([Notice(b"a", 7.0)], [b"a"], b"a")
        assert (flush.next, flush.members, flush.broken) == (0, None, False)

    def test_who_took_as_much_keeps_the_same(self) -> None:
        """One object for all who stopped at the same byte."""
        flush = Flush([], [b"abc", b"def"], b"abcdef")
        first = flush.rest(1, 3)
        assert first == b"bc" and flush.rest(1, 3) is first
        assert (flush.rest(0, 6), flush.rest(6, 6), flush.rest(1, 3)) == (b"abcdef", b"", b"bc")


class LeaveBehindTests:
    """Those who did not take all."""

    def test_one_that_fails_goes_alone(self) -> None:
        """Each falls behind in its own cohort, with the bytes that it took."""
        flush = Flush([], [b"abc"], b"abc")
        faulty, sound = Mock(), Mock()
        faulty.cohort.fall_behind.side_effect = RuntimeError("no")
        leave_behind([(faulty, 1), (sound, 2)], flush)
        faulty.fault.assert_called_once_with()
        sound.cohort.fall_behind.assert_called_once_with(sound, flush, 2)
        sound.fault.assert_not_called()
