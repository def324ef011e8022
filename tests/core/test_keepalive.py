from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relayd.core.counters import ListenerCounters
from relayd.core.keepalive import (
    ANSWER_WITHIN_S,
    BUCKETS,
    GROUP,
    INTERVAL_S,
    PINGS_PER_STEP,
    PONG_BYTES,
    QUIET_STEP_S,
    STALL_COUNTS_S,
    STEP_S,
    Beat,
    PingSweep,
    Pulse,
)


def pong_frame(payload: bytes, mask: bytes = b"\x01\x02\x03\x04", first: int = 0x8A) -> bytes:
    """A client's frame, masked (RFC 6455 5.3)."""
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes((first, 0x80 | len(payload))) + mask + masked


class Bench:
    """A sweep and its time, advanced step by step; `start` is any monotonic reading."""

    def __init__(self, start: float = 1000.0) -> None:
        self.counters = ListenerCounters()
        self.start = start
        self.steps = 0
        self.sweep: PingSweep[str] = PingSweep(self.counters, start)

    @property
    def now(self) -> float:
        return self.start + self.steps * STEP_S

    def step(self) -> Beat[str]:
        self.steps += 1
        return self.sweep.tick(self.now)

    def run(self, seconds: float) -> tuple[list[tuple[float, str, bytes]], list[tuple[float, str]]]:
        """All pings (when, who, payload) and all deaths (when, who) of the time that passes."""
        pings, deaths = [], []
        for _ in range(round(seconds / STEP_S)):
            beat = self.step()
            pings += [(self.now - self.start, who, beat.payload) for who in (*beat.ping, *beat.again)]
            deaths += [(self.now - self.start, who) for who in beat.dead]
        return pings, deaths


class PingTests:
    """When members are pinged."""

    def test_each_member_once_an_interval(self) -> None:
        """Members that answer get one ping in each 25 s, at the same place in the revolution."""
        bench = Bench()
        pulses = {name: bench.sweep.join(name) for name in "abc"}
        seen: list[tuple[float, str]] = []
        for _ in range(BUCKETS * 2):
            beat = bench.step()
            for who in beat.ping:
                seen.append((round(bench.now - bench.start, 3), who))
                bench.sweep.pong(pulses[who], beat.payload, bench.now)
        assert Counter(who for _, who in seen) == {"a": 2, "b": 2, "c": 2}
        first, second = seen[:3], seen[3:]
        assert [(round(at + INTERVAL_S, 3), who) for at, who in first] == second
        assert bench.counters.pings == 6
        assert bench.counters.pongs == 6

    def test_a_crowd_is_spread(self) -> None:
        """10,000 members that join at one instant are pinged some 100 at a step, not all at once."""
        bench = Bench()
        for number in range(10_000):
            bench.sweep.join(str(number))
        sizes = [len(bench.step().ping) for _ in range(BUCKETS)]
        assert sum(sizes) == 10_000 and all(abs(size - 100) <= GROUP for size in sizes)

    def test_few_are_asked_together(self) -> None:
        """A group in one step, which is one volley, and not a few at each."""
        bench = Bench()
        for number in range(20 * GROUP):
            bench.sweep.join(str(number))
        sizes = [len(bench.step().ping) for _ in range(BUCKETS)]
        assert Counter(sizes) == {GROUP: 20, 0: BUCKETS - 20}

    def test_never_more_than_the_cap(self) -> None:
        """30,000 members are more than 250 a step; each is still pinged once before any is pinged twice."""
        bench = Bench()
        pulses = {str(number): bench.sweep.join(str(number)) for number in range(30_000)}
        seen: Counter[str] = Counter()
        for _ in range(120):
            beat = bench.step()
            assert len(beat.ping) <= PINGS_PER_STEP
            seen.update(beat.ping)
            for who in beat.ping:
                bench.sweep.heard(pulses[who])
        assert len(seen) == 30_000
        assert set(seen.values()) == {1}

    def test_a_backlog_is_not_kept(self) -> None:
        """After a time with too many members the rest are not pinged faster than once an interval for long."""
        bench = Bench()
        pulses = [bench.sweep.join(str(number)) for number in range(60_000)]
        for _ in range(BUCKETS * 3):  # a backlog of nearly two revolutions arises
            for who in bench.step().ping:
                bench.sweep.heard(pulses[int(who)])
        stay = pulses[: GROUP * BUCKETS : GROUP]  # one a bucket
        for pulse in set(pulses) - set(stay):
            bench.sweep.leave(pulse)
        bench.run(1.0)
        for pulse in stay:
            bench.sweep.heard(pulse)
        seen = Counter(who for _, who, _ in bench.run(ANSWER_WITHIN_S - 2)[0])
        assert len(seen) == round((ANSWER_WITHIN_S - 2) / STEP_S)
        assert set(seen.values()) == {1}

    def test_one_payload_a_step(self) -> None:
        """All pings of a step share four bytes, so that their frame is made once; the next step has others."""
        bench = Bench()
        beats = [bench.step() for _ in range(3)]
        assert len({beat.payload for beat in beats}) == 3
        assert {len(beat.payload) for beat in beats} == {4}


