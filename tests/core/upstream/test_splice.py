"""Tests of relayd.core.upstream.splice: two streams of one topic, in words such as `old: 1 2 3 | new: 3 4`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed.outcome import Data, Number
from relayd.core.feed.path import parse_path
from relayd.core.feed.sequence import Sequence
from relayd.core.upstream.splice import HELD_MOST_BYTES, WINDOW_MOST, Splice

COUNTED = Sequence(at=parse_path("n"), step=1)
GROWING = Sequence(at=parse_path("n"))
RANGES = Sequence(first=parse_path("u"), last=parse_path("v"))


def message(word: str, number: Number | None = None) -> Data[str]:
    """A message whose payload is the word."""
    return Data(("t",), word.encode(), True, seq=number)


def spliced(old: str, new: str, sequence: Sequence | None = None, *, numbers: bool = False) -> Splice[str]:
    """The old stream first, then the new one; `numbers`: each word is its number too."""
    splice: Splice[str] = Splice(sequence)
    for word in old.split():
        splice.said(message(word, int(word) if numbers else None))
    for word in new.split():
        splice.hold(message(word, int(word) if numbers else None))
    return splice


def joined(splice: Splice[str]) -> str | None:
    """What is published from the new stream, in words; None = it is not known where it goes on."""
    following = splice.join()
    return None if following is None else " ".join(one.payload.decode() for one in following)


class BytesTests:
    """Messages without numbers."""

    def test_level(self) -> None:
        """Both have said the same last."""
        assert joined(spliced("a b c", "c")) == ""
        assert joined(spliced("a b c", "b c")) == ""

    def test_ahead(self) -> None:
        """The new one is ahead: the rest is published."""
        assert joined(spliced("a b c", "b c d e")) == "d e"

    def test_behind(self) -> None:
        """It has to catch up first."""
        splice = spliced("a b c", "a")
        assert (joined(splice), splice.is_behind) == (None, True)
        splice.hold(message("b"))
        assert joined(splice) is None
        splice.hold(message("c"))
        assert (joined(splice), splice.is_behind) == ("", False)

    def test_the_old_one_comes_to_it(self) -> None:
        """What is held is ahead of all that was said."""
        splice = spliced("a", "c d")
        assert (joined(splice), splice.is_behind) == (None, False)
        splice.said(message("b"))
        assert joined(splice) is None
        splice.said(message("c"))
        assert joined(splice) == "d"

    def test_nothing_yet(self) -> None:
        """Neither says anything; only one does."""
        splice = spliced("", "")
        assert (joined(splice), splice.silent, splice.is_behind) == (None, True, False)
        assert (joined(spliced("a", "")), spliced("a", "").silent) == (None, False)
        assert (joined(spliced("", "a")), spliced("", "a").silent) == (None, False)

    def test_silence_from_here_on(self) -> None:
        """What was said long ago is no reason to wait for it."""
        splice = spliced("a", "")
        splice.listen()
        assert splice.silent
        splice.said(message("b"))
        assert not splice.silent

    def test_in_several_places(self) -> None:
        """A feed that repeats itself: nobody can know, until something else is said."""
        splice = spliced("a x x", "x")
        assert joined(splice) is None
        splice.said(message("b"))
        assert joined(splice) is None
        splice.hold(message("b"))
        assert joined(splice) == ""

    def test_it_does_not_go_on_alike(self) -> None:
        """One message is the same, the next is not: no place fits."""
        assert joined(spliced("a b c", "b x")) is None

    def test_the_old_one_missed_something(self) -> None:
        """What it said before is no help; from there on the held stream is found again."""
        splice = spliced("a b", "b c d e")
        splice.broke()
        splice.said(message("d"))
        assert joined(splice) == "e"

    def test_the_new_one_begins_again(self) -> None:
        """What was held is gone."""
        splice = spliced("a b", "z")
        splice.release()
        splice.hold(message("b"))
        assert joined(splice) == ""

    def test_bounds(self) -> None:
        """The window, and bytes; the newest message is always held."""
        splice: Splice[str] = Splice(None)
        for number in range(2 * WINDOW_MOST):
            splice.said(message(str(number)))
            splice.hold(message(f"new {number}"))
        assert len(splice.held) == WINDOW_MOST
        splice.hold(message("x" * HELD_MOST_BYTES))
        splice.hold(message("y" * HELD_MOST_BYTES))
        assert [one.payload[:1] for one in splice.held] == [b"y"]
        assert joined(spliced(" ".join(map(str, range(500))), "499 500")) == "500"
        assert joined(spliced(" ".join(map(str, range(500))), "100")) is None

    @given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.randoms())
    def test_nothing_twice_and_nothing_lost(self, began: int, first: int, more: int, random: object) -> None:
        """Whatever the order of arrival: all that the feed said, once, in order."""
        end = max(began, first) + more
        old, new = list(range(began, end)), list(range(first, end))
        splice: Splice[str] = Splice(None)
        published: list[int] = []
        while old or new:
            if old and (not new or random.random() < 0.5):
                number = old.pop(0)
                published.append(number)
                splice.said(message(str(number)))
            else:
                splice.hold(message(str(new.pop(0))))
            if (following := splice.join()) is not None:
                published += [int(one.payload) for one in following] + new
                assert published == list(range(min(began, published[0]), end))
                return
        assert more == 0 or began >= end or first >= end


class NumberTests:
    """Messages with numbers."""

    def test_the_next_one(self) -> None:
        """It follows, whatever it says."""
        assert joined(spliced("1 2", "3 4", COUNTED, numbers=True)) == "3 4"

    def test_ranges(self) -> None:
        """One that overlaps what was said, and goes beyond."""
        splice: Splice[str] = Splice(RANGES)
        splice.said(message("a", (1, 10)))
        splice.hold(message("b", (9, 20)))
        assert joined(splice) == "b"
        assert [one.payload for one in splice.beyond()] == [b"b"]

    def test_the_same(self) -> None:
        """Known by number and bytes."""
        assert joined(spliced("1 2", "2 3", COUNTED, numbers=True)) == "3"

    def test_a_hole_is_no_sequel(self) -> None:
        """4 after 2 waits for 3."""
        splice = spliced("1 2", "4", COUNTED, numbers=True)
        assert joined(splice) is None
        splice.said(message("3", 3))
        assert joined(splice) == "4"

    def test_numbers_that_only_grow(self) -> None:
        """Tell nothing of what lies between: the same message must have come on both."""
        splice = spliced("1 2", "7", GROWING, numbers=True)
        assert joined(splice) is None
        splice.said(message("7", 7))
        assert joined(splice) == ""

    def test_what_means_nothing_yet_is_no_silence(self) -> None:
        """A delta before the snapshot cannot be held, but the new connection has said something."""
        splice: Splice[str] = Splice(COUNTED)
        splice.listen()
        assert splice.silent
        splice.passed_over()
        assert not splice.silent

    def test_counted_anew_on_each_connection(self) -> None:
        """The same number, and another message: nothing is concluded."""
        splice: Splice[str] = Splice(COUNTED)
        for number in range(1, 6):
            splice.said(message(f"old {number}", number))
        splice.hold(message("new 1", 1))
        assert (joined(splice), splice.is_behind) == (None, False)
        assert splice.beyond() == []

    def test_the_same_bytes_with_other_numbers(self) -> None:
        """A price that stands still: each is a message of its own."""
        splice: Splice[str] = Splice(COUNTED)
        splice.said(message("x", 1))
        splice.said(message("x", 2))
        splice.hold(message("x", 2))
        assert joined(splice) == ""

    def test_without_a_number(self) -> None:
        """Of a topic that has them."""
        splice = spliced("1", "", COUNTED, numbers=True)
        splice.hold(message("?"))
        assert (joined(splice), splice.beyond()) == (None, [])


class ResumedTests:
    """Both began at one point, to which the new one was resumed."""

    def begun(self, old: str, new: str, *, resumed: bool = True) -> Splice[str]:
        splice: Splice[str] = Splice(None, together=True)
        for word in old.split():
            splice.said(message(word))
        for word in new.split():
            splice.hold(message(word), resumed=resumed)
        return splice

    def test_the_old_one_said_nothing(self) -> None:
        """What the new one brings goes on from there."""
        assert joined(self.begun("", "a b")) == "a b"
        assert joined(self.begun("", "a b", resumed=False)) is None

    def test_the_same_again_and_again(self) -> None:
        """Where the bytes alone would fit in several places, the count tells."""
        assert joined(self.begun("ok ok", "ok ok ok")) == "ok"
        assert joined(self.begun("ok ok", "ok ok ok", resumed=False)) is None
        splice = self.begun("ok ok ok", "ok")
        assert (joined(splice), splice.is_behind) == (None, True)

    def test_streams_that_differ(self) -> None:
        """They did not begin at one point after all: the bytes count."""
        assert joined(self.begun("a b c", "b c d")) == "d"
        assert joined(self.begun("a b c", "x y")) is None

    def test_something_was_missed(self) -> None:
        """By either of them: then only the bytes count."""
        splice = self.begun("ok", "")
        splice.broke()
        splice.hold(message("x"), resumed=True)
        assert joined(splice) is None
        splice = self.begun("", "x")
        splice.release()
        splice.hold(message("y"), resumed=True)
        assert joined(splice) is None

    def test_more_than_is_remembered(self) -> None:
        """The count goes on; what was let go unsaid cannot be published any more."""
        words = " ".join(f"w{number % 3}" for number in range(WINDOW_MOST + 9))
        assert joined(self.begun(words, words)) == ""
        assert joined(self.begun("w0", words)) is None
