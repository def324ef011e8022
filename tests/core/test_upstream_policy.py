"""Tests of relayd.core.upstream_policy."""

from __future__ import annotations

import pytest

from relayd.core.feed.spec import CodeRule, ReconnectSpec
from relayd.core.upstream_effects import Loss, LossKind
from relayd.core.upstream_policy import REFUSED, UpstreamPolicy, Verdict, never


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