class QuietTests:
    """Steps that need not be taken."""

    @pytest.mark.parametrize("silent", [0, 1, GROUP])
    def test_there_is_nothing_to_do_in_them(self, silent: int) -> None:
        """They are nearly all where members are few: one a group and revolution is not, and who does not answer."""
        bench = Bench()
        pulses = {str(number): bench.sweep.join(str(number)) for number in range(3 * GROUP)}
        steps = 0
        for _ in range(4 * BUCKETS):
            quiet = bench.sweep.is_quiet
            beat = bench.step()
            steps += not quiet
            assert quiet == (not beat.ping and not beat.again and not beat.dead)
            for who in (*beat.ping, *beat.again):
                if int(who) >= silent:
                    bench.sweep.heard(pulses[who])
            for who in beat.dead:
                bench.sweep.leave(pulses[who])
        assert steps == 12 + (2 if silent else 0) - (3 if silent == GROUP else 0)

    def test_with_every_second_one(self) -> None:
        """While it is quiet; pings, their repeats and deaths come when they would."""
        bench, hurried = Bench(), Bench()
        for made in (bench, hurried):
            for number in range(2 * GROUP):
                made.sweep.join(str(number))
        pings: list[tuple[float, str]] = []
        deaths: list[tuple[float, str]] = []
        while bench.steps < 4 * BUCKETS:
            bench.steps += round(QUIET_STEP_S / STEP_S) - 1 if bench.sweep.is_quiet else 0
            beat = bench.step()
            pings += [(bench.now - bench.start, who) for who in (*beat.ping, *beat.again)]
            deaths += [(bench.now - bench.start, who) for who in beat.dead]
        all_pings, all_deaths = hurried.run(BUCKETS * STEP_S * 4)
        assert pings == [(at, who) for at, who, _ in all_pings] and pings
        assert deaths == all_deaths and deaths

    def test_who_joins_meanwhile(self) -> None:
        """Is asked a step later, if it joins the one that is left out."""
        bench = Bench()
        assert bench.sweep.is_quiet
        for _ in range(BUCKETS - 1):
            bench.step()
        for number in range(BUCKETS * GROUP):
            bench.sweep.join(str(number))
        bench.steps += 1
        assert len(bench.step().ping) == 2 * GROUP

    def test_a_step_that_is_full(self) -> None:
        """Who is left over from it is asked in the next."""
        bench = Bench()
        for number in range(BUCKETS * (PINGS_PER_STEP + GROUP)):
            bench.sweep.join(str(number))
        for pulses in bench.sweep._buckets[1:]:
            for pulse in list(pulses):
                bench.sweep.leave(pulse)
        bench.step()
        assert not bench.sweep.is_quiet
        bench.step()
        assert bench.sweep.is_quiet


