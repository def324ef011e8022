"""What one connection reads."""

from __future__ import annotations

import pytest

from relayd.core.auth.access import Access, Anyone, Claim, Literal, OfField
from relayd.core.auth.verdict import Identity
from relayd.core.publication import Encoding
from relayd.core.reading import MAX_NAMES, MAX_PATTERNS, Asked, AskedTooMuch, Reading, may_read
from relayd.core.routes import AllowValues, TopicRefused
from relayd.core.subscriber import Subscriber
from tests.support.hub_rig import Client, FakeSink, Rig, route

PUBLIC = route("t/$n")
MINE = route("user/$name/$box", access=Access((Claim("sub", (OfField("name"),)),)))
STAFF = route("staff/$n", allow={"n": AllowValues(("a", "b"))}, access=Access((Claim("role", (Literal("staff"),)),)))
CLOSED = route("closed/$n", access=Access(Anyone.NOBODY))
ALICE = Identity("alice", {"sub": "alice"})
BOB = Identity("bob", {"sub": "bob", "role": "staff"})


class Reader:
    """A reading and what it was told."""

    def __init__(self, identity: Identity | None = None, topics: int = 128, limit: int = 1000) -> None:
        self.rig = Rig(PUBLIC, MINE, STAFF, CLOSED, topics_per_client=topics, topics=limit)
        self.sink = FakeSink()
        self.told: list[Asked] = []
        self.subscriber = Subscriber(self.sink, Encoding.V1)
        self.reading = Reading(self.rig.hub, self.subscriber, self.told.append)
        self.reading.identity = identity

    def subscribe(self, *names: str, max_hz: float | None = None) -> Asked:
        """Ask and settle."""
        asked = self.reading.subscribe(names, max_hz, {})
        self.reading.settle()
        return asked

    @property
    def topics(self) -> set[str]:
        """What it reads."""
        return {topic.name for topic in self.subscriber.topics}


def names(asked: Asked) -> list[str]:
    """What was joined."""
    return [one.topic.name for one in asked.joined]


def codes(asked: Asked) -> list[tuple[str, str]]:
    """What was refused."""
    return [(one.code, one.topic) for one in asked.refused]


class SubscribeTests:
    """Topics, one by one."""

    def test_access(self) -> None:
        """Each topic by its route; what is refused is not made."""
        reader = Reader(ALICE)
        asked = reader.subscribe("t/x", "user/alice/in", "user/bob/in", "closed/x", "staff/a", "nope")
        assert names(asked) == ["t/x", "user/alice/in"]
        assert codes(asked) == [
            ("forbidden", "user/bob/in"), ("forbidden", "closed/x"), ("forbidden", "staff/a"),
            ("unknown_topic", "nope"),
        ]  # fmt: skip
        assert asked.refused[0].message == "route user/$name/$box: access.subscribe does not let you in"
        assert set(reader.rig.hub.topics) == {"t/x", "user/alice/in"}

    def test_existing_topic(self) -> None:
        """That somebody else has it opens it to nobody."""
        reader = Reader()
        reader.rig.hub.topic("user/bob/in")
        asked = reader.subscribe("user/bob/in")
        assert codes(asked) == [("unauthorized", "user/bob/in")]
        assert asked.refused[0].message == "route user/$name/$box: access.subscribe asks for a token"

    def test_too_many(self) -> None:
        """A bound for each client; what is held already may be asked for again."""
        reader = Reader(topics=1)
        asked = reader.subscribe("t/a", "t/b")
        assert (names(asked), codes(asked)) == (["t/a"], [("too_many_topics", "t/b")])
        assert names(reader.subscribe("t/a")) == ["t/a"]
        assert set(reader.rig.hub.topics) == {"t/a"}  # what is over the bound takes nobody's place

    def test_too_many_names(self) -> None:
        """In one request: refused as a whole, and nothing is done; more where more topics may be held."""
        reader = Reader()
        many = [f"t/{number}" for number in range(MAX_NAMES + 1)]
        for call in (lambda: reader.subscribe(*many), lambda: reader.reading.unsubscribe(many)):
            with pytest.raises(TopicRefused, match="at most 1000 in one request") as refused:
                call()
            assert refused.value.code == "too_many_topics"
        assert reader.topics == set()
        assert len(names(Reader(topics=MAX_NAMES, limit=2 * MAX_NAMES).subscribe(*many))) == MAX_NAMES

    def test_raw(self) -> None:
        """One topic, or the reason."""
        reader = Reader(ALICE)
        with pytest.raises(TopicRefused) as refused:
            reader.reading.open("user/bob/in")
        assert refused.value.code == "forbidden"
        reader.reading.open("user/alice/in")
        assert reader.topics == {"user/alice/in"}


