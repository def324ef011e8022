"""Tests of relayd.core.upstream.overlap: two ledgers, both ends of an overlap, and what a hub hears of it."""

from __future__ import annotations

from relayd.core.feed.outcome import Data
from relayd.core.feed.path import parse_path
from relayd.core.feed.sequence import Sequence
from relayd.core.publication import TopicState
from relayd.core.upstream.outlet import Outlet
from relayd.core.upstream.overlap import Overlap
from relayd.core.upstream.topics import TopicLedger
from tests.support.upstream import WritingHub

COUNTED = Sequence(at=parse_path("n"), step=1)


class Side:
    """One connection: its ledger, and its way out."""

    def __init__(self, hub: WritingHub, *, unasked: bool) -> None:
        self.outlet: Outlet[str] = Outlet(hub)
        self.topics: TopicLedger[str] = TopicLedger(
            self.outlet, within_s=lambda fields: None, failed_again_s=300.0, unasked=unasked
        )

    def want(self, *topics: str) -> None:
        for topic in topics:
            self.topics.want(topic, {"name": topic})

    def ask(self) -> None:
        self.topics.take_wants(0.0)

    def says(self, topic: str, word: str, *, snapshot: bool = False) -> None:
        data = Data((topic,), word.encode(), True, snapshot=snapshot, seq=int(word) if word.isdigit() else None)
        self.topics.data(topic)
        if self.outlet.heard is None:
            self.outlet.publish(topic, data.payload, True, snapshot)
        else:
            self.outlet.heard(topic, data)


class OverlapCase:
    """`begin`, then `old` and `new` speak."""

    def begin(self, *topics: str, unasked: bool = False, asked: bool = True, talks: bool = True) -> None:
        self.hub = WritingHub()
        self.woken = 0
        self.old, self.new = Side(self.hub, unasked=unasked), Side(self.hub, unasked=unasked)
        self.old.want(*topics)
        self.old.ask()
        for topic in topics if talks else ():
            self.old.says(topic, "0")
        self.overlap: Overlap[str] = Overlap(
            self.hub,
            self.old.topics,
            self.new.topics,
            sequence_of=lambda fields: COUNTED if fields.get("name") == "counted" else None,
            is_delta=lambda fields: fields.get("name") == "book",
            wake=self._wake,
        )
        self.old.outlet.turn(self.overlap.outgoing)
        self.new.outlet.turn(self.overlap.incoming)
        self.new.want(*topics)
        if asked:
            self.new.ask()
        self.hub.read()

    def _wake(self) -> None:
        self.woken += 1