class AnswerTests:
    """What silence and answers do."""

    def test_silence_ends_in_death(self) -> None:
        """Ping, repeat 10 s later, dead another 10 s later, exactly once."""
        bench = Bench()
        bench.sweep.join("a")
        pings, deaths = bench.run(34)
        (first, _, _), (repeat, _, _) = pings[:2]
        assert round(repeat - first, 3) == ANSWER_WITHIN_S
        assert [who for _, who in deaths] == ["a"]
        assert round(deaths[0][0] - repeat, 3) == ANSWER_WITHIN_S
        assert (bench.counters.pings, bench.counters.pings_repeated) == (1, 1)

    def test_worst_case_is_fifty_seconds(self) -> None:
        """A member that falls silent right after its answer is dead 50 s later at the latest, in a full process too."""
        bench = Bench()
        for number in range(24_999):
            bench.sweep.join(f"silent {number}")
        pulse = bench.sweep.join("a")
        while "a" not in (beat := bench.step()).ping:
            pass
        bench.sweep.pong(pulse, beat.payload, bench.now)
        silent_since = bench.now
        while "a" not in bench.step().dead:
            assert bench.now - silent_since <= 50
        assert bench.now - silent_since > 40

    def test_any_frame_is_an_answer(self) -> None:
        """A member that sends anything after a ping is alive; nothing is repeated."""
        bench = Bench()
        pulse = bench.sweep.join("a")
        while not bench.step().ping:
            pass
        bench.sweep.heard(pulse)
        pings, deaths = bench.run(20)
        assert not deaths
        assert bench.counters.pings_repeated == 0
        assert bench.counters.pongs == 0
        assert len(pings) <= 1

    def test_answer_to_the_repeat(self) -> None:
        """The repeated ping gives a second chance and its own round-trip time."""
        bench = Bench()
        pulse = bench.sweep.join("a")
        beats = []
        while len(beats) < 2:
            beat = bench.step()
            if beat.ping or beat.again:
                beats.append((bench.now, beat))
        bench.sweep.pong(pulse, beats[1][1].payload, bench.now + 0.2)
        assert not bench.run(ANSWER_WITHIN_S)[1]
        assert round(bench.counters.rtt.sum_s, 6) == 0.2

    def test_round_trip_time(self) -> None:
        """The pong that carries the ping's bytes is timed, on the caller's clock."""
        bench = Bench()
        pulse = bench.sweep.join("a")
        while not (beat := bench.step()).ping:
            pass
        bench.sweep.pong(pulse, beat.payload, bench.now + 0.03)
        assert bench.counters.rtt.count == 1
        assert round(bench.counters.rtt.sum_s, 6) == 0.03

    def test_unasked_pongs_are_not_timed(self) -> None:
        """A pong nobody asked for, or with other bytes, says only that the client lives."""
        bench = Bench()
        pulse = bench.sweep.join("a")
        bench.sweep.pong(pulse, b"\0\0\0\0", bench.now)
        while not bench.step().ping:
            pass
        bench.sweep.pong(pulse, b"nonsense", bench.now)
        assert bench.counters.rtt.count == 0
        assert not bench.run(20)[1]


class PortionTests:
    """A pong as it comes from the socket."""

    def asked(self) -> tuple[Bench, Pulse[str], bytes]:
        bench = Bench()
        pulse = bench.sweep.join("a")
        while not (beat := bench.step()).ping:
            pass
        return bench, pulse, beat.payload

    @given(mask=st.binary(min_size=4, max_size=4))
    def test_the_answer(self, mask: bytes) -> None:
        """Under any mask; it is timed, and stops the wait."""
        bench, pulse, payload = self.asked()
        assert bench.sweep.answered(pulse, pong_frame(payload, mask), bench.now + 0.03)
        assert (bench.counters.pongs, bench.counters.rtt.count) == (1, 1)
        assert pulse.rtt_s is not None and round(pulse.rtt_s, 6) == 0.03
        assert not bench.run(20)[1]
        assert bench.counters.pings_repeated == 0

    def test_once(self) -> None:
        """What nobody asked for is left to others: the second of two, one before the first ping, one after the end."""
        bench, pulse, payload = self.asked()
        assert bench.sweep.answered(pulse, pong_frame(payload), bench.now)
        assert not bench.sweep.answered(pulse, pong_frame(payload), bench.now)
        assert not bench.sweep.answered(bench.sweep.join("b"), pong_frame(bytes(4)), bench.now)
        bench, pulse, payload = self.asked()
        bench.sweep.leave(pulse)
        assert not bench.sweep.answered(pulse, pong_frame(payload), bench.now)

    @pytest.mark.parametrize(
        "other",
        [
            lambda payload: pong_frame(payload)[:-1],
            lambda payload: pong_frame(payload) + b"\x8a",
            lambda payload: pong_frame(payload + b"!"),
            lambda payload: pong_frame(payload[:3] + b"!"),
            lambda payload: pong_frame(payload, first=0x89),
            lambda payload: pong_frame(payload, first=0x0A),
            lambda payload: pong_frame(payload, first=0xCA),
            lambda payload: b"\x8a\x04" + payload + bytes(4),
            lambda payload: b"\x8a\x88" + bytes(4) + payload,
        ],
        ids=["part", "more behind", "longer", "other bytes", "ping", "not final", "reserved bit", "unmasked", "length"],
    )
    def test_everything_else_is_left_to_others(self, other: Callable[[bytes], bytes]) -> None:
        """And changes nothing."""
        bench, pulse, payload = self.asked()
        token = pulse.token
        assert not bench.sweep.answered(pulse, other(payload), bench.now)
        assert (pulse.token, bench.counters.pongs) == (token, 0)

    def test_its_length(self) -> None:
        """Is that of a frame that a browser sends back."""
        assert len(pong_frame(bytes(4))) == PONG_BYTES


