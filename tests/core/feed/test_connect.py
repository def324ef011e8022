"""The opening request, and whom a reply may send us to."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.core.feed.build_asking import read_connect
from relayd.core.feed.build_parts import Reader
from relayd.core.feed.connect import Connect, placeholder
from relayd.core.feed.errors import Problems
from relayd.core.upstream.effects import DialImpossible

STEP = {"http": {"url": "https://api.kucoin.com/token"}, "save": {"host": "h"}}


def connect(**block: Any) -> Connect:
    """A `connect` block."""
    problems = Problems()
    made = read_connect(Reader(problems), block)
    problems.finish()
    return made


class RequestTests:
    """What is dialled."""

    def test_url_headers_protocols(self) -> None:
        """With their values."""
        made = connect(url="wss://h/$k", headers={"A": "$k", "B": "$none"}, protocols=["wamp.2.json"])
        request = made.request({"k": "x/y"})
        assert (request.url, dict(request.headers)) == ("wss://h/x%2Fy", {"A": "x/y"})
        assert request.protocols == ("wamp.2.json",) and made.names == {"k", "none"}

    def test_topics_in_the_url(self) -> None:
        """Joined once they are encoded."""
        assert connect(url="https://h/$topics").request({"topics": ["a/b", "c"]}, ",").url == "https://h/a%2Fb,c"

    def test_a_missing_value_is_named(self) -> None:
        """As the file writes it."""
        with pytest.raises(DialImpossible, match=r"\$\{env\.KEY\}"):
            connect(url="wss://h/${env.KEY}").request({})
        assert placeholder("token") == "$token" and placeholder("env.K") == "${env.K}"

    def test_a_value_that_cannot_stand_there(self) -> None:
        """A secret with a line break, say; it is not told."""
        with pytest.raises(DialImpossible) as caught:
            connect(url="wss://h", headers={"K": "${env.K}"}).request({"env.K": "geheim\n"})
        assert "geheim" not in str(caught.value)


class ForeignUrlTests:
    """A URL that a reply gave."""

    @pytest.mark.parametrize(
        "url",
        [
            "wss://ws-api.kucoin.com/endpoint",
            "wss://kucoin.com.evil.kucoin.com",
            "wss://api.kucoin.com",
            "wss://a.b.kucoin.com:8443/x?y",
        ],
    )
    def test_same_parent_domain(self, url: str) -> None:
        """As the host that was asked."""
        assert connect(url="$host", before=[STEP]).request({"host": url}).url == url

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("ws://ws-api.kucoin.com", "not encrypted"),
            ("wss://evil.com", "host"),
            ("wss://kucoin.com.evil.com", "host"),
            ("wss://evilkucoin.com", "host"),
            ("wss://com", "host"),
            ("wss://", "host"),
            ("wss://[::1", "cannot be read"),
            ("file:///etc/passwd", "not encrypted"),
            (5, "not encrypted"),
        ],
    )
    def test_others_are_refused(self, url: Any, why: str) -> None:
        """Whatever the reply says."""
        with pytest.raises(DialImpossible, match=why):
            connect(url="$host", before=[STEP]).request({"host": url})

    @pytest.mark.parametrize(
        ("known", "host", "fits"),
        [
            ("feed.example.co.uk", "wss://other.example.co.uk", True),
            ("example.co.uk", "wss://evil.co.uk", False),
            ("example.co.uk", "wss://a.example.co.uk", True),
            ("example.com", "wss://a.example.com", True),
            ("10.0.0.1", "wss://10.0.0.1", True),
            ("10.0.0.1", "wss://5.0.0.1", False),
            ("localhost", "ws://localhost:9", True),
            ("localhost", "wss://evil.localhost", False),
        ],
    )
    def test_what_a_parent_domain_is(self, known: str, host: str, fits: bool) -> None:
        """A country's second level is none; an address has none."""
        made = connect(url="$host", before=[{"http": {"url": f"http://{known}/t"}}])
        if fits:
            assert made.request({"host": host}).url == host
            return
        with pytest.raises(DialImpossible):
            made.request({"host": host})

    def test_hosts_that_are_named(self) -> None:
        """`connect.hosts` decides, and nothing else."""
        made = connect(url="$host", before=[STEP], hosts=["*.example.org", "x.com"])
        assert made.request({"host": "wss://a.example.org"}).url
        with pytest.raises(DialImpossible, match=r"connect\.hosts"):
            made.request({"host": "wss://api.kucoin.com"})

    def test_a_drain_that_says_where_to_go(self) -> None:
        """The same rules, by the host we dialled."""
        made = connect(url="wss://eventsub.example.com/ws")
        assert made.request({}, url="wss://cell.example.com/ws?id=1").url == "wss://cell.example.com/ws?id=1"
        with pytest.raises(DialImpossible):
            made.request({}, url="wss://evil.com")

    def test_a_url_of_our_own_is_not_questioned(self) -> None:
        """From the environment."""
        assert connect(url="${env.URL}").request({"env.URL": "ws://anything"}).url == "ws://anything"

    def test_hosts_from_the_environment(self) -> None:
        """What the environment puts into a URL of the file is known too."""
        made = connect(url="$host", before=[{"http": {"url": "https://${env.A}/t?k=$key"}}])
        values = {"env.A": "api.x.org", "key": "k", "host": "wss://ws.x.org"}
        assert made.request(values).url == "wss://ws.x.org"
        with pytest.raises(DialImpossible, match=r"connect\.hosts"):
            made.request(values | {"host": "wss://evil.org"})

    @pytest.mark.parametrize("step", ["${env.A}/t", "https://[bad", "https://$host/t", "https://api.$host/t", "https://api.x.org$host"])
    def test_nothing_is_known(self, step: str) -> None:
        """Where the file names no host, or a reply may have a say in it, `connect.hosts` must."""
        before = [{"http": {"url": step}}]
        with pytest.raises(DialImpossible, match=r"connect\.hosts does not name it"):
            connect(url="$url", before=before).request({"url": "wss://x.org", "host": ".x.org"})
        made = connect(url="$url", before=before, hosts=["x.org"])
        assert made.request({"url": "wss://x.org"}).url == "wss://x.org"
        assert connect(url="").request({}).url == ""
