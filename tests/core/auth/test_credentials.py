"""Where a request shows who makes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.auth.credentials import Credential, Places, of_message
from relayd.core.auth.verdict import Identity

ALL = Places.parse(("header", "cookie:sid", "query:token", "message"))


def read(places: Places = ALL, query: str = "", cookie_counts: bool = True, **headers: str) -> Credential:
    """What a request with these headers (`_` is a dash) shows."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return places.read(named.get, query, cookie_counts=cookie_counts, client="192.0.2.1", path="/ws")


class PlacesTests:
    """`auth.from`."""

    def test_what_is_listed(self) -> None:
        """Only that."""
        assert (ALL.by_message, ALL.by_cookie) == (True, True)
        default = Places()
        assert (default.by_message, default.by_cookie) == (True, False)
        assert read(default, "token=q", cookie="sid=c").token is None
        assert read(default, authorization="Bearer h").token == "h"

    def test_order(self) -> None:
        """The first place that has something."""
        assert read(query="token=q", authorization="Bearer h", cookie="sid=c").token == "h"
        assert read(query="token=q", cookie="sid=c").token == "c"
        assert read(query="token=q").token == "q"

    @pytest.mark.parametrize(
        ("value", "token"),
        [("Bearer a", "a"), ("bearer a", "a"), ("BEARER  a ", "a"), ("Basic a", None), ("Bearer", None),
         ("Bearer ", None),
         ("", None), ("a", None)],
    )  # fmt: skip
    def test_header(self, value: str, token: str | None) -> None:
        """RFC 6750 2.1."""
        assert read(authorization=value).token == token

    @pytest.mark.parametrize(
        ("value", "token"),
        [("sid=a", "a"), ("x=1; sid=a;y=2", "a"), ('sid="a"', "a"), ("sid=a=b", "a=b"), ("sid=", None), ("sid", None),
         ("SID=a", None), ("xsid=a", None), ("sid=a; sid=a", "a"), ("sid=a; sid=b", None), ("", None)],
    )  # fmt: skip
    def test_cookie(self, value: str, token: str | None) -> None:
        """RFC 6265 5.4; of two that differ neither counts."""
        assert read(cookie=value).token == token

    @pytest.mark.parametrize(
        ("query", "token"),
        [("token=a", "a"), ("x=1&token=a", "a"), ("token=%61", "a"), ("tok%65n=a", "a"), ("token=", None),
         ("token", None),
         ("token=a&token=b", None), ("token=%ff", None), ("", None), ("Token=a", None)],
    )  # fmt: skip
    def test_query(self, query: str, token: str | None) -> None:
        """Percent-decoded once."""
        assert read(query=query).token == token

    def test_unchecked_origin(self) -> None:
        """The cookie is then not there, neither for us nor for the webhook."""
        shown = read(cookie_counts=False, cookie="sid=a", user_agent="UA")
        assert (shown.token, shown.headers, shown.identifying) == (None, (("user-agent", "UA"),), ())

    def test_for_the_webhook(self) -> None:
        """A fixed list: what somebody makes up is not handed on (GHSA of Centrifugo's emulated headers)."""
        shown = read(
            cookie="a=b", x_user="root", x_forwarded_for="1.2.3.4", authorization="Basic x", origin="https://a"
        )
        assert shown.headers == (("authorization", "Basic x"), ("cookie", "a=b"), ("origin", "https://a"))
        assert shown.identifying == ("authorization:Basic x", "cookie:a=b")
        assert (shown.client, shown.path) == ("192.0.2.1", "/ws")

    def test_message(self) -> None:
        """As a header."""
        assert of_message("t", "c", "p") == Credential("t", (("authorization", "Bearer t"),), "c", "p")

    @given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
    def test_any_text(self, authorization: str, cookie: str, query: str) -> None:
        """Nothing raises, and the repr keeps all of it."""
        shown = read(query=query, authorization=authorization, cookie=cookie)
        assert repr(shown) == "Credential(client='192.0.2.1', path='/ws')"


class CertificateTests:
    """Whom TLS has verified."""

    PEER = Identity("press-7")

    def shown(self, *places: str, cookie_counts: bool = False, **headers: str) -> Credential:
        """What a request with a certificate shows."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Places.parse(places).read(
            named.get, "", cookie_counts=cookie_counts, client="192.0.2.1", path="/ws", peer=self.PEER
        )

    def test_only_where_it_is_listed(self) -> None:
        """By default it names nobody."""
        assert self.shown("header", "message").certificate is None
        assert self.shown("certificate") == Credential(client="192.0.2.1", path="/ws", certificate=self.PEER)
        assert not self.shown("certificate").is_empty and self.shown("header").is_empty

    def test_order(self) -> None:
        """The first place that has something."""
        header = {"authorization": "Bearer h"}
        assert self.shown("certificate", "header", **header).token is None
        shown = self.shown("header", "certificate", **header)
        assert (shown.token, shown.certificate) == ("h", None)
        assert self.shown("header", "certificate").certificate is self.PEER

    @pytest.mark.parametrize(
        ("headers", "vouched", "counts"),
        [
            ({}, False, True),
            ({"sec_fetch_site": "none"}, False, True),
            ({"sec_fetch_site": "same-origin"}, False, True),
            ({"sec_fetch_site": "cross-site"}, False, False),
            ({"sec_fetch_site": "same-site"}, False, False),
            ({"origin": "https://evil.example"}, False, False),
            ({"origin": "null"}, False, False),
            ({"origin": "https://app.example"}, True, True),
        ],
    )
    def test_pages_of_strangers(self, headers: dict[str, str], vouched: bool, counts: bool) -> None:
        """A browser shows its certificate for every page, so the page must be one that is named."""
        assert (self.shown("certificate", cookie_counts=vouched, **headers).certificate is self.PEER) is counts
