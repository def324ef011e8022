"""What clients publish."""

from __future__ import annotations

import pytest

from relayd.core.auth.access import Access, Anyone, Claim, Literal, OfField
from relayd.core.auth.verdict import Identity
from relayd.core.counters import POST_REFUSALS
from relayd.core.feed.publish import Upward, parse_publish
from relayd.core.posting import Posted, Posting, post
from relayd.core.routes import AllowValues, TopicRefused
from relayd.core.wayup import WayUp
from tests.support.hub_rig import Client, FakeSink, Rig, route, say

PUBLIC = Access(publish=Anyone.PUBLIC)
CHAT = route("chat/$room", upstream=None, access=PUBLIC, allow={"room": AllowValues(("a", "b"))})
MINE = route("user/$sub/$box", upstream=None, access=Access(publish=(Claim("sub", (OfField("sub"),)),)))
STAFF = route("staff/$n", upstream=None, access=Access(publish=(Claim("role", (Literal("staff"),)),)))
FEED = route("feed/$n", access=PUBLIC)
UP = route("up/$n", access=PUBLIC, publish=parse_publish({"n": "$n", "m": "$data"}))
OWN = route("own/$n", access=PUBLIC, exclusive=True)
ALICE = Identity("alice", {"sub": "alice"})


def rig(**limits: int) -> Rig:
    """A hub with local routes, and one of an upstream."""
    return Rig(CHAT, MINE, STAFF, FEED, UP, OWN, **limits)


def refusal(hub: Rig, name: str, identity: Identity | None = None, payload: bytes = b"1") -> tuple[str, str]:
    """Why a publication was refused; it is counted, and it leaves no topic behind."""
    before = dict(hub.counters.posts_refused)
    topics = set(hub.hub.topics)
    with pytest.raises(TopicRefused) as caught:
        post(hub.hub, name, payload, True, identity)
    after = hub.counters.posts_refused
    assert {code for code in after if after[code] != before[code]} == {caught.value.code}
    assert set(hub.hub.topics) == topics and not hub.counters.publications
    return caught.value.code, caught.value.message


class PostTests:
    """One way in, whoever asks by which door."""

    def test_position(self) -> None:
        """It stands in the topic from then on, under the position that the answer says."""
        hub = rig()
        assert post(hub.hub, "chat/a", b"1", True, None) == Posted("chat/a", "e1:1")
        assert post(hub.hub, "chat/a", b"\x00", False, None) == Posted("chat/a", "e1:2")
        assert [one.payload for one in hub.hub.topic("chat/a").ring.after(0)] == [b"1", b"\x00"]
        assert (hub.counters.posts, hub.counters.posts_up) == (2, 0)

    def test_heard_by_readers(self) -> None:
        """Whoever reads the topic, the publisher among them."""
        hub = rig()
        session, sink = hub.open()
        say(session, op="subscribe", topics=["chat/a"])
        post(hub.hub, "chat/a", b'{"x": 1}', True, None)
        hub.clock.advance(1)
        assert Client(sink).read()[-1] == {"topic": "chat/a", "offset": 1, "data": {"x": 1}}

    @pytest.mark.parametrize(
        ("name", "code", "message"),
        [
            ("chat/c", "forbidden", "route chat/$room: allow.room does not permit this value"),
            ("none/x", "unknown_topic", "no route has this topic"),
            ("chat/*", "bad_request", "a pattern is no topic"),
            ("staff/a", "unauthorized", "route staff/$n: access.publish asks for a token"),
            ("own/a", "forbidden", "route own/$n is exclusive: open /raw/own/a"),
            ("feed/a", "forbidden", "route feed/$n: it has no `publish`, so nothing goes up"),
        ],
    )
    def test_refused(self, name: str, code: str, message: str) -> None:
        """Each with what decides."""
        assert refusal(rig(), name) == (code, message)

    def test_own_topics(self) -> None:
        """A placeholder in `access.publish` is the topic's own field."""
        hub = rig()
        assert post(hub.hub, "user/alice/in", b"1", True, ALICE).position == "e1:1"
        assert refusal_of_bob(hub) == ("forbidden", "route user/$sub/$box: access.publish does not let you in")
        assert refusal(rig(), "staff/a", ALICE)[0] == "forbidden"

    def test_nobody_by_default(self) -> None:
        """A route that says nothing lets nobody publish, on an existing topic neither."""
        hub = Rig(route("t/$n"))
        hub.hub.topic("t/a")
        assert refusal(hub, "t/a", ALICE) == ("forbidden", "route t/$n: access.publish does not let you in")

    def test_size(self) -> None:
        """By `limits.message`, exactly."""
        hub = rig(message_bytes=10)
        assert refusal(hub, "chat/a", payload=b"12345678901") == (
            "too_large", "the payload is over limits.message (10 bytes)",
        )  # fmt: skip
        assert post(hub.hub, "chat/a", b"1234567890", True, None).position == "e1:1"

    def test_no_room(self) -> None:
        """Where every topic has readers, `limits.topics` decides."""
        hub = rig(topics=1)
        session, _ = hub.open()
        say(session, op="subscribe", topics=["chat/a"])
        assert refusal(hub, "chat/b") == ("unavailable", "limits.topics is reached")

    def test_every_refusal_has_a_counter(self) -> None:
        """The set is closed."""
        assert set(rig().counters.posts_refused) == set(POST_REFUSALS)


