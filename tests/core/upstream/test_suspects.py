"""Tests of relayd.core.upstream.suspects."""

from __future__ import annotations

from math import ceil, inf, log2

from hypothesis import given
from hypothesis import strategies as st

from relayd.core.upstream.suspects import ANSWER_S, Suspects


class SuspectsTests:
    """Halving."""

    def test_alone(self) -> None:
        """Nothing to find out."""
        suspects: Suspects[str] = Suspects()
        assert suspects.accused(["a", "b"]) == ["a", "b"]
        assert suspects.refused(["a"]) == "a"
        assert not suspects.active
        assert suspects.next_to_ask(lambda topic: True, 0.0) == ()
        assert suspects.next_deadline() == inf

    def test_a_half_at_a_time(self) -> None:
        """The second only when the first has an answer, or had its time."""
        suspects: Suspects[str] = Suspects()
        assert suspects.refused(["a", "b", "c"]) is None
        assert suspects.active
        assert suspects.next_to_ask(lambda topic: True, 0.0) == ["a"]
        assert suspects.accused(["a", "b", "c", "d"]) == ["a"]
        assert suspects.next_deadline() == ANSWER_S
        assert suspects.next_to_ask(lambda topic: True, 9.9) == ()
        assert suspects.next_to_ask(lambda topic: topic != "b", ANSWER_S) == ["c"]
        assert suspects.next_to_ask(lambda topic: False, ANSWER_S) == ()
        assert not suspects.active

    def test_halves_that_were_answered_meanwhile(self) -> None:
        """A late ack, or data: there is nothing to ask."""
        suspects: Suspects[str] = Suspects()
        suspects.refused(["a", "b", "c", "d"])
        assert suspects.next_to_ask(lambda topic: topic > "b", 0.0) == ["c", "d"]

    @given(st.integers(1, 200), st.data())
    def test_every_culprit_is_found(self, count: int, data: st.DataObject) -> None:
        """And nobody else, in a bounded number of messages."""
        bad = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=5))
        unanswered = set(range(count))
        suspects: Suspects[int] = Suspects()
        found, messages = set(), 1
        group = list(range(count))
        while group:
            if bad & set(group):
                culprit = suspects.refused(suspects.accused([topic for topic in group if topic in unanswered]))
                if culprit is not None:
                    found.add(culprit)
                    unanswered.discard(culprit)
            else:
                unanswered -= set(group)
            group = list(suspects.next_to_ask(unanswered.__contains__, 0.0))
            messages += bool(group)
        assert found == bad
        assert messages <= 1 + 2 * len(bad) * (ceil(log2(count)) if count > 1 else 0)