class EffortTests:
    """Who asks and asks."""

    def test_churn(self) -> None:
        """All topics taken and left: twice at once, and after a second once more. Leaving is always possible."""
        reader = Reader()
        many = [f"t/{number}" for number in range(128)]
        for _ in range(2):
            reader.subscribe(*many)
            reader.reading.unsubscribe(many)
        with pytest.raises(AskedTooMuch) as refused:
            reader.subscribe("t/a")
        assert refused.value.code == "rate_limited"
        assert refused.value.retry_s == pytest.approx(4 / 256)
        with pytest.raises(AskedTooMuch):
            reader.reading.pace(1.0)
        reader.reading.unsubscribe(many)
        reader.rig.clock.advance(1.0)
        assert len(names(reader.subscribe(*many))) == 128

    def test_patterns_by_what_they_are_tried_against(self) -> None:
        """8,000 topics of one template are 40 units for each pattern that asks for a field, though it means none."""
        reader = Reader(limit=10_000)
        for number in range(8_000):
            reader.rig.hub.topic(f"t/{number}")
        for _ in range(13):
            reader.subscribe("*/x")
        with pytest.raises(AskedTooMuch):
            reader.subscribe("*/x")

    def test_patterns_that_no_template_has(self) -> None:
        """Nothing is tried, however much there is; a pattern is a quarter of a unit, a request a whole one."""
        reader = Reader(limit=10_000)
        for number in range(8_000):
            reader.rig.hub.topic(f"t/{number}")
        for _ in range(410):
            reader.subscribe("t/x/**")
        with pytest.raises(AskedTooMuch):
            reader.subscribe("t/x/**")

    def test_a_pattern_that_means_too_much(self) -> None:
        """It is looked at as far as the bound, not to the end."""
        reader = Reader(topics=128, limit=10_000)
        for number in range(8_000):
            reader.rig.hub.topic(f"t/{number}")
        asked = reader.subscribe("**")
        assert (len(asked.joined), codes(asked)) == (128, [("too_many_topics", "**")])
        assert len(reader.subscribe("t/*").joined) == 128
        with pytest.raises(AskedTooMuch):
            for _ in range(3):
                reader.subscribe("**")

    def test_pace(self) -> None:
        """Each is a join of all that is held."""
        reader = Reader()
        reader.subscribe(*[f"t/{number}" for number in range(100)])
        for hz in (1.0, 2.0, 1.0, 2.0, 1.0):
            reader.reading.pace(hz)
        with pytest.raises(AskedTooMuch):
            reader.reading.pace(2.0)