def refusal_of_bob(hub: Rig) -> tuple[str, str]:
    """Somebody else's topic."""
    with pytest.raises(TopicRefused) as caught:
        post(hub.hub, "user/alice/in", b"1", True, Identity("bob", {"sub": "bob"}))
    return caught.value.code, caught.value.message


class PostingTests:
    """One connection."""

    def test_pace(self) -> None:
        """Beyond `limits.publish` it is refused, with when to come again; then it is let through."""
        hub = rig()
        posting = Posting(hub.hub, FakeSink())
        for _ in range(100):
            posting.post("chat/a", b"1", True, None)
        with pytest.raises(TopicRefused) as caught:
            posting.post("chat/a", b"1", True, None)
        refused = caught.value
        assert (refused.code, refused.message) == (
            "rate_limited", "limits.publish is reached: 100 in 1 s from one connection",
        )  # fmt: skip
        assert hub.counters.posts_refused["rate_limited"] == 1
        assert refused.retry_s == pytest.approx(1.05)
        hub.clock.advance(refused.retry_s or 0)
        assert posting.post("chat/a", b"1", True, None).position == "e1:101"

    def test_refusals_count(self) -> None:
        """Trying doors is publishing too."""
        posting = Posting(rig().hub, FakeSink())
        codes = []
        for _ in range(101):
            with pytest.raises(TopicRefused) as caught:
                posting.post("feed/a", b"1", True, None)
            codes.append(caught.value.code)
        assert codes == ["forbidden"] * 100 + ["rate_limited"]

    def test_each_its_own(self) -> None:
        """One connection's pace is not another's."""
        hub = rig()
        for _ in range(2):
            posting = Posting(hub.hub, FakeSink())
            for _ in range(100):
                posting.post("chat/a", b"1", True, None)
        assert hub.counters.posts == 200


class UpTests:
    """Where there is an upstream."""

    def way(self, hub: Rig) -> list[Upward]:
        """What it was handed."""
        spoken: list[Upward] = []
        hub.hub.ways_up["up"] = WayUp(spoken.append)
        return spoken

    def test_handed_over(self) -> None:
        """With the topic's fields; no topic is made, nothing is published, and there is no position."""
        hub = rig()
        spoken = self.way(hub)
        assert post(hub.hub, "up/a", b"5", True, None) == Posted("up/a", None)
        assert spoken == [Upward(UP.publish, {"n": "a"}, b"5", True)]
        assert (hub.counters.posts, hub.counters.posts_up, hub.counters.publications, hub.hub.topics) == (0, 1, 0, {})

    def test_paused_while_full(self) -> None:
        """Once, until there is room."""
        hub = rig()
        self.way(hub)
        way, sink = hub.hub.ways_up["up"], FakeSink()
        posting = Posting(hub.hub, sink)
        posting.post("up/a", b"5", True, None)
        assert not sink.paused
        way.filled()
        for _ in range(3):
            posting.post("up/a", b"5", True, None)
        assert sink.paused and way.paused == 1 and hub.counters.publishers_paused == 1
        posting.post("chat/a", b"5", True, None)
        way.drained()
        assert not sink.paused
        way.filled()
        posting.post("up/b", b"5", True, None)
        assert sink.paused and hub.counters.publishers_paused == 2

    def test_gone(self) -> None:
        """A connection that is lost while it is paused leaves nothing behind."""
        hub = rig()
        self.way(hub)
        way, sink = hub.hub.ways_up["up"], FakeSink()
        way.filled()
        posting = Posting(hub.hub, sink)
        posting.post("up/a", b"5", True, None)
        posting.leave()
        posting.leave()
        assert way.paused == 0
        way.drained()
        assert sink.paused
