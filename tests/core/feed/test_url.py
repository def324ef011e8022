"""URLs, headers and HTTP requests with placeholders."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed.errors import Malformed, Refused, Unset
from relayd.core.feed.url import parse_headers, parse_http, parse_url, render_headers


def rendered(url: str, query: Any = None, join: str | None = None, **values: Any) -> str:
    """The URL."""
    return parse_url(url, query).render(values, join)


class UrlTests:
    """What is dialled."""

    def test_values_are_encoded(self) -> None:
        """A slash in a key is no path."""
        assert rendered("wss://h/$key/x", key="k/1?#é") == "wss://h/k%2F1%3F%23%C3%A9/x"

    def test_exactly_one_placeholder_is_taken_as_it_is(self) -> None:
        """A URL that a reply gave."""
        assert rendered("$host", {"token": "$token"}, host="wss://a/b?c", token="t/1") == "wss://a/b?c&token=t%2F1"

    def test_a_list_is_joined_in_the_path_once_it_is_encoded(self) -> None:
        """The joiner itself is not."""
        assert rendered("https://h/$topics", topics=["a,b", "c"]) == "https://h/a%2Cb,c"
        assert rendered("https://h/$topics", join="/", topics=["a/b", "c"]) == "https://h/a%2Fb/c"

    def test_a_list_repeats_its_key(self) -> None:
        """Unless there is a joiner."""
        assert rendered("ws://h", {"t": "$topics"}, topics=["a b", "c"]) == "ws://h?t=a%20b&t=c"
        assert rendered("ws://h", {"t": "$topics"}, "/", topics=["a b", "c"]) == "ws://h?t=a%20b/c"
        assert rendered("ws://h", {"t": "x:$topics"}, topics=["a", "b"]) == "ws://h?t=x:a,b"
        assert rendered("ws://h", {"t": ["a", "$b"]}, b="&") == "ws://h?t=a&t=%26"
        assert rendered("ws://h", {"t": "$topics"}, topics=[]) == "ws://h"

    def test_an_unset_value_drops_its_entry(self) -> None:
        """No cursor yet."""
        assert rendered("ws://h/p", {"cursor": "$cursor", "v": "7", "n": 5}) == "ws://h/p?v=7&n=5"
        with pytest.raises(Unset):
            rendered("ws://h/$cursor")

    def test_literals_keep_what_a_query_allows(self) -> None:
        """The file is written with care; only what parts entries is encoded."""
        assert rendered("ws://h?x=1", {"a": "b/c:d,e&f", "": ""}) == "ws://h?x=1&a=b/c:d,e%26f&="

    @pytest.mark.parametrize("value", [".", ".."])
    def test_dots_would_change_the_path(self, value: str) -> None:
        """URL libraries resolve them, encoded or not."""
        with pytest.raises(Refused):
            rendered("ws://h/a/$x", x=value)

    @given(st.text(), st.text())
    def test_values_stay_where_they_are(self, path: str, value: str) -> None:
        """Whatever a value holds, it is one path segment, or one query value."""
        try:
            url = rendered("wss://h/a/$p/b", {"q": "$v"}, p=path, v=value)
        except Refused:
            return
        parts = urlsplit(url)
        assert parts.netloc == "h" and parts.path.count("/") == 3 and not parts.fragment
        clean = value.encode("utf-8", "replace").decode()
        assert parse_qsl(parts.query, keep_blank_values=True) == [("q", clean)]

    @pytest.mark.parametrize(
        ("url", "query"), [(None, None), ("$", None), ("ws://h", "x"), ("ws://h", {1: "x"}), ("ws://h", {"a": "$"})]
    )
    def test_malformed(self, url: Any, query: Any) -> None:
        """Texts and tables."""
        with pytest.raises(Malformed):
            parse_url(url, query)

    def test_names(self) -> None:
        """Base and query."""
        assert parse_url("ws://$a", {"b": ["$c"]}).names == {"a", "c"}


class HeaderTests:
    """The opening request's headers."""

    def test_values(self) -> None:
        """Unset ones are left out."""
        headers = parse_headers({"User-Agent": "relayd (x)", "Last-Event-ID": "$cursor", "X": "Bearer $t"})
        assert render_headers(headers, {"t": "k"}) == (("User-Agent", "relayd (x)"), ("X", "Bearer k"))

    @pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0"])
    def test_a_line_break_is_refused(self, value: str) -> None:
        """It would be a header of its own; the value is not told."""
        with pytest.raises(Refused, match="X-KEY") as caught:
            render_headers(parse_headers({"X-KEY": "$k"}), {"k": value})
        assert value not in str(caught.value)


class HttpTests:
    """Requests."""

    def test_json(self) -> None:
        """A structure, serialised once."""
        http = parse_http({"method": "PUT", "url": "http://h/$verb", "headers": {"K": "$t"}, "json": {"S": "$topics"}})
        request = http.render({"verb": "register", "t": "x", "topics": [{"a": 1}]}, number=3)
        assert (request.method, request.url, request.headers) == ("PUT", "http://h/register", (("K", "x"),))
        assert json.loads(request.body) == {"S": [{"a": 1}]}
        assert request.content_type == "application/json" and request.number == 3
        assert http.names == {"verb", "t", "topics"}

    def test_form(self) -> None:
        """Pairs."""
        http = parse_http({"method": "POST", "url": "http://h", "form": {"grant": "a b", "secret": "$s"}})
        request = http.render({"s": "&="})
        assert request.body == b"grant=a+b&secret=%26%3D"
        assert request.content_type == "application/x-www-form-urlencoded"
        assert http.names == {"s"}

    def test_without_a_body(self) -> None:
        """A plain GET; a null body is none that was left out."""
        request = parse_http({"url": "http://h", "query": {"s": "$s"}}).render({"s": "x"}, {"s": ["a", "b"]}, ",")
        assert (request.method, request.url, request.body, request.content_type) == ("GET", "http://h?s=a,b", b"", None)
        assert parse_http({"url": "http://h", "json": None}).render({}).body == b"null"

    @pytest.mark.parametrize(
        "wrong",
        [
            None,
            {},
            {"url": "http://h", "method": "FETCH"},
            {"url": "http://h", "json": 1, "form": {}},
            {"url": "http://h", "form": [1]},
            {"url": "http://h", "headers": "x"},
        ],
    )
    def test_malformed(self, wrong: Any) -> None:
        """A request has a URL, a known method, one body."""
        with pytest.raises(Malformed):
            parse_http(wrong)