class PatternTests:
    """Many at once."""

    def test_more_than_may_be_held(self) -> None:
        """Told once, in the name of the pattern, and not where what is left could not be had anyway."""
        reader = Reader(ALICE, topics=2)
        for name in ("t/a", "t/b", "t/c", "t/d"):
            reader.rig.hub.topic(name)
        asked = reader.subscribe("**")
        assert (names(asked), codes(asked), asked.matches) == (["t/a", "t/b"], [("too_many_topics", "**")], 2)
        again = reader.subscribe("t/*")  # those that are held are meant by this one, too
        assert (names(again), codes(again)) == (["t/a", "t/b"], [("too_many_topics", "t/*")])
        reader = Reader(ALICE, topics=1)
        for name in ("t/a", "user/bob/in", "closed/x"):
            reader.rig.hub.topic(name)
        assert codes(reader.subscribe("**")) == []

    def test_what_is_held_behind_the_first_that_is_too_many(self) -> None:
        """The search ends there; what is held already is asked for anew as well, wherever it stands."""
        reader = Reader(topics=1)
        reader.rig.hub.topic("t/a")
        reader.subscribe("t/b")
        asked = reader.subscribe("t/*")
        assert codes(asked) == [("too_many_topics", "t/*")]
        assert names(asked) == ["t/b"]
        reader.reading.unsubscribe(["t/*"])
        assert reader.topics == {"t/b"}, "it was asked for by its name"

    def test_only_what_is_ours(self) -> None:
        """And not a word of the rest."""
        reader = Reader(ALICE)
        for name in ("user/alice/in", "user/bob/in", "t/a", "closed/x"):
            reader.rig.hub.topic(name)
        asked = reader.subscribe("**")
        assert (sorted(names(asked)), asked.matches, asked.refused) == (["t/a", "user/alice/in"], 2, [])

    def test_finite(self) -> None:
        """A finite list creates demand, for who may have it."""
        for who, wanted in ((BOB, ["staff/a", "staff/b"]), (ALICE, [])):
            reader = Reader(who)
            reader.subscribe("staff/*")
            assert reader.rig.demand.wanted_topics == wanted

    def test_met_later(self) -> None:
        """A topic that comes into being is announced to who may have it."""
        reader = Reader(ALICE)
        reader.subscribe("**")
        for name in ("user/bob/in", "user/alice/in", "t/x"):
            reader.rig.hub.topic(name)
        assert [names(asked) for asked in reader.told] == [["user/alice/in"], ["t/x"]]
        reader.reading.unsubscribe(["**"])
        reader.rig.hub.topic("t/y")
        assert len(reader.told) == 2 and not reader.topics

    def test_met_too_many(self) -> None:
        """The bound holds there, too."""
        reader = Reader(topics=1)
        reader.subscribe("t/a", "t/*")
        reader.rig.hub.topic("t/b")
        assert codes(reader.told[0]) == [("too_many_topics", "t/b")]

    def test_met_by_another_pattern_only(self) -> None:
        """What no pattern means is none of ours."""
        reader = Reader()
        reader.subscribe("t/*")
        reader.rig.hub.topic("closed/x")
        assert reader.told == []

    def test_refused(self) -> None:
        """Bad ones and too many."""
        reader = Reader()
        assert codes(reader.subscribe("a/**/b")) == [("bad_request", "a/**/b")]
        assert reader.subscribe(*(f"{n}/*" for n in range(MAX_PATTERNS))).refused == []
        assert codes(reader.subscribe("x/*")) == [("too_many_topics", "x/*")]
        assert reader.subscribe("0/*").refused == []

    def test_no_room_in_the_hub(self) -> None:
        """A match that cannot be made is told: it would have been ours."""
        reader = Reader(BOB, limit=1)
        asked = reader.subscribe("staff/*")
        assert (names(asked), codes(asked)) == (["staff/a"], [("unavailable", "staff/b")])


