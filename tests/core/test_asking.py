"""Requests for topics."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.asking import WAIT_S, Asking, of_body, of_query, refusal_of
from relayd.core.refusal import HttpRefusal


def label(asked: Asking | HttpRefusal) -> str:
    """Why it is refused."""
    assert isinstance(asked, HttpRefusal)
    assert asked.status == 400
    return asked.label


class QueryTests:
    """In the target of a GET."""

    def test_whole(self) -> None:
        """Everything at once; topics are separated by commas, or by a second field."""
        asked = of_query("topics=a,b%2Fc&topics=d,a,&max_hz=2.5&since=%7B%22a%22%3A%22e%3A1%22%7D&wait=1500ms&mine=1")
        assert asked == Asking(("a", "b/c", "d"), 2.5, {"a": "e:1"}, 1.5)

    def test_least(self) -> None:
        """Only topics."""
        assert of_query("topics=a") == Asking(("a",), None, {}, WAIT_S, None)

    def test_where_a_stream_left_off(self) -> None:
        """The header is newer than the query, which an EventSource repeats."""
        assert of_query("topics=a&last_event_id=e.1") == Asking(("a",), last_event_id="e.1")
        assert of_query("topics=a&last_event_id=e.1", "e.2") == Asking(("a",), last_event_id="e.2")
        assert of_query("topics=a&last_event_id=") == Asking(("a",))

    @pytest.mark.parametrize(
        ("query", "why"),
        [
            ("", "no_topics"), ("topics=", "no_topics"), ("topics=,", "no_topics"),
            ("topics=a&max_hz=x", "bad_hz"), ("topics=a&max_hz=0", "bad_hz"), ("topics=a&max_hz=nan", "bad_hz"),
            ("topics=a&max_hz=1e9", "bad_hz"), ("topics=a&wait=5", "bad_wait"), ("topics=a&wait=31s", "bad_wait"),
            ("topics=a&since=1", "bad_since"), ("topics=a&since={%22a%22:1}", "bad_since"),
            ("topics=a&since={", "bad_since"),
            ("topics=a&since=" + "[" * 1500, "bad_since"), ("&".join("a" * 40), "bad_query"),
        ],
    )  # fmt: skip
    def test_refused(self, query: str, why: str) -> None:
        """With a text of ours."""
        assert label(of_query(query)) == why

    @given(st.text())
    def test_any_query_is_answered(self, text: str) -> None:
        """Understood or refused."""
        assert isinstance(of_query(text), Asking | HttpRefusal)


class BodyTests:
    """In the body of a POST."""

    def test_whole(self) -> None:
        """As a subscribe message without op; other members are ignored."""
        body = b'{"topics":["a","a"],"since":{"a":"e:1"},"max_hz":1,"wait_s":0,"op":"subscribe","x":[]}'
        assert of_body(body) == Asking(("a",), 1.0, {"a": "e:1"}, 0.0)

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (b"", "bad_body"), (b"[]", "bad_body"), (b'{"topics":"a"}', "bad_body"), (b'{"topics":[1]}', "bad_body"),
            (b"\xff", "bad_body"), (b"[" * 5000, "bad_body"), (b"{}", "no_topics"), (b'{"topics":[]}', "no_topics"),
            (b'{"topics":["a"],"wait_s":31}', "bad_wait"), (b'{"topics":["a"],"wait_s":-1}', "bad_wait"),
            (b'{"topics":["a"],"max_hz":1001}', "bad_hz"),
        ],
    )  # fmt: skip
    def test_refused(self, body: bytes, why: str) -> None:
        """With a text of ours."""
        assert label(of_body(body)) == why


class RefusalTests:
    """Errors of the protocol as statuses."""

    @pytest.mark.parametrize(
        ("code", "status"),
        [("unknown_topic", 404), ("forbidden", 403), ("unauthorized", 401), ("unavailable", 503), ("new", 400)],
    )
    def test_status(self, code: str, status: int) -> None:
        """A 401 says what is asked for, a 503 when to come back."""
        refusal = refusal_of(code, "why")
        assert (refusal.status, refusal.code, refusal.message) == (status, code, "why")
        assert bool(refusal.headers) == (status == 401)
        assert (refusal.retry_after_s is not None) == (status == 503)
