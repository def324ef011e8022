"""Which pages may talk to a listener: more than sixty origins, the right and the clever ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.origin import Origin, OriginEntryError, OriginPolicy, parse_origin
from relayd.core.refusal import ORIGIN_MALFORMED, ORIGIN_MISSING, ORIGIN_REFUSED, HttpRefusal

APP = "https://app.example.com"
BELOW = "https://*.example.com"


def ask(
    entries: str, origin: str | None, host: str = "relay.example.com", *, secure: bool = False, required: bool = False
) -> HttpRefusal | None:
    """What a listener with these `origins` (between spaces) answers."""
    return OriginPolicy.parse(entries.split(), required=required).refuse(origin, host, secure=secure)


class SameTests:
    """The default: the page came from where the WebSocket goes."""

    @pytest.mark.parametrize(
        ("origin", "host", "secure"),
        [
            ("https://relay.example.com", "relay.example.com", True),
            ("https://relay.example.com", "relay.example.com", False),  # a proxy took the TLS off
            ("https://relay.example.com", "relay.example.com:443", False),
            ("https://relay.example.com:443", "relay.example.com", True),
            ("http://relay.example.com", "relay.example.com", False),
            ("http://relay.example.com", "relay.example.com:80", False),
            ("http://localhost:8080", "localhost:8080", False),
            ("http://127.0.0.1:8080", "127.0.0.1:8080", False),
            ("http://[::1]:8080", "[::1]:8080", False),
            ("http://[0:0::1]:8080", "[::1]:8080", False),
            ("HTTPS://Relay.Example.COM", "relay.EXAMPLE.com", True),
            ("https://relay.example.com:8443", "relay.example.com:8443", True),
        ],
    )
    def test_same(self, origin: str, host: str, secure: bool) -> None:
        """Host and port agree, a missing port being the scheme's."""
        assert ask("same", origin, host, secure=secure) is None

    @pytest.mark.parametrize(
        ("origin", "host", "secure"),
        [
            ("https://evil.com", "relay.example.com", True),
            ("https://relay.example.com.evil.com", "relay.example.com", True),
            ("https://relay.example.com:8443", "relay.example.com", True),
            ("https://relay.example.com", "relay.example.com:8443", True),
            ("http://relay.example.com", "relay.example.com", True),  # a page without TLS may be anybody's
            ("http://relay.example.com", "relay.example.com:443", False),
            ("http://localhost:8081", "localhost:8080", False),
            ("http://localhost:8080", "127.0.0.1:8080", False),
            ("chrome-extension://relay.example.com", "relay.example.com", False),
            ("ftp://relay.example.com", "relay.example.com", False),
            ("https://relay.example.com.", "relay.example.com", True),
            ("https://xn--rlay-5sa.example.com", "relay.example.com", True),
        ],
    )
    def test_not_same(self, origin: str, host: str, secure: bool) -> None:
        """Everything that only looks like it."""
        assert ask("same", origin, host, secure=secure) is ORIGIN_REFUSED


