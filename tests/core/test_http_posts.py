"""Publishing over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core import http_posts
from relayd.core.auth.access import Access, Anyone, Claim, Literal
from relayd.core.auth.verdict import Identity
from relayd.core.http_posts import BATCH_MAX, KEPT_S, HttpPosts, Publisher, Reply
from relayd.core.refusal import HttpRefusal
from relayd.core.routes import TopicRefused
from tests.support.hub_rig import Rig, route

JSON, TEXT, BYTES = "application/json", "text/plain", "application/octet-stream"
STRANGER = Publisher(None, "192.0.2.1")
STAFF = Publisher(Identity("s", {"role": "staff"}), "192.0.2.1")


def rig() -> tuple[Rig, HttpPosts]:
    """A hub with a public local route, one for staff, and one of an upstream."""
    hub = Rig(
        route("t/$n", upstream=None, access=Access(publish=Anyone.PUBLIC)),
        route("staff/$n", upstream=None, access=Access(publish=(Claim("role", (Literal("staff"),)),))),
        route("feed/$n", access=Access(publish=Anyone.PUBLIC)),
    )
    return hub, HttpPosts(hub.hub)


def refused(reply: Reply | HttpRefusal) -> tuple[int, str]:
    """Status and label."""
    assert isinstance(reply, HttpRefusal)
    return reply.status, reply.label


def said(reply: Reply | HttpRefusal) -> Any:
    """The body of a success."""
    assert isinstance(reply, Reply), reply
    return json.loads(reply.body)


class OneTests:
    """The body is the payload."""

    @pytest.mark.parametrize(
        ("content_type", "body", "is_text"),
        [
            (JSON, b'{"a": 1}', True), ("Application/JSON; charset=utf-8", b"1", True),
            (TEXT, "h\u00e9".encode(), True), ('text/plain;charset="UTF-8"', b"", True), (BYTES, b"\xff", False),
        ],
    )  # fmt: skip
    def test_kinds(self, content_type: str, body: bytes, is_text: bool) -> None:
        """Published as it stands; the answer says where."""
        hub, posts = rig()
        assert said(posts.one("t/a", body, content_type, STRANGER)) == {"topic": "t/a", "position": "e1:1"}
        newest = hub.hub.topic("t/a").ring.newest()
        assert newest is not None
        assert (newest.payload, newest.is_text) == (body, is_text)

    @pytest.mark.parametrize(
        ("content_type", "body", "status", "label"),
        [
            ("", b"1", 415, "content_type"), ("text/html", b"1", 415, "content_type"),
            ("text/plain; charset=latin-1", b"1", 415, "content_type"), (JSON, b"{", 400, "bad_json"),
            (JSON, b"", 400, "bad_json"), (TEXT, b"\xff", 400, "bad_utf8"),
        ],
    )  # fmt: skip
    def test_bad_bodies(self, content_type: str, body: bytes, status: int, label: str) -> None:
        """Nothing is published."""
        hub, posts = rig()
        assert refused(posts.one("t/a", body, content_type, STRANGER)) == (status, label)
        assert not hub.counters.publications

    def test_refused_topics(self) -> None:
        """The protocol's errors as statuses, each naming what decides."""
        _, posts = rig()
        for name, status in (("u/a", 404), ("staff/a", 401), ("feed/a", 403), ("t/~", 400)):
            assert refused(posts.one(name, b"1", JSON, STRANGER))[0] == status
        assert refused(posts.one("t/a", b"x" * 1_000_000, TEXT, STRANGER))[0] == 413
        reply = posts.one("staff/a", b"1", JSON, Publisher(Identity("x"), ""))
        assert isinstance(reply, HttpRefusal)
        assert (reply.status, "access.publish" in reply.message) == (403, True)
        assert said(posts.one("staff/a", b"1", JSON, STAFF))["position"]

    def test_way_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """202 for what was handed to an upstream; 503 with when to come back while it takes nothing."""
        _, posts = rig()
        monkeypatch.setattr(http_posts, "post", lambda *_: http_posts.Posted("feed/a", None))
        assert posts.one("feed/a", b"1", JSON, STRANGER) == Reply(202, b'{"topic":"feed/a"}')

        def away(*_: object) -> None:
            raise TopicRefused("unavailable", "away", 1.5)

        monkeypatch.setattr(http_posts, "post", away)
        reply = posts.one("feed/a", b"1", JSON, STRANGER)
        assert isinstance(reply, HttpRefusal)
        assert (reply.status, reply.retry_after_s) == (503, 2)
        [result] = said(posts.batch(b'{"publications":[{"topic":"feed/a","data":1}]}', JSON, STRANGER))["results"]
        assert result["error"] == {"code": "unavailable", "message": "away", "retry_ms": 1500}

    @given(st.binary(), st.text())
    def test_any_request_is_answered(self, body: bytes, content_type: str) -> None:
        """Published or refused."""
        _, posts = rig()
        assert isinstance(posts.one("t/a", body, content_type, STRANGER), Reply | HttpRefusal)
        assert isinstance(posts.batch(body, JSON, STRANGER), Reply | HttpRefusal)


