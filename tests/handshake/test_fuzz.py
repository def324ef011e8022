"""A slice of the mutated heads that `make handshake` tries for twenty minutes, and whether the oracles see anything."""

from __future__ import annotations

import random

import pytest

from tests.handshake.fuzz import Broken, Tally, check, mutate, run
from tests.handshake.oracles import by_h11, by_twisted

SLICE_S = 5.0


class FuzzTests:
    """What is accepted means the same to everybody."""

    def test_mutated_heads(self) -> None:
        """Five seconds of them, with another seed each time; a fault names head and seed."""
        tally = run(SLICE_S, random.SystemRandom().randrange(1 << 32))
        assert tally.heads >= 1000
        assert tally.accepted >= tally.heads // 50
        assert len(tally.answers) >= 15

    def test_a_run_can_be_repeated(self) -> None:
        """One seed, one row of heads."""
        rows = [[mutate(rng) for _ in range(50)] for rng in (random.Random(7), random.Random(7))]
        assert rows[0] == rows[1]

    @pytest.mark.parametrize(
        "head",
        [
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nB : c\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nB\x00: c\r\n\r\n",
        ],
    )
    def test_the_oracles_are_awake(self, head: bytes) -> None:
        """At least one of them refuses what is wrong, so that accepting it would be found."""
        assert by_h11(head) is None or by_twisted(head) is None

    def test_a_request_with_a_body(self) -> None:
        """The oracles get the body with the head, since twisted.web says nothing before."""
        tally = Tally()
        check(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:80\r\nExpect: 100-continue\r\n\r\n", tally, random.Random(1)
        )
        assert tally.answers == {"plain": 1}

    def test_a_fault_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An oracle that reads something else breaks the run."""
        monkeypatch.setattr("tests.handshake.fuzz.by_twisted", lambda head: None)
        with pytest.raises(Broken, match=r"twisted\.web refuses it"):
            check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Tally(), random.Random(1))
