"""Tests of relayd.core.upstream.ledger."""

from __future__ import annotations

from relayd.core.upstream.ledger import ledger_of
from relayd.core.upstream.places import Claim
from relayd.core.upstream.policy import UpstreamPolicy
from tests.support.upstream import WritingHub


class MakingTests:
    """From a policy."""

    def test_the_reason(self) -> None:
        """It names the setting and the upstream."""
        hub = WritingHub()
        policy = UpstreamPolicy(topics_most=1, claims_of=lambda fields: (Claim((fields["n"],)),))
        ledger = ledger_of("feed", policy, hub)
        for topic in "ab":
            ledger.want(topic, {"n": topic})
        ledger.take_wants(0.0)
        assert hub.read()[-1] == "b failed: limits.topics of upstream feed is reached (1)"