class MovingTests(OverlapCase):
    """Topics that move without a loss."""

    def test_at_the_same_message(self) -> None:
        """Once on both; from there on the new one speaks, and the old one no more."""
        self.begin("a")
        self.old.says("a", "x")
        self.new.says("a", "x")
        assert (self.overlap.left, self.overlap.counts, self.woken) == ({}, [1, 0], 1)
        self.old.says("a", "y")
        self.new.says("a", "y")
        assert self.hub.read() == ["a=x", "a=y"]

    def test_what_is_json(self) -> None:
        """The hub hears of it."""
        self.begin("a")
        assert self.old.outlet.heard is not None
        self.old.outlet.heard("a", Data(("a",), b"1", True, is_json=True))
        assert self.hub.read() == ["a=1 json"]

    def test_ahead(self) -> None:
        """What the new one has more is held until the old one comes to it."""
        self.begin("a")
        self.new.says("a", "y")
        self.new.says("a", "z")
        assert self.hub.read() == []
        self.old.says("a", "x")
        self.old.says("a", "y")
        assert self.hub.read() == ["a=x", "a=y", "a=z"]

    def test_by_number(self) -> None:
        """The next number."""
        self.begin("counted")
        self.new.says("counted", "1")
        self.old.says("counted", "1")
        assert self.hub.read() == ["counted=1"]

    def test_at_the_snapshot(self) -> None:
        """Where deltas follow one: those that come before it are nothing."""
        self.begin("book")
        self.new.says("book", "delta")
        self.old.says("book", "delta")
        self.new.says("book", "all", snapshot=True)
        self.old.says("book", "late")
        self.new.says("book", "next")
        assert self.hub.read() == ["book=delta", "book#all", "book=next"]

    def test_one_by_one(self) -> None:
        """The others stay where they are."""
        self.begin("a", "b")
        self.old.says("a", "x")
        self.new.says("a", "x")
        assert (list(self.overlap.left), self.woken) == (["b"], 0)
        self.old.says("b", "x")
        assert self.hub.read() == ["a=x", "b=x"]

    def test_without_data_so_far(self) -> None:
        """It is with whoever speaks first."""
        self.begin("a", "b", talks=False)
        assert self.overlap.left == {}
        self.old.says("a", "x")
        assert list(self.overlap.left) == ["a"]
        self.new.says("a", "x")
        self.new.says("b", "y")
        self.old.says("b", "y")
        assert self.hub.read() == ["a=x", "b live", "b=y"]

    def test_wanted_while_it_lasts(self) -> None:
        """The old one may serve it too."""
        self.begin("a")
        self.old.want("b")
        self.new.want("b")
        self.old.ask()
        self.old.says("b", "x")
        assert "b" in self.overlap.left
        self.new.ask()
        self.new.says("b", "x")
        assert "b" not in self.overlap.left
        assert self.hub.read() == ["b pending", "b=x"]

    def test_pushed_unasked(self) -> None:
        """Topics that nobody asked for, old ones and new ones."""
        self.begin("a", unasked=True)
        self.new.says("a", "x")
        self.old.says("a", "x")
        self.old.says("b", "x")
        self.new.says("c", "x")
        self.old.says("c", "x")
        assert self.hub.read() == ["a=x", "b=x", "c live", "c=x"]
        assert list(self.overlap.left) == ["b"]


class StateTests(OverlapCase):
    """What else the two connections say."""

    def test_states(self) -> None:
        """Of a topic that has not moved the old one tells, but not of its own end; then the new one does."""
        self.begin("a")
        end = self.overlap
        end.incoming.state("a", TopicState.FAILED, "no")
        end.outgoing.state("a", TopicState.RECONNECTING)
        end.outgoing.state("a", TopicState.FAILED, "revoked")
        assert self.hub.read() == ["a failed: revoked"]
        self.old.says("a", "x")
        self.new.says("a", "x")
        self.hub.read()
        end.outgoing.state("a", TopicState.PENDING)
        end.incoming.state("a", TopicState.FAILED, "no")
        assert self.hub.read() == ["a failed: no"]

    def test_gaps(self) -> None:
        """The old one's are told; the new one's only begin its stream anew, until it has moved."""
        self.begin("a")
        self.new.says("a", "z")
        self.overlap.incoming.gap("a", 1, "upstream")
        self.old.says("a", "x")
        self.overlap.outgoing.gap("a", 2, "upstream")
        self.new.says("a", "x")
        assert self.hub.read() == ["a=x", "a gap 2 upstream"]
        self.old.says("a", "x")
        self.overlap.incoming.gap("a", 3, "upstream")
        self.overlap.outgoing.gap("a", 4, "upstream")
        assert self.hub.read() == ["a=x", "a gap 3 upstream"]

    def test_a_gap_that_was_due(self) -> None:
        """The topic had no data since the old connection's own beginning: the new one's first data is marked."""
        self.begin("a")
        self.old.topics.lost()
        self.old.ask()
        fresh = Side(self.hub, unasked=False)
        fresh.want("a")
        overlap = Overlap(self.hub, self.old.topics, fresh.topics, sequence_of=lambda fields: None,
                          is_delta=lambda fields: False, wake=self._wake)  # fmt: skip
        overlap.inherit()
        fresh.ask()
        self.hub.read()
        fresh.says("a", "x")
        assert self.hub.read() == ["a gap ? upstream", "a live", "a=x"]

    def test_forgotten(self) -> None:
        """By the new one: that counts. By the old one: only what the new one never had."""
        self.begin("a")
        self.overlap.outgoing.forget("a")
        assert self.hub.read() == []
        self.overlap.incoming.forget("a")
        assert (self.hub.read(), self.overlap.left) == (["a forgotten"], {})
        self.overlap.outgoing.forget("b")
        assert self.hub.read() == ["b forgotten"]

    def test_unwanted(self) -> None:
        """What the old one says of a topic that it is about to give up is nothing."""
        self.begin("a")
        self.old.topics.unwant("a")
        self.overlap.incoming.forget("a")
        self.hub.read()
        self.old.says("a", "x")
        assert self.hub.read() == []