class BatchTests:
    """Many in one request."""

    def test_results_in_order(self) -> None:
        """One that is refused does not touch the others."""
        hub, posts = rig()
        items = [
            {"topic": "t/a", "data": {"x": [1]}}, {"topic": "u/a", "data": 1}, {"topic": "t/b", "text": "hi"},
            {"topic": "t/a", "base64": "AP8="}, {"topic": "t/a", "data": None},
        ]  # fmt: skip
        results = said(posts.batch(json.dumps({"publications": items}).encode(), JSON, STRANGER))["results"]
        assert [result.get("position") for result in results] == ["e1:1", None, "e2:1", "e1:2", "e1:3"]
        assert results[1]["error"]["code"] == "unknown_topic"
        payloads = [one.payload for one in hub.hub.topic("t/a").ring.after(0)]
        assert payloads == [b'{"x": [1]}', b"\x00\xff", b"null"]

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"[]", b"{}", b'{"publications":[{"topic":"t/a"}]}',
            b'{"publications":[{"topic":"t/a","data":1,"text":"x"}]}', b'{"publications":[{"data":1}]}',
            b'{"publications":[{"topic":"t/a","data":1},{"topic":"t/a","base64":"!"}]}', b'{"publications":[1]}',
        ],
    )  # fmt: skip
    def test_malformed(self, body: bytes) -> None:
        """Nothing of it is published."""
        hub, posts = rig()
        assert refused(posts.batch(body, JSON, STRANGER)) == (400, "bad_batch")
        assert not hub.counters.publications

    def test_bounds(self) -> None:
        """So many, in JSON."""
        _, posts = rig()
        item = {"topic": "t/a", "data": 1}
        whole = json.dumps({"publications": [item] * BATCH_MAX}).encode()
        assert len(said(posts.batch(whole, JSON, STRANGER))["results"]) == BATCH_MAX
        longer = json.dumps({"publications": [item] * (BATCH_MAX + 1)}).encode()
        assert refused(posts.batch(longer, JSON, STRANGER)) == (413, "long_batch")
        assert refused(posts.batch(whole, TEXT, STRANGER)) == (415, "content_type")