class LeaveTests:
    """Members that go."""

    def test_who_left_is_not_pinged(self) -> None:
        """Also when it leaves while its answer is awaited, or twice."""
        bench = Bench()
        pulses = [bench.sweep.join(name) for name in "ab"]
        while not bench.step().ping:
            pass
        for pulse in [*pulses, *pulses]:
            bench.sweep.leave(pulse)
        assert bench.run(60) == ([], [])

    def test_who_leaves_during_a_step_that_is_full(self) -> None:
        """The rest of a bucket that waits for the next step may shrink meanwhile."""
        bench = Bench()
        pulses = [bench.sweep.join(str(number)) for number in range(BUCKETS * (PINGS_PER_STEP + GROUP))]
        asked = set(bench.step().ping)
        for pulse in pulses:
            bench.sweep.leave(pulse)
        assert len(asked) == PINGS_PER_STEP
        assert bench.run(60) == ([], [])


class TimeTests:
    """Clocks that jump and processes that stall."""

    def test_a_stall_kills_nobody(self) -> None:
        """A pause of an hour between two ticks counts as a second: the pongs wait unread in the kernel."""
        bench = Bench()
        pulse = bench.sweep.join("a")
        while not (beat := bench.step()).ping:
            pass
        bench.start += 3600
        after = bench.step()
        assert after.dead == []
        bench.sweep.pong(pulse, beat.payload, bench.now)
        assert not bench.run(20)[1]

    def test_a_stall_counts_as_a_second(self) -> None:
        """Four buckets are due after a pause, not the whole revolution."""
        bench = Bench()
        for number in range(GROUP * BUCKETS):
            bench.sweep.join(str(number))
        bench.start += 100
        assert len(bench.step().ping) == GROUP * round(STALL_COUNTS_S / STEP_S)

    def test_a_clock_that_goes_back(self) -> None:
        """Time that goes backwards moves nothing."""
        bench = Bench()
        bench.sweep.join("a")
        bench.start -= 3600
        assert bench.step() == Beat((1).to_bytes(4, "big"), [], [], [])
        assert len(bench.run(INTERVAL_S)[0]) >= 1


class SweepMachine(RuleBasedStateMachine):
    """Random joins, leaves, answers and time: nobody dies who answered, nobody silent lives on."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.pulses: dict[str, Pulse[str]] = {}
        self.silent_since: dict[str, float] = {}
        self.asked: dict[str, bytes] = {}
        self.names = 0

    @rule(count=st.integers(1, 20))
    def join(self, count: int) -> None:
        for _ in range(count):
            self.names += 1
            name = str(self.names)
            self.pulses[name] = self.bench.sweep.join(name)
            self.silent_since[name] = self.bench.now

    @precondition(lambda self: self.pulses)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.pulses)))
        self.forget(name)

    def forget(self, name: str) -> None:
        self.bench.sweep.leave(self.pulses.pop(name))
        del self.silent_since[name]
        self.asked.pop(name, None)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), how=st.sampled_from(["frame", "portion", "pong"]))
    def answer(self, data: st.DataObject, how: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.asked)))
        payload = self.asked.pop(name)
        if how == "frame":
            self.bench.sweep.heard(self.pulses[name])
        elif how == "portion":
            owed = self.pulses[name].token != 0
            assert self.bench.sweep.answered(self.pulses[name], pong_frame(payload), self.bench.now) == owed
        else:
            self.bench.sweep.pong(self.pulses[name], payload, self.bench.now)
        self.silent_since[name] = self.bench.now

    @rule(steps=st.integers(1, 120))
    def time_passes(self, steps: int) -> None:
        for _ in range(steps):
            beat = self.bench.step()
            asked = [*beat.ping, *beat.again]
            assert len(asked) == len(set(asked))
            assert all(name in self.asked for name in beat.again), "asked again without having been asked"
            for name in asked:
                self.asked[name] = beat.payload
            for name in beat.dead:
                assert name in self.asked, "dead without having been asked"
                assert self.bench.now - self.silent_since[name] >= 2 * ANSWER_WITHIN_S - 1e-6
                self.forget(name)

    @invariant()
    def nobody_is_silent_for_ever(self) -> None:
        assert all(self.bench.now - since <= 50 + 1e-6 for since in self.silent_since.values())


SweepMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
SweepMachineTests = SweepMachine.TestCase
