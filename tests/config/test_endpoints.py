"""Endpoints, origins, networks, prefixes."""

from __future__ import annotations

import pytest
from pydantic_core import PydanticCustomError
from twisted.internet.endpoints import serverFromString
from twisted.internet.testing import MemoryReactor

from relayd.config.endpoints import parse_endpoint, parse_network, parse_origin, parse_prefix, parse_proxy


def refusal(parse, value):
    """What a parser says about a value."""
    with pytest.raises(PydanticCustomError) as caught:
        parse(value)
    return caught.value.message()


class EndpointTests:
    """Twisted's grammar, without the types that cannot be reloaded or lose segments."""

    GOOD = (
        "tcp:8080",
        "tcp:0",
        "tcp:8080:interface=127.0.0.1",
        "tcp:8080:interface=127.0.0.1:backlog=500",
        "tcp6:8080:interface=\\:\\:1",
        "unix:/run/relayd.sock",
        "unix:/run/relayd.sock:mode=660",
        "unix:relayd.sock:mode=0660:backlog=10",
    )

    @pytest.mark.parametrize("text", [*GOOD, "tcp6:8080", "systemd:relayd-public"])
    def test_good(self, text):
        """Kept as it is written."""
        assert parse_endpoint(text) == text

    @pytest.mark.parametrize("text", GOOD)
    def test_twisted_reads_it(self, text):
        """What is accepted here can be listened on."""
        assert serverFromString(MemoryReactor(), text) is not None

    @pytest.mark.parametrize(
        ("value", "what"),
        [
            (8080, "not an endpoint"),
            ("", "not an endpoint"),
            ("8080", "`8080` is not an endpoint type"),
            ("http:8080", "`http` is not an endpoint type"),
            ("ssl:443", "`ssl` is not an endpoint type here"),
            ("haproxy:tcp:8080", "`haproxy` is not an endpoint type here"),
            ("tcp", "the endpoint names no place"),
            ("tcp:", "the endpoint names no place"),
            ("tcp:http", "http is not a port"),
            ("tcp:65536", "65536 is not a port"),
            ("tcp:٨٠", "٨٠ is not a port"),
            ("tcp:${env.PORT}", "a placeholder stands only inside an upstream"),
            ("tcp:8080:127.0.0.1", "`127.0.0.1` does not belong to a tcp endpoint"),
            ("tcp:8080:mode=660", "`mode=660` does not belong to a tcp endpoint"),
            ("tcp:8080:backlog=5:backlog=6", "`backlog` stands twice"),
            ("tcp:8080:backlog=0", "0 is not a backlog"),
            ("tcp:8080:backlog=many", "many is not a backlog"),
            ("tcp:8080:interface=localhost", "localhost is not an address"),
            ("tcp:8080:interface=\\:\\:1", "\\:\\:1 is an IPv6 address"),
            ("tcp6:8080:interface=127.0.0.1", "127.0.0.1 is an IPv4 address"),
            ("tcp6:8080:interface=::1", "no address: a colon inside one is written \\:"),
            ("unix:mode=660", "a unix endpoint starts with its path"),
            ("unix:/run/x:mode=rw", "rw is not a file mode"),
            ("unix:/" + "x" * 107, "the path of a unix socket has at most 107 bytes"),
            ("systemd:a b", "not the name of a systemd socket"),
            ("systemd:a:index=0", "`index=0` does not belong to a systemd endpoint"),
        ],
    )
    def test_bad(self, value, what):
        """What is wrong is said."""
        assert refusal(parse_endpoint, value) == what


class OriginTests:
    """Pages that may connect."""

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("same", "same"),
            ("any", "any"),
            ("null", "null"),
            ("https://App.Example.com", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://*.example.com", "https://*.example.com"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ],
    )
    def test_good(self, value, text):
        """Lower case, as browsers send it."""
        assert parse_origin(value) == text

    @pytest.mark.parametrize(
        ("value", "what"),
        [
            (None, "an empty value"),
            ("*", "`*` is not an origin"),
            (5, "not an origin"),
            ("example.com", "an origin starts with its scheme"),
            ("https://example.com/", "not an origin: it has no path, query or user"),
            ("ftp://example.com", "not an origin: it has no path, query or user"),
            ("https://a.*.com", "not an origin: it has no path, query or user"),
            ("https://example.com:0", "0 is not a port"),
            ("https://example.com:65536", "65536 is not a port"),
        ],
    )
    def test_bad(self, value, what):
        """What is wrong is said."""
        assert refusal(parse_origin, value) == what


class NetworkTests:
    """Networks of proxies."""

    def test_proxies(self):
        """A network, or the other end of a unix socket."""
        assert [parse_proxy(text) for text in ("unix", "10.0.0.1")] == ["unix", "10.0.0.1/32"]
        assert refusal(parse_proxy, "Unix") == "Unix is not a network"

    def test_good(self):
        """Canonical."""
        assert [parse_network(text) for text in ("10.0.0.0/8", "10.0.0.1", "FD00::/8")] == [
            "10.0.0.0/8",
            "10.0.0.1/32",
            "fd00::/8",
        ]

    @pytest.mark.parametrize(
        ("value", "what"),
        [
            (None, "not a network"),
            (10, "not a network"),
            ("10.0.0.1/8", "10.0.0.1/8 has bits set after its prefix"),
            ("lan", "lan is not a network"),
        ],
    )
    def test_bad(self, value, what):
        """What is wrong is said."""
        assert refusal(parse_network, value) == what


class PrefixTests:
    """The path before every resource."""

    @pytest.mark.parametrize("text", ["", "/live", "/a/b-c_1.2~3"])
    def test_good(self, text):
        """Nothing, or a path."""
        assert parse_prefix(text) == text

    @pytest.mark.parametrize("value", ["live", "/live/", "/", "/a//b", "/a/../b", "/a b", "/ä", None, 1])
    def test_bad(self, value):
        """Anything else is refused."""
        assert refusal(parse_prefix, value) == "not a path prefix"