class IdempotencyTests:
    """The same request again."""

    def test_published_once(self) -> None:
        """The same answer, for five minutes."""
        hub, posts = rig()
        first = posts.one("t/a", b"1", JSON, STRANGER, "k")
        assert posts.one("t/a", b"1", JSON, STRANGER, "k") == first
        assert (hub.counters.publications, hub.counters.posts_repeated) == (1, 1)
        hub.clock.advance(KEPT_S)
        assert posts.one("t/a", b"1", JSON, STRANGER, "k") != first
        assert hub.counters.publications == 2

    def test_another_request(self) -> None:
        """Another body, topic, type or way is a conflict."""
        hub, posts = rig()
        posts.one("t/a", b"1", JSON, STRANGER, "k")
        for reply in (
            posts.one("t/a", b"2", JSON, STRANGER, "k"),
            posts.one("t/b", b"1", JSON, STRANGER, "k"),
            posts.one("t/a", b"1", TEXT, STRANGER, "k"),
            posts.batch(b"1", JSON, STRANGER, "k"),
        ):
            assert refused(reply) == (409, "idempotency_key_reused")
        assert hub.counters.publications == 1

    def test_somebody_elses_key(self) -> None:
        """Is another key."""
        hub, posts = rig()
        for publisher in (STRANGER, STAFF, Publisher(None, "192.0.2.2")):
            assert isinstance(posts.one("t/a", b"1", JSON, publisher, "k"), Reply)
        assert hub.counters.publications == 3

    def test_a_refusal_is_not_kept(self) -> None:
        """It may go well next time."""
        _, posts = rig()
        assert refused(posts.one("t/a", b"{", JSON, STRANGER, "k"))[0] == 400
        assert isinstance(posts.one("t/a", b"{}", JSON, STRANGER, "k"), Reply)

    @pytest.mark.parametrize("key", ["", "x" * 65, "a b", "\u00e9"])
    def test_bad_keys(self, key: str) -> None:
        """Refused before anything happens."""
        hub, posts = rig()
        assert refused(posts.one("t/a", b"1", JSON, STRANGER, key)) == (400, "bad_idempotency_key")
        assert not hub.counters.publications

    @pytest.mark.parametrize(("bound", "most"), [("KEPT_MAX", 2), ("KEPT_BYTES", 1200)])
    def test_bounds(self, monkeypatch: pytest.MonkeyPatch, bound: str, most: int) -> None:
        """The oldest goes, and is counted."""
        monkeypatch.setattr(http_posts, bound, most)
        hub, posts = rig()
        for key in "abc":
            posts.one("t/a", b"1", JSON, STRANGER, key)
        assert hub.counters.idempotency_keys_dropped == 1
        posts.one("t/a", b"1", JSON, STRANGER, "c")
        assert hub.counters.publications == 3
        posts.one("t/a", b"1", JSON, STRANGER, "a")
        assert hub.counters.publications == 4


class PaceTests:
    """limits.publish."""

    def test_requests_of_one_publisher(self) -> None:
        """Beyond it 429 and when to come back; others are not touched, and a batch is one."""
        hub, posts = rig()
        count = hub.hub.limits.publications
        for _ in range(count):
            assert isinstance(posts.one("t/a", b"1", JSON, STRANGER), Reply)
        reply = posts.one("t/a", b"1", JSON, STRANGER)
        assert isinstance(reply, HttpRefusal)
        assert (reply.status, reply.code, reply.retry_after_s) == (429, "rate_limited", 2)
        assert hub.counters.posts_refused["rate_limited"] == 1
        assert isinstance(posts.one("t/a", b"1", JSON, STAFF), Reply)
        hub.clock.advance(2.0)
        assert isinstance(posts.one("t/a", b"1", JSON, STRANGER), Reply)

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            (Publisher(None, "2001:db8:0:1::1"), Publisher(None, "2001:db8:0:1:ffff::2"), True),
            (Publisher(None, "2001:db8:0:1::1"), Publisher(None, "2001:db8:0:2::1"), False),
            (Publisher(None, "::ffff:192.0.2.1"), Publisher(None, "192.0.2.1"), True),
            (Publisher(Identity("a"), "192.0.2.1"), Publisher(Identity("a"), "192.0.2.2"), True),
            (Publisher(Identity("", {"role": "x"}), "192.0.2.1"), Publisher(Identity("", {}), "192.0.2.2"), False),
            (Publisher(Identity("", {"role": "x"}), "192.0.2.1"), Publisher(None, "192.0.2.1"), False),
            (Publisher(Identity("192.0.2.1", {}), ""), Publisher(None, "192.0.2.1"), False),
            (Publisher(Identity("", {}), ""), Publisher(None, ""), False),
        ],
    )
    def test_who_is_the_same(self, one: Publisher, other: Publisher, same: bool) -> None:
        """A name, or an address as far as one customer can choose it."""
        assert (one.name == other.name) is same

    def test_publishers_that_are_remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A bounded number; the one that was silent for longest goes."""
        monkeypatch.setattr(http_posts, "PUBLISHERS_MAX", 2)
        _, posts = rig()
        for number in range(4):
            posts.one("t/a", b"1", JSON, Publisher(None, f"192.0.2.{number}"))
        assert len(posts._paces) == 2