class EndTests(OverlapCase):
    """How it ends where topics are left."""

    def test_silence(self) -> None:
        """Neither has said anything: nothing was missed. It counts as having data, should the new one be lost."""
        self.begin("a")
        assert self.overlap.conclude() == []
        assert (self.hub.read(), self.overlap.counts) == ([], [1, 0])
        self.new.topics.lost()
        assert self.hub.read() == ["a reconnecting"]
        self.new.ask()
        self.new.says("a", "x")
        assert self.hub.read() == ["a gap ? upstream", "a live", "a=x"]

    def test_silence_for_long_enough(self) -> None:
        """The old one spoke when the new one had not asked yet, perhaps: it would have come by now."""
        self.begin("a")
        self.old.says("a", "x")
        self.overlap.listen()
        self.overlap.conclude()
        assert self.hub.read() == ["a=x"]

    def test_streams_that_do_not_meet(self) -> None:
        """A mark; what was held may have been said already."""
        self.begin("a")
        self.old.says("a", "x")
        self.new.says("a", "[7] x")
        assert self.overlap.conclude() == []
        self.new.says("a", "[7] y")
        assert self.hub.read() == ["a=x", "a gap ? upstream", "a=[7] y"]
        assert self.overlap.counts == [0, 1]

    def test_numbers_beyond(self) -> None:
        """What has a greater number was not said: it follows the mark."""
        self.begin("counted")
        self.old.says("counted", "5")
        self.new.says("counted", "7")
        self.new.says("counted", "8")
        self.overlap.conclude()
        assert self.hub.read() == ["counted=5", "counted gap ? upstream", "counted=7", "counted=8"]

    def test_a_book_without_a_snapshot(self) -> None:
        """A mark, and one is to be asked for."""
        self.begin("book")
        self.old.says("book", "delta")
        assert self.overlap.conclude() == ["book"]
        assert self.hub.read() == ["book=delta", "book gap ? upstream"]

    def test_refused_on_the_new_one(self) -> None:
        """Its readers hear why."""
        self.begin("a")
        self.new.topics.failed(["a"], "no such thing", 0.0)
        assert self.hub.read() == []
        self.overlap.conclude()
        assert self.hub.read() == ["a failed: no such thing"]

    def test_the_old_one_is_lost_too_early(self) -> None:
        """The new one has not asked yet: an ordinary loss."""
        self.begin("a", asked=False)
        self.overlap.old_lost(ready=True)
        assert (self.hub.read(), self.overlap.left) == (["a reconnecting"], {})
        self.new.ask()
        self.new.says("a", "x")
        assert self.hub.read() == ["a gap ? upstream", "a live", "a=x"]
        self.overlap.old_lost(ready=True)

    def test_the_old_one_is_lost_before_the_new_one_is_answered(self) -> None:
        """It was asked: what it brings may well stand before the loss, and is not said again. A refusal is told at
        once, since nobody else will bring the topic."""
        self.begin("a", "b", "c")
        self.old.says("a", "x")
        self.old.says("b", "1")
        assert self.hub.read() == ["a=x", "b=1"]
        self.overlap.old_lost(ready=True)
        assert self.hub.read() == []
        self.new.says("a", "x")
        self.new.says("a", "y")
        self.new.says("b", "9")
        assert self.hub.read() == ["a=y", "b gap ? upstream", "b=9"]
        self.new.topics.failed(["c"], "no such thing", 0.0)
        assert (self.hub.read(), self.overlap.left) == (["c failed: no such thing"], {})

    def test_the_old_one_is_lost_while_the_new_one_dials(self) -> None:
        """Also where nothing need be asked for."""
        self.begin("a", unasked=True)
        self.overlap.old_lost(ready=False)
        assert self.hub.read() == ["a reconnecting"]
        self.new.says("a", "x")
        assert self.hub.read() == ["a gap ? upstream", "a live", "a=x"]

    def test_the_old_one_is_lost_and_the_new_one_goes_on(self) -> None:
        """What it brings fits, or is marked; one behind is waited for."""
        self.begin("counted", "a", "b", "c")
        self.new.topics.acked(["counted", "a", "b", "c"])
        for word in ("1", "2"):
            self.old.says("counted", word)
            self.old.says("a", word)
        self.new.says("a", "1")
        self.new.says("b", "9")
        self.overlap.old_lost(ready=True)
        assert self.hub.read() == ["counted=1", "a=1", "counted=2", "a=2", "b gap ? upstream", "b=9"]
        self.new.says("counted", "3")
        self.new.says("a", "2")
        self.new.says("a", "3")
        assert self.hub.read() == ["counted=3", "a=3"]
        assert list(self.overlap.left) == ["c"]
        self.overlap.conclude()
        assert self.hub.read() == ["c gap ? upstream"]

    def test_what_nobody_wants_for_the_moment(self) -> None:
        """It comes all the same, and must not come twice for who wants it again."""
        self.begin("a")
        self.old.says("a", "x")
        self.new.topics.unwant("a")
        self.overlap.old_lost(ready=True)
        self.new.says("a", "x")
        self.new.says("a", "y")
        assert self.hub.read() == ["a=x", "a=y"]

    def test_a_book_is_lost_with_the_old_one(self) -> None:
        """Until the new one's snapshot comes; a delta that came before it is no help."""
        self.begin("book")
        self.new.says("book", "delta")
        self.overlap.old_lost(ready=True)
        assert self.hub.read() == ["book reconnecting"]
        self.new.says("book", "all", snapshot=True)
        assert self.hub.read() == ["book gap ? upstream", "book live", "book#all"]

    def test_the_new_one_is_lost(self) -> None:
        """What it brought of the topics that are left is of no use on its next connection."""
        self.begin("a")
        self.new.says("a", "z")
        self.overlap.new_lost()
        self.old.says("a", "x")
        self.new.says("a", "x")
        assert self.hub.read() == ["a=x"]


