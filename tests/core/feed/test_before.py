"""HTTP steps before a connection."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.core.feed.before import Kept, Preparation, StepFailed
from relayd.core.feed.build_asking import read_connect
from relayd.core.feed.build_parts import Reader
from relayd.core.feed.errors import Problems
from relayd.core.upstream_effects import DialImpossible

TOKEN: dict[str, Any] = {
    "http": {"method": "POST", "url": "https://h/token", "json": {"k": "${env.K}"}},
    "save": {"token": "data.token"},
}
URL: dict[str, Any] = {
    "http": {"url": "https://h/url", "headers": {"X": "$token"}},
    "save": {"host": "0"},
    "within": "3s",
}


def preparation(*steps: Any, kept: Kept | None = None, **secrets: str) -> Preparation:
    """One attempt."""
    problems = Problems()
    connect = read_connect(Reader(problems), {"url": "$host", "before": list(steps)})
    problems.finish()
    return Preparation(connect, kept or Kept(), wall=lambda: 1.0, uuid=lambda: "u", secrets=secrets)


class PreparationTests:
    """Steps."""

    def test_none(self) -> None:
        """Nothing to do."""
        attempt = preparation()
        assert attempt.next_request() is None and attempt.saved == {}

    def test_one_after_the_other(self) -> None:
        """A later one uses what an earlier one saved."""
        attempt = preparation(TOKEN, URL, **{"env.K": "s"})
        first = attempt.next_request()
        assert first is not None and (first.method, first.body) == ("POST", b'{"k":"s"}') and attempt.within_s == 10.0
        attempt.reply(b'{"data":{"token":"t"}}')
        second = attempt.next_request()
        assert second is not None and second.headers == (("X", "t"),) and attempt.within_s == 3.0
        attempt.reply(b'["wss://x"]')
        assert attempt.next_request() is None and attempt.saved == {"token": "t", "host": "wss://x"}

    @pytest.mark.parametrize(
        ("body", "status", "why"),
        [
            (b'{"data":{"token":"t"}}', 401, "HTTP status 401"),
            (b'{"data":{"token":"t"}}', 302, "HTTP status 302"),
            (b'{"data":{}}', 200, r"no data\.token"),
            (b"<html>geheim", 200, r"no data\.token"),
        ],
    )
    def test_a_bad_reply(self, body: bytes, status: int, why: str) -> None:
        """Its status is told, its body is not; nothing is kept of a failure."""
        kept = Kept()
        attempt = preparation({**TOKEN, "keep": "until-refused"}, kept=kept, **{"env.K": "s"})
        attempt.next_request()
        with pytest.raises(StepFailed, match=why) as caught:
            attempt.reply(body, status)
        assert caught.value.status == status and "geheim" not in str(caught.value)
        assert kept.by_step == {} and isinstance(caught.value, DialImpossible)

    def test_kept_until_refused(self) -> None:
        """The next attempt does not ask again, until it must."""
        kept, step = Kept(), {**TOKEN, "keep": "until-refused"}
        attempt = preparation(step, kept=kept, **{"env.K": "s"})
        attempt.next_request()
        attempt.reply(b'{"data":{"token":"t"}}')
        again = preparation(step, URL, kept=kept)
        request = again.next_request()
        assert request is not None and request.url == "https://h/url" and again.saved == {"token": "t"}
        kept.forget()
        with pytest.raises(DialImpossible, match=r"\$\{env\.K\}"):
            preparation(step, kept=kept).next_request()

    def test_a_value_that_cannot_stand_there(self) -> None:
        """A line break in a header."""
        attempt = preparation({"http": {"url": "https://h", "headers": {"X": "${env.K}"}}}, **{"env.K": "a\nb"})
        with pytest.raises(DialImpossible, match=r"before\[0\]"):
            attempt.next_request()
