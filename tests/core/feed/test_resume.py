"""What outlives a connection."""

from __future__ import annotations

import pytest

from relayd.core.feed import resume as module
from relayd.core.feed.resume import Resume


class CursorTests:
    """Where the upstream resumes."""

    def test_numbers_only_grow(self) -> None:
        """A little disorder does not move it back."""
        resume = Resume()
        assert resume.connected() is None
        for point in (5, 7, 6):
            assert not resume.replayed(point, b"x")
        assert resume.cursor == 7 and resume.connected() == 7

    def test_what_is_replayed_is_dropped(self) -> None:
        """Up to the cursor; of those at the cursor itself only what was there."""
        resume = Resume()
        for point, payload in ((5, b"a"), (7, b"b"), (7, b"c")):
            assert not resume.replayed(point, payload)
        resume.connected()
        assert [resume.replayed(point, payload) for point, payload in ((5, b"a"), (7, b"b"), (7, b"c"), (7, b"d"))] == [
            True,
            True,
            True,
            False,
        ]
        assert not resume.replayed(8, b"e")

    def test_within_a_connection_nothing_is_a_replay(self) -> None:
        """The same microsecond may hold several events."""
        resume = Resume()
        assert not resume.replayed(5, b"a") and not resume.replayed(5, b"a")

    def test_opaque(self) -> None:
        """A text goes back as it came."""
        resume = Resume()
        assert not resume.replayed('[{"offset":5}]', b"x")
        assert resume.connected() == '[{"offset":5}]' and not resume.replayed("a", b"x")
        assert not resume.replayed(3, b"y") and resume.cursor == 3

    def test_opaque_of_a_connection_that_is_lost_while_another_is_dialled(self) -> None:
        """What that had said since comes again, and is dropped as often as it was said; a later dial asks behind it."""
        old = Resume()
        old.replayed("a", b"1")
        new = old.fork()
        assert new.connected() == "a"
        for point, payload in (("b", b"2"), ("c", b"ok"), ("c", b"ok")):
            assert not old.replayed(point, payload)
        new.adopt(old)
        assert new.cursor == "c"
        said = [("b", b"2"), ("c", b"ok"), ("c", b"other"), ("c", b"ok"), ("c", b"ok"), ("d", b"4")]
        assert [new.replayed(point, payload) for point, payload in said] == [True, True, False, True, False, False]
        assert new.cursor == "d" and not new.follows
        new.adopt(old)
        assert new.connected() == "c" and not new.replayed("b", b"2")

    def test_opaque_and_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Those beyond the bound are counted, and come twice."""
        monkeypatch.setattr(module, "MAX_SEEN", 2)
        old = Resume()
        new = old.fork()
        for point in "abc":
            old.replayed(point, b"")
        new.adopt(old)
        assert old.forgotten == 1 and [new.replayed(point, b"") for point in "abc"] == [True, True, False]

    @pytest.mark.parametrize("point", [None, True, 1.5, [], {}])
    def test_what_is_no_point(self, point: object) -> None:
        """Changes nothing."""
        resume = Resume()
        assert not resume.replayed(point, b"") and resume.cursor is None

    def test_forgotten(self) -> None:
        """The upstream does not know it any more."""
        resume = Resume()
        resume.replayed(5, b"a")
        resume.connected()
        resume.forget()
        assert resume.connected() is None and not resume.replayed(4, b"a")

    def test_the_number_of_messages_at_one_point_is_bounded(self) -> None:
        """Beyond it, twice rather than never."""
        resume = Resume()
        payloads = [bytes([n]) for n in range(module.MAX_AT_CURSOR + 1)]
        for payload in payloads:
            resume.replayed(5, payload)
        resume.connected()
        assert [resume.replayed(5, payload) for payload in payloads].count(False) == 1


class DedupeTests:
    """At least once means sometimes twice."""

    def test_repeats(self) -> None:
        """By identity."""
        resume = Resume()
        assert [resume.repeated(one) for one in ("a", "b", "a", 5, 5, None, None)] == [
            False,
            False,
            True,
            False,
            True,
            False,
            False,
        ]

    def test_the_oldest_are_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Those repeated lately are not the oldest."""
        monkeypatch.setattr(module, "MAX_SEEN", 2)
        resume = Resume()
        for one in ("a", "b", "a", "c"):
            resume.repeated(one)
        assert resume.repeated("a") and not resume.repeated("b")


