"""Whether there is room."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from relayd.core.admission import Admission, AdmissionLimits
from relayd.core.refusal import (
    DRAINING,
    TOO_MANY_CONNECTIONS,
    TOO_MANY_FROM_ADDRESS,
    TOO_MANY_HANDSHAKES,
    HttpRefusal,
)

LIMITS = AdmissionLimits(connections=3, per_address=2, handshakes=100, ramp_s=0.0)


def admission(limits: AdmissionLimits = LIMITS, random: float = 0.0) -> Admission:
    """One that started at second 0, with this for a random number."""
    return Admission(limits, started=0.0, random=lambda: random)


def admit_many(asked: Admission, count: int, now: float) -> int:
    """How many of so many handshakes from different addresses are let in at once."""
    return sum(asked.admit(f"10.0.{n >> 8}.{n & 255}", now, handshake=True) is None for n in range(count))


class RoomTests:
    """limits.connections and limits.per_address."""

    def test_connections(self) -> None:
        """Three are in; the fourth is refused until one has gone."""
        asked = admission()
        for client in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
            assert asked.admit(client, 1.0, handshake=False) is None
        assert asked.connections == 3
        assert asked.admit("10.0.0.4", 1.0, handshake=True) == TOO_MANY_CONNECTIONS.later(5)
        asked.release("10.0.0.2")
        assert asked.admit("10.0.0.4", 1.0, handshake=True) is None

    def test_per_address(self) -> None:
        """Two of one address, and no third; others are not touched."""
        asked = admission()
        assert asked.admit("10.0.0.1", 1.0, handshake=True) is None
        assert asked.admit("10.0.0.1", 1.0, handshake=True) is None
        assert asked.from_address("10.0.0.1") == 2
        assert asked.admit("10.0.0.1", 1.0, handshake=True) == TOO_MANY_FROM_ADDRESS.later(5)
        assert asked.admit("10.0.0.2", 1.0, handshake=True) is None
        asked.release("10.0.0.1")
        assert asked.admit("10.0.0.1", 1.0, handshake=True) is None
        asked.release("10.0.0.1")
        asked.release("10.0.0.1")
        assert asked.from_address("10.0.0.1") == 0

    def test_an_ipv6_address_counts_by_its_network(self) -> None:
        """A client that owns a /64 is one client."""
        asked = admission()
        assert asked.admit("2001:db8::1", 1.0, handshake=True) is None
        assert asked.admit("2001:db8::2:1", 1.0, handshake=True) is None
        refusal = asked.admit("2001:db8::3:1", 1.0, handshake=True)
        assert refusal is not None
        assert refusal.label == "per_address"
        assert asked.admit("2001:db8:0:1::1", 1.0, handshake=True) is None

    def test_who_has_no_address_is_not_counted_by_it(self) -> None:
        """A unix socket."""
        asked = admission()
        for _ in range(3):
            assert asked.admit("", 1.0, handshake=True) is None
        asked.release("")
        assert asked.connections == 2
        assert asked.from_address("") == 0

    def test_per_address_can_be_off(self) -> None:
        """The default."""
        asked = admission(replace(LIMITS, per_address=None))
        for _ in range(3):
            assert asked.admit("10.0.0.1", 1.0, handshake=True) is None
        asked.release("10.0.0.1")
        assert (asked.connections, asked.from_address("10.0.0.1")) == (2, 0)

    def test_draining(self) -> None:
        """Nobody comes in any more."""
        asked = admission()
        asked.draining = True
        assert asked.admit("10.0.0.1", 1.0, handshake=False) == DRAINING.later(1)

    def test_overloaded(self) -> None:
        """Nobody comes in until it eases; each is told when to ask again."""
        asked = admission()
        asked.overloaded = True
        refusal = asked.admit("10.0.0.1", 1.0, handshake=True)
        assert refusal is not None
        assert (refusal.status, refusal.label, refusal.retry_after_s) == (503, "overloaded", 5)
        asked.overloaded = False
        assert asked.admit("10.0.0.1", 1.0, handshake=True) is None

    def test_crowded(self) -> None:
        """More sockets than connections and the spare ones."""
        asked = admission(replace(LIMITS, spare=2))
        asked.sockets = 5
        assert not asked.is_crowded
        asked.sockets = 6
        assert asked.is_crowded


class RateTests:
    """limits.handshakes, and how it grows after the start."""

    def test_rate(self) -> None:
        """One period's handshakes at once, then as fast as they come back."""
        asked = admission(AdmissionLimits(connections=10_000, handshakes=100, ramp_s=0.0, ramp_from=1.0))
        assert admit_many(asked, 300, 10.0) == 100
        assert admit_many(asked, 300, 10.25) == 25
        assert admit_many(asked, 300, 99.0) == 100

    def test_period(self) -> None:
        """60 in a minute is one a second."""
        asked = admission(
            AdmissionLimits(connections=10_000, handshakes=60, handshakes_per_s=60.0, ramp_s=0.0, ramp_from=1.0)
        )
        assert admit_many(asked, 100, 0.0) == 60
        assert admit_many(asked, 100, 5.0) == 5

    def test_ramp(self) -> None:
        """Half of it at first, all of it after ten seconds."""
        asked = admission(AdmissionLimits(connections=10_000, handshakes=500))
        per_second = [admit_many(asked, 1000, second + 0.001) for second in range(13)]
        assert per_second[0] == 250
        assert 350 <= per_second[5] <= 400
        assert per_second[10:] == [500, 500, 500]
        assert per_second == sorted(per_second)

    def test_the_slowest_rate_still_lets_one_in(self) -> None:
        """One handshake in a period, from the first moment."""
        asked = admission(AdmissionLimits(handshakes=1, handshakes_per_s=10.0))
        assert admit_many(asked, 9, 0.0) + admit_many(asked, 9, 10.0) + admit_many(asked, 9, 60.0) >= 2

    def test_plain_requests_are_not_handshakes(self) -> None:
        """They are counted as connections only."""
        asked = admission(AdmissionLimits(handshakes=1, ramp_s=0.0))
        assert all(asked.admit("10.0.0.1", 0.0, handshake=False) is None for _ in range(50))

    def test_who_is_refused_comes_back_spread(self) -> None:
        """Retry-After takes a random number: 1 to 10 s after the rate, 5 to 30 s when the house is full."""
        limits = AdmissionLimits(connections=0, handshakes=1, ramp_s=0.0)
        assert admission(limits, 0.0).admit("", 0.0, handshake=True) == TOO_MANY_CONNECTIONS.later(5)
        assert admission(limits, 0.999).admit("", 0.0, handshake=True) == TOO_MANY_CONNECTIONS.later(30)
        for random, retry_s in ((0.0, 1), (0.999, 10)):
            asked = admission(replace(limits, connections=9), random)
            answers = [asked.admit("", 0.0, handshake=True) for _ in range(3)]
            assert answers[-1] == TOO_MANY_HANDSHAKES.later(retry_s)


class BookkeepingTests:
    """Whatever comes and goes."""

    @given(
        st.lists(
            st.tuples(
                st.booleans(), st.sampled_from(["10.0.0.1", "10.0.0.2", "::1", ""]), st.floats(0, 2), st.booleans()
            )
        )
    )
    def test_counts_come_back_to_zero(self, steps: list[tuple[bool, str, float, bool]]) -> None:
        """Never over a limit; when all have gone nothing is left."""
        asked = admission()
        inside: list[str] = []
        now = 0.0
        for arrives, client, elapsed, handshake in steps:
            now += elapsed
            if arrives:
                answer = asked.admit(client, now, handshake=handshake)
                if answer is None:
                    inside.append(client)
                else:
                    assert isinstance(answer, HttpRefusal)
                    assert answer.retry_after_s is not None
            elif inside:
                asked.release(inside.pop())
            assert asked.connections == len(inside) <= 3
            assert all(asked.from_address(one) == inside.count(one) <= 2 for one in inside if one)
        for client in inside:
            asked.release(client)
        assert asked.connections == 0
        assert asked._by_address == {}