class UnsubscribeTests:
    """Less."""

    def test_what_is_held_by_another_name_stays(self) -> None:
        """A topic goes with the last that meant it, in whatever order they are named."""
        for asked in (["t/a", "t/*"], ["t/*", "t/a"]):
            reader = Reader()
            reader.subscribe("t/a", "t/b", "t/*", "**")
            reader.reading.unsubscribe(asked)
            assert reader.topics == {"t/a", "t/b"}
            reader.reading.unsubscribe(["**"])
            assert reader.topics == {"t/b"}

    def test_what_is_not_held(self) -> None:
        """Nothing happens, also where the topic is there."""
        reader = Reader()
        reader.subscribe("t/a")
        reader.rig.hub.topic("t/b")
        reader.reading.unsubscribe(["t/b", "t/c", "x/*"])
        assert reader.topics == {"t/a"}

    def test_what_another_pattern_holds_alone(self) -> None:
        """A topic that the one taken away does not mean is not touched."""
        reader = Reader()
        for name in ("t/a", "t/b"):
            reader.rig.hub.topic(name)
        reader.subscribe("*/a", "t/b", "*/b")
        reader.reading.unsubscribe(["*/b"])
        assert reader.topics == {"t/a", "t/b"}
        reader.reading.unsubscribe(["t/b"])
        assert reader.topics == {"t/a"}

    def test_overlap(self) -> None:
        """A topic goes with the last that means it."""
        reader = Reader()
        reader.subscribe("t/a", "t/b", "t/*")
        reader.reading.unsubscribe(["t/a"])
        assert reader.topics == {"t/a", "t/b"}
        reader.reading.unsubscribe(["t/*"])
        assert reader.topics == {"t/b"}
        reader.reading.unsubscribe(["t/c"])
        reader.reading.leave()
        assert not reader.rig.demand.wanted_topics

    def test_two_patterns(self) -> None:
        """One of them stays."""
        reader = Reader()
        reader.rig.hub.topic("t/a")
        reader.subscribe("t/*", "*/a")
        reader.reading.unsubscribe(["t/*"])
        assert reader.topics == {"t/a"}


class PaceTests:
    """One rate over all."""

    def test_lower_wins(self) -> None:
        """Until it ends."""
        reader = Reader()
        reader.subscribe("t/a")
        reader.subscribe("t/b", max_hz=2.0)
        reader.subscribe("t/c", max_hz=20.0)
        reader.reading.pace(5.0)
        rates = {topic.name: hz for topic, hz in reader.subscriber.topics.items()}
        assert rates == {"t/a": 5.0, "t/b": 2.0, "t/c": 5.0}
        reader.reading.pace(None)
        assert set(reader.subscriber.topics.values()) == {None, 2.0, 20.0}


class IdentifyTests:
    """Somebody else asks from here on."""

    def test_less_and_more(self) -> None:
        """What is not ours goes at once, what the patterns now mean comes; the rest is not touched."""
        reader = Reader(ALICE)
        for name in ("user/alice/in", "user/bob/in"):
            reader.rig.hub.topic(name)
        reader.subscribe("user/*/in", "t/a")
        asked = reader.reading.identify(BOB)
        reader.reading.settle()
        assert (codes(asked), names(asked)) == ([("forbidden", "user/alice/in")], ["user/bob/in"])
        assert reader.topics == {"user/bob/in", "t/a"}
        client = Client(reader.sink)
        for name in ("user/alice/in", "user/bob/in", "t/a"):
            client.next_offset.setdefault(name, None)
            reader.rig.publish(name)
        reader.rig.clock.advance(1.0)
        assert sorted(message["topic"] for message in client.read() if "offset" in message) == ["t/a", "user/bob/in"]

    def test_the_same(self) -> None:
        """A refresh disturbs nothing."""
        reader = Reader(ALICE)
        reader.subscribe("user/alice/in", "user/**")
        asked = reader.reading.identify(Identity("alice", {"sub": "alice", "more": 1}, 5.0))
        assert (asked.joined, asked.refused) == ([], [])
        assert reader.topics == {"user/alice/in"}

    def test_may_read(self) -> None:
        """For lists of topics."""
        reader = Reader()
        topic = reader.rig.hub.topic("user/alice/in")
        assert may_read(topic, ALICE) and not may_read(topic, BOB) and not may_read(topic, None)
