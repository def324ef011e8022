"""What `make bench-ingest` measures is what it says: the same answers by every way, and a miss is a failure."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import shapes
from bench.shapes import SHAPES, Measured, Relay, Shape, frame, main, measure, opened
from relayd.config.compile_upstream import compile_upstream
from relayd.core.feed.outcome import Data

BURST = 10_000
SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=[shape.feed + str(at) for at, shape in enumerate(SHAPES)])


class FairTests:
    """The ways compared."""

    @SHAPE
    def test_what_is_done_by_hand_finds_the_same(self, shape: Shape) -> None:
        """The topic, and the slice or the numbers that relayd finds, too; relayd takes the short way to them."""
        relay, read = Relay(shape), shape.by_hand()
        relay.conversation.message(shape.say(0), True)
        quick = relay.conversation._quick
        assert quick is not None
        heard, by_hand = quick.hear(shape.say(1), True), read(shape.say(1))
        assert isinstance(heard, Data) and [topic.name for topic in heard.topics] == [shape.topic]
        found = by_hand if isinstance(by_hand, tuple) else (by_hand,)
        if len(found) == 2:
            assert found == (1, heard.payload)
        elif len(found) == 3:
            assert found[1:] == heard.seq
        else:
            assert found == (1,)

    @settings(max_examples=20, deadline=None)
    @given(st.sampled_from(SHAPES), st.lists(st.integers(0, 6), min_size=1, max_size=12))
    def test_the_short_way_says_what_the_general_way_says(self, shape: Shape, steps: list[int]) -> None:
        """With numbers that follow, repeat, or leave some out."""
        quick = Relay(shape)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shapes, "compile_upstream", lambda block: replace(compile_upstream(block), extractor=None))
            general = Relay(shape)
        assert general.conversation._quick is None
        number = 0
        for step in (0, *steps):
            number += step
            one, other = (relay.conversation.message(shape.say(number), True) for relay in (quick, general))
            assert isinstance(one, Data) and isinstance(other, Data)
            assert [topic.name for topic in one.topics] == [topic.name for topic in other.topics]
            one.topics = other.topics
            assert one == other

    def test_each_way_is_measured(self) -> None:
        """In microseconds, all above nothing; what reaches the ring is asserted in there."""
        measured = measure(1)
        assert [one.shape for one in measured] == list(SHAPES)
        for one in measured:
            assert set(one.us) == set(shapes.WAYS) and all(0 < us < 10_000 for us in one.us.values())
            assert one.us["whole"] > one.us["frame"]


class JudgeTests:
    """Targets."""

    @pytest.mark.parametrize(
        ("small_us", "large_ratio", "status"), [(1.5, 1.3, 0), (1.51, 1.3, 1), (1.5, 1.31, 1), (9, 9, 1)]
    )
    def test_a_miss_is_a_failure(
        self,
        small_us: float,
        large_ratio: float,
        status: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """And each target stands beside its figure."""

        def measured(rounds: int) -> list[Measured]:
            made = [Measured(shape) for shape in SHAPES]
            for one in made:
                fields = 10 * large_ratio if one.size_bytes >= shapes.LARGE_BYTES else small_us
                one.us.update({"whole": 100.0, "frame": 60.0, "fields": fields, "Struct": 10.0})
            return made

        monkeypatch.setattr(shapes, "measure", measured)
        assert main(["--rounds", "1"]) == status
        printed = capsys.readouterr().out
        assert printed.count("fields <= 1.5 us") == 4 and printed.count("fields <= 1.3 x Struct") == 1
        assert ("MISSED" in printed) is bool(status)


class BurstTests:
    """10,000 messages that are there at once."""

    def reads(self, shape: Shape) -> Sequence[bytes]:
        """What the socket gives, 64 KiB a read."""
        stream = b"".join(frame(shape.say(number)) for number in range(1, BURST + 1))
        return [stream[at : at + 65536] for at in range(0, len(stream), 65536)]

    @pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[3]], ids=["binance", "bitfinex"])
    def test_nothing_is_lost_and_only_the_ring_grows(self, shape: Shape) -> None:
        """Each has its offset, none is marked as missing, and what is kept afterwards is what the ring may keep."""
        relay = Relay(shape)
        protocol, owner = opened(relay.take)
        reads = self.reads(shape)
        relay.take(shape.say(0), True, time.monotonic())
        gc.collect()
        before = relay.ring.end
        tracemalloc.start()
        try:
            for read in reads:
                protocol.dataReceived(read)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert owner.failed is None and relay.ring.end - before == BURST
        assert relay.session.counters.published == BURST + 1
        assert relay.hub.counters.gaps == 0 and len(relay.ring) < BURST / 10
        # 64 KiB: the last read, which its frames are cut from, and lists that grow in steps.
        assert grown < relay.ring.bytes + 65536