class ResumedTests(OverlapCase):
    """The new connection goes on from a point."""

    def test_the_old_one_is_lost_before_it_speaks(self) -> None:
        """Nothing is marked if it follows; who is not asked for yet hears that it is away, and a book is begun anew."""
        self.begin("a", "b", "book")
        self.new.want("a", "b", "book")
        self.new.ask()
        self.new.topics.acked(["a"])
        self.hub.read()
        self.overlap.old_lost(ready=True, resumes=True)
        assert (self.hub.read(), self.overlap.left) == (["b reconnecting", "book reconnecting"], {})
        assert (self.overlap.counts, self.overlap.is_heard) == ([2, 1], False)
        self.new.topics.data("a", follows=True)
        self.new.topics.data("b", follows=True)
        self.new.topics.data("book", follows=True)
        assert self.hub.read() == ["a live", "b live", "book gap ? upstream", "book live"]

    def test_it_cannot_go_back(self) -> None:
        """The mark."""
        self.begin("a")
        self.new.want("a")
        self.new.ask()
        self.new.topics.acked(["a"])
        self.hub.read()
        self.overlap.old_lost(ready=True, resumes=True)
        self.new.says("a", "x")
        assert self.hub.read() == ["a gap ? upstream", "a live", "a=x"]

    def test_what_has_moved_is_lost_on_both(self) -> None:
        """The new one is lost, then the old one: no point of the new one tells what is missing of it."""
        self.begin("a")
        self.new.want("a")
        self.new.ask()
        self.old.says("a", "x")
        self.new.says("a", "x")
        assert (self.overlap.left, self.overlap.is_heard) == ({}, True)
        self.overlap.new_lost()
        self.new.topics.lost()
        self.overlap.old_lost(ready=False)
        self.new.ask()
        self.hub.read()
        self.new.topics.data("a", follows=True)
        assert self.hub.read() == ["a gap ? upstream", "a live"]