class FollowTests:
    """Whether a connection goes on where the one before it had ended."""

    def resume(self, *points: int) -> Resume:
        """One connection up to 7, and a second one that says these."""
        resume = Resume()
        resume.connected()
        resume.replayed(7, b"seven")
        resume.connected()
        for point in points:
            resume.replayed(point, b"%d" % point)
        return resume

    def test_the_first_message_tells(self) -> None:
        """Known already: it follows. Later than the cursor: nobody knows."""
        assert not self.resume().follows
        assert self.resume(5, 8).follows
        assert self.resume(7, 8).follows
        assert not self.resume(8, 5).follows

    def test_without_a_cursor(self) -> None:
        """A first connection follows nothing, nor does one after the cursor was forgotten; texts tell nothing."""
        resume = Resume()
        resume.connected()
        resume.replayed(5, b"")
        assert not resume.follows
        resume.forget()
        resume.connected()
        resume.replayed(5, b"")
        assert not resume.follows
        resume.replayed("a", b"")
        resume.connected()
        resume.replayed("a", b"")
        assert not resume.follows


class RestoredTests:
    """What another process knew."""

    def test_what_stands_at_the_cursor(self) -> None:
        """It is known by its digest, until the cursor moves on; whatever else is of that moment is new."""
        old = Resume()
        old.connected()
        old.replayed(7, b"one")
        new = Resume()
        new.restore(7, old.at_cursor())
        assert new.at_cursor() == old.at_cursor()
        assert new.connected() == 7
        assert [new.replayed(7, payload) for payload in (b"one", b"two")] == [True, False]
        new.replayed(8, b"eight")
        assert len(new.at_cursor()) == 1


class ForkTests:
    """A second connection beside the first."""

    def test_each_goes_its_own_way(self) -> None:
        """From the same point."""
        one = Resume()
        one.replayed(5, b"five")
        one.repeated("id")
        other = one.fork()
        assert other.connected() == 5
        assert other.replayed(5, b"five") and other.repeated("id")
        one.replayed(9, b"nine")
        one.repeated("more")
        assert (other.cursor, other.repeated("more"), one.cursor) == (5, False, 9)

    def test_what_another_process_had(self) -> None:
        """It is known too."""
        one = Resume()
        one.restore(5, ["digest"])
        assert one.fork().at_cursor() == ["digest"]

    def test_taken_over_before_it_dialled(self) -> None:
        """It goes on where the other one came to."""
        one, other = self.forked()
        assert (other.is_behind(one), one.is_behind(other), one.is_behind(one)) == (True, False, False)
        other.adopt(one)
        assert (other.connected(), other.repeated("more"), other.repeated("new")) == (9, True, False)

    def test_taken_over_while_it_is_dialled(self) -> None:
        """Asked for from an earlier point: what is replayed up to where the other one came is known."""
        one, other = self.forked()
        assert other.connected() == 5
        other.adopt(one)
        assert other.replayed(5, b"five") and other.replayed(7, b"seven") and other.replayed(9, b"nine")
        assert not other.replayed(9, b"another at nine") and not other.replayed(10, b"ten")
        assert other.follows

    def test_taken_over_by_one_that_began_without_a_point(self) -> None:
        """Nobody knows whether anything is missing, but nothing comes twice."""
        one = Resume()
        other = one.fork()
        assert not other.is_behind(one)
        other.connected()
        one.replayed(9, b"nine")
        assert other.is_behind(one)
        other.adopt(one)
        assert (other.replayed(9, b"nine"), other.replayed(10, b"ten"), other.follows) == (True, False, False)

    def test_taken_over_by_its_name(self) -> None:
        """An opaque point cannot be compared."""
        one = Resume()
        one.replayed("x", b"")
        other = one.fork()
        one.replayed("y", b"")
        assert not other.is_behind(one)
        other.adopt(one)
        assert other.connected() == "y"

    def forked(self) -> tuple[Resume, Resume]:
        """One, and its fork; then the one goes on."""
        one = Resume()
        one.replayed(5, b"five")
        other = one.fork()
        one.replayed(7, b"seven")
        one.replayed(9, b"nine")
        one.repeated("more")
        return one, other

    def test_what_follows_is_its_own_to_find_out(self) -> None:
        """That the present connection went on where the last one ended says nothing of the new one."""
        one = Resume()
        one.replayed(5, b"five")
        one.connected()
        one.replayed(5, b"five")
        other = one.fork()
        assert (one.follows, other.follows) == (True, False)
        other.connected()
        other.replayed(6, b"six")
        assert (one.follows, other.follows) == (True, False)

    def test_it_follows_from_its_own_cursor(self) -> None:
        """The new connection reaches back to what was known when it was forked."""
        one = Resume()
        one.replayed(5, b"five")
        other = one.fork()
        one.replayed(9, b"nine")
        assert other.connected() == 5
        assert other.replayed(5, b"five")
        assert (one.follows, other.follows) == (False, True)