class ListTests:
    """Origins by name."""

    @pytest.mark.parametrize(
        ("entries", "origin"),
        [
            (APP, "https://app.example.com"),
            (APP, "https://app.example.com:443"),
            (APP + ":443", "https://app.example.com"),
            ("https://App.Example.com", "https://app.example.com"),
            ("https://app.example.com:8443", "https://app.example.com:8443"),
            ("http://app.example.com", "http://app.example.com:80"),
            (f"same {APP}", "https://app.example.com"),
            (BELOW, "https://a.example.com"),
            (BELOW, "https://a.b.example.com"),
            (BELOW, "https://a.example.com:443"),
            ("https://*.example.com:8443", "https://a.example.com:8443"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("https://*.bücher.example", "https://a.xn--bcher-kva.example"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("http://[2001:db8:0::1]:8080", "http://[2001:db8::1]:8080"),
            ("http://192.0.2.1", "http://192.0.2.1"),
            ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("null", "null"),
            ("any", "https://evil.com"),
            ("*", "http://evil.com:81"),
        ],
    )
    def test_named(self, entries: str, origin: str) -> None:
        """Named, by a word or a wildcard."""
        assert ask(entries, origin) is None

    @pytest.mark.parametrize(
        ("entries", "origin"),
        [
            (APP, "https://example.com"),
            (APP, "http://app.example.com"),
            (APP, "https://app.example.com:8443"),
            (APP + ":8443", "https://app.example.com"),
            (APP, "https://app.example.com.evil.com"),
            (APP, "https://evilapp.example.com"),
            (APP, "https://app.example.org"),
            (APP, "null"),
            ("same", "null"),
            ("any", "null"),
            ("null", "https://app.example.com"),
            (BELOW, "https://example.com"),
            (BELOW, "https://evilexample.com"),
            (BELOW, "https://a.example.com.evil.com"),
            (BELOW, "http://a.example.com"),
            (BELOW, "https://a.example.com:8443"),
            (BELOW, "https://com"),
            ("https://*.example.com:8443", "https://a.example.com"),
            ("https://bücher.example", "https://bucher.example"),
            ("chrome-extension://abcdefgh", "chrome-extension://abcdefgi"),
            ("chrome-extension://abcdefgh", "moz-extension://abcdefgh"),
        ],
    )
    def test_not_named(self, entries: str, origin: str) -> None:
        """Neighbours of what is named."""
        assert ask(entries, origin) is ORIGIN_REFUSED

    @pytest.mark.parametrize(
        "origin",
        [
            "",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://app.example.com?a",
            "https://app.example.com#a",
            "https://app.example.com@evil.com",
            "https://user:pass@app.example.com",
            "https://app.example.com:",
            "https://app.example.com:65536",
            "https://app.example.com:-1",
            "https://app.example.com:1e2",
            "https://app.example.com https://evil.com",
            "https://app.example.com,https://evil.com",
            "https://app..example.com",
            "https://-app.example.com",
            "https://app.example.com%2eevil.com",
            "https://app.example.com\\evil.com",
            "https://*.example.com",
            "https://[::1",
            "https://[::1%25eth0]",
            "https://[1:2]",
            "https://::1",
            "//app.example.com",
            "https:app.example.com",
            "javascript:alert(1)",
            "1https://app.example.com",
            "NULL",
            "Null",
            "undefined",
            "file://",
        ],
    )
    def test_malformed(self, origin: str) -> None:
        """What no browser writes is refused whatever the list is."""
        assert ask("any", origin) is ORIGIN_MALFORMED


class NoOriginTests:
    """Programs that are no browsers."""

    def test_allowed_by_default(self) -> None:
        """They send none, and have no cookies that a page could abuse."""
        assert ask("same", None) is None

    def test_refused_where_required(self) -> None:
        """require_origin."""
        assert ask("any", None, required=True) is ORIGIN_MISSING


class EntryTests:
    """What may stand in the file."""

    @pytest.mark.parametrize(
        ("entry", "said"),
        [
            ("app.example.com", "https://app.example.com"),
            ("", "https://app.example.com"),
            ("wss://app.example.com", "its scheme is https"),
            ("ws://app.example.com", "its scheme is http"),
            ("https://app.example.com/", "without a path, a user or a slash"),
            ("https://a:b@app.example.com", "without a path"),
            ("https://*.com", "at least two labels"),
            ("https://*.com.", "at least two labels"),
            ("https://*.[::1]", "only http and https names"),
            ("app://*.example.com", "only http and https names"),
            ("https://*.*.example.com", "is not an origin"),
            ("https://ex*.example.com", "is not an origin"),
            ("https://" + "ü" * 70 + ".example", "international domain name"),
        ],
    )
    def test_refused(self, entry: str, said: str) -> None:
        """Each error names the entry and what would be right."""
        with pytest.raises(OriginEntryError) as caught:
            OriginPolicy.parse([entry])
        assert repr(entry) in str(caught.value)
        assert said in str(caught.value)


class ParseOriginTests:
    """Any text at all."""

    @given(st.text())
    def test_never_raises(self, text: str) -> None:
        """It is an origin or it is none."""
        parsed = parse_origin(text)
        assert parsed is None or isinstance(parsed, Origin)

    @given(
        st.sampled_from(["http", "https", "app"]), st.from_regex(r"[a-z0-9]{1,9}(\.[a-z]{2,5}){0,3}", fullmatch=True)
    )
    def test_an_origin_is_allowed_by_itself_alone(self, scheme: str, host: str) -> None:
        """An entry lets in what it says; another scheme or port is another origin."""
        origin = f"{scheme}://{host}"
        policy = OriginPolicy.parse([origin])
        assert policy.refuse(origin, "a", secure=False) is None
        assert policy.refuse(f"x{origin}", "a", secure=False) is ORIGIN_REFUSED
        assert policy.refuse(f"{origin}:8081", "a", secure=False) is ORIGIN_REFUSED


class VouchTests:
    """Whose visitor's cookies count."""

    @pytest.mark.parametrize(
        ("entries", "origin", "counts"),
        [
            (["same"], "https://relay.example", True),
            (["same"], None, False),
            (["same"], "https://evil.example", False),
            (["https://a.example"], "https://a.example", True),
            (["https://*.a.example"], "https://b.a.example", True),
            (["any"], "https://evil.example", False),
            (["any", "https://a.example"], "https://a.example", True),
            (["null"], "null", False),
            (["same"], "nonsense", False),
        ],
    )
    def test_vouches(self, entries, origin, counts):
        """Only for pages that are named, or relayd's own: not for whoever is let in without a look."""
        assert OriginPolicy.parse(entries).vouches(origin, "relay.example", secure=True) is counts
