"""Tests of relayd.core.upstream.policy."""

from __future__ import annotations

import pytest

from relayd.core.feed.build import build_dialect
from relayd.core.feed.spec import CodeRule, ReconnectSpec
from relayd.core.upstream.effects import Loss, LossKind
from relayd.core.upstream.policy import REFUSED, UpstreamPolicy, Verdict, never


class VerdictTests:
    """What a loss asks for."""

    @pytest.mark.parametrize(
        ("loss", "verdict"),
        [
            (Loss(LossKind.BROKEN), "retry"),
            (Loss(LossKind.CLOSED, code=1008), 120.0),
            (Loss(LossKind.CLOSED, code=1000), "retry"),
            (Loss(LossKind.CLOSED, code=4401), "stop"),
            (Loss(LossKind.CLOSED, code=4408), "retry"),
            (Loss(LossKind.CLOSED, code=1000, text="kicked by a newer connection"), "wait"),
            (Loss(LossKind.CLOSED, code=4401, text="kicked by a newer connection"), "stop"),
            (Loss(LossKind.HTTP, status=503, text="connection limit exceeded"), "wait"),
            (Loss(LossKind.HTTP, status=401, text="already logged in"), REFUSED),
            (Loss(LossKind.HTTP, status=204), REFUSED),
            (Loss(LossKind.HTTP, status=429), "wait"),
            (Loss(LossKind.HTTP, status=418), "wait"),
            (Loss(LossKind.HTTP, status=401), REFUSED),
            (Loss(LossKind.HTTP, status=403), "retry"),
            (Loss(LossKind.HTTP, status=503), "retry"),
            (Loss(LossKind.HTTP, status=400), "forget-cursor"),
            (Loss(LossKind.LOGIN), REFUSED),
        ],
    )
    def test_the_narrowest_rule_then_the_default(self, loss: Loss, verdict: Verdict) -> None:
        """Rules of the file come before what a status means by itself."""
        policy = UpstreamPolicy(
            reconnect=ReconnectSpec(
                codes=(CodeRule(4400, 4499, "stop"), CodeRule(4408, 4408, "retry"), CodeRule(1008, 1008, 120.0)),
                status=(CodeRule(403, 403, "retry"), CodeRule(400, 400, "forget-cursor")),
            )
        )
        assert policy.verdict(loss) == verdict

    def test_never(self) -> None:
        """Without `subscribe.within` a quiet topic is no fault."""
        assert UpstreamPolicy().subscribe_within_s is never
        assert never({"symbol": "BTC-USD"}) is None
        assert UpstreamPolicy().sequence_of({"symbol": "BTC-USD"}) is None


class DialectTests:
    """What a dialect asks for."""

    def test_taken_over(self) -> None:
        """Its specs, its durations, and what is no part of it."""
        dialect = build_dialect(
            {
                "connect": {
                    "url": "wss://feed.example/",
                    "max_age": 80000.0,
                    "refresh": {"every": 1800.0, "http": {"method": "PUT", "url": "https://feed.example/"}},
                },
                "login": [{"send": {"op": "auth"}, "expect": {"op": "ready"}, "within": 4.0}],
                "topic": {"at": {"symbol": "s"}},
                "subscribe": {"send": {"op": "$verb", "s": "$symbol"}, "within": 7.0},
                "silence": {"any": 9.0},
                "sequence": {"for": {"symbol": "BTC"}, "at": "n", "step": 1},
                "snapshot": {"for": {"symbol": "BTC"}, "when": {"type": "all"}},
                "limits": {"first_send": 5.0, "connections": 3},
            }
        )
        policy = UpstreamPolicy.of(dialect, settle_s=12.0)
        assert policy.login_within_s == 4.0
        assert (policy.max_age_s, policy.refresh_s) == (80000.0, 1800.0)
        assert policy.subscribe_within_s({"symbol": "x"}) == 7.0
        assert [policy.sequence_of({"symbol": symbol}) is not None for symbol in ("BTC", "x")] == [True, False]
        assert [policy.is_delta({"symbol": symbol}) for symbol in ("BTC", "x")] == [True, False]
        assert not UpstreamPolicy().is_delta({})
        assert policy.connections_most == 3
        assert policy.silence.any_s == 9.0
        assert policy.first_send_s == 5.0
        assert policy.settle_s == 12.0
        assert (policy.dial_at_start, policy.unasked, policy.topics_in_url) == (False, False, False)

    def test_defaults(self) -> None:
        """A feed that pushes unasked, without a login."""
        policy = UpstreamPolicy.of(build_dialect({"connect": {"url": "ws://x/"}, "topic": {"at": {"symbol": "s"}}}))
        assert (policy.unasked, policy.login_within_s) == (True, 10.0)

    @pytest.mark.parametrize(
        ("at_start", "first_send_s", "kept"), [(True, None, True), (True, 5.0, False), (False, None, False)]
    )
    def test_kept(self, at_start: bool, first_send_s: float | None, kept: bool) -> None:
        """Where nobody wants anything: not one that cuts those who say nothing."""
        assert UpstreamPolicy(dial_at_start=at_start, first_send_s=first_send_s).is_kept is kept
