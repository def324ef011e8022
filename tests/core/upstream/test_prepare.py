"""Tests of relayd.core.upstream.prepare."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from relayd.core.feed.connect import HttpStep
from relayd.core.feed.outcome import HttpRequest
from relayd.core.feed.path import parse_paths
from relayd.core.feed.resume import Resume
from relayd.core.feed.url import parse_http
from relayd.core.feed.voice import Voice
from relayd.core.upstream.effects import DialImpossible, Loss, LossKind
from relayd.core.upstream.prepare import Preparation


def step(url: str, save: dict[str, str] | None = None, *, keep: bool = False, within_s: float = 10.0) -> HttpStep:
    """A GET that saves."""
    paths = {name: parse_paths(path) for name, path in (save or {}).items()}
    return HttpStep(parse_http({"url": url}), paths, keep=keep, within_s=within_s)


def preparation(*steps: HttpStep) -> Preparation:
    """Of these steps, with the secret `env.KEY`."""

    def speak(saved: Mapping[str, object]) -> Voice:
        return Voice(wall=lambda: 0.0, uuid=lambda: "u", secrets={"env.KEY": "k y"}, saved=saved, resume=Resume())

    return Preparation(steps, speak)


class PreparationTests:
    """Steps in order, each with what the earlier ones saved."""

    def test_in_order(self) -> None:
        """What one saves the next may use; at the end all of it is there."""
        steps = preparation(
            step("https://a.example/?key=${env.KEY}", {"token": "token"}, within_s=3.0),
            step("https://b.example/$token", {"host": "servers.0.host", "ping_ms": "ping"}, within_s=4.0),
        )
        assert steps.begin() == HttpRequest("GET", "https://a.example/?key=k%20y")
        assert steps.within_s == 3.0
        assert steps.replied(b'{"token": "t/1"}', 200) == HttpRequest("GET", "https://b.example/t%2F1")
        assert steps.within_s == 4.0
        assert steps.replied(b'{"servers": [{"host": "wss://c.example"}], "ping": 18000}', 201) is None
        assert steps.saved == {"token": "t/1", "host": "wss://c.example", "ping_ms": 18000}

    def test_each_dial_begins_anew(self) -> None:
        """Nothing of an earlier dial is used."""
        steps = preparation(step("https://a.example/", {"token": "token"}))
        steps.begin()
        assert steps.replied(b'{"token": 1}', 200) is None
        assert steps.begin() is not None
        assert steps.saved == {}

    def test_kept(self) -> None:
        """Only the step with `keep`, only what was a success, only until we are refused."""
        steps = preparation(
            step("https://a.example/", {"token": "token"}, keep=True), step("https://b.example/$token", {"x": "x"})
        )
        steps.begin()
        assert isinstance(steps.replied(b"{}", 200), Loss)
        assert steps.begin() == HttpRequest("GET", "https://a.example/")
        steps.replied(b'{"token": "t"}', 200)
        assert steps.replied(b'{"x": 1}', 200) is None
        assert steps.begin() == HttpRequest("GET", "https://b.example/t")
        assert steps.replied(b'{"x": 2}', 200) is None
        assert steps.saved == {"token": "t", "x": 2}
        steps.refused()
        assert steps.begin() == HttpRequest("GET", "https://a.example/")

    def test_all_kept(self) -> None:
        """Then there is nothing to ask."""
        steps = preparation(step("https://a.example/", {"token": "token"}, keep=True))
        steps.begin()
        steps.replied(b'{"token": "t"}', 200)
        assert steps.begin() is None
        assert steps.saved == {"token": "t"}

    @pytest.mark.parametrize(
        ("body", "status", "loss"),
        [
            (b"bad\nkey", 401, Loss(LossKind.HTTP, status=401, text="connect.before: bad key", retry_after_s=9.0)),
            (b"{}", 302, Loss(LossKind.HTTP, status=302, text="connect.before: {}", retry_after_s=9.0)),
            (
                b'{"tok": 1}',
                200,
                Loss(LossKind.CONFIG, text="connect.before: the reply has nothing where save.token looks"),
            ),
            (
                b"<html>",
                200,
                Loss(LossKind.CONFIG, text="connect.before: the reply has nothing where save.token looks"),
            ),
        ],
    )
    def test_failures(self, body: bytes, status: int, loss: Loss) -> None:
        """A status, or a reply that does not hold what it should."""
        steps = preparation(step("https://a.example/", {"token": "token"}))
        steps.begin()
        assert steps.replied(body, status, 9.0) == loss

    def test_impossible(self) -> None:
        """What is missing is named as the file writes it; what would break out of its place is refused."""
        with pytest.raises(DialImpossible, match=r"connect\.before needs \$\{env\.NONE\}, which has no value"):
            preparation(step("https://a.example/${env.NONE}")).begin()
        steps = preparation(step("https://a.example/", {"token": "token"}), step("https://b.example/$token"))
        steps.begin()
        with pytest.raises(DialImpossible, match=r"connect\.before: a value of only dots"):
            steps.replied(b'{"token": ".."}', 200)


class SharedTests:
    """Several connections of one upstream."""

    def test_what_is_kept_is_shared(self) -> None:
        """A new token would void the old one's: the second connection uses the first one's."""
        kept: dict[int, Mapping[str, object]] = {}
        one = step("https://a.example/", {"token": "token"}, keep=True)

        def speak(saved: Mapping[str, object]) -> Voice:
            return Voice(wall=lambda: 0.0, uuid=lambda: "u", secrets={}, saved=saved, resume=Resume())

        first, second = (Preparation((one,), speak, kept) for _ in range(2))
        assert isinstance(first.begin(), HttpRequest)
        first.replied(b'{"token": "t"}', 200)
        assert (second.begin(), second.saved) == (None, {"token": "t"})
        second.refused()
        assert isinstance(first.begin(), HttpRequest)
