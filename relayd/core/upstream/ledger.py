"""The ledger of a session's topics, as the upstream's policy wants it."""

from __future__ import annotations

from typing import TypeVar

from relayd.core.upstream.effects import FeedSink
from relayd.core.upstream.places import Places
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.topics import TopicLedger

T = TypeVar("T")


def ledger_of(name: str, policy: UpstreamPolicy, sink: FeedSink[T]) -> TopicLedger[T]:
    """The ledger of one session of an upstream."""
    why = f"limits.topics of upstream {name} is reached ({policy.topics_most})"
    return TopicLedger(
        sink,
        within_s=policy.subscribe_within_s,
        failed_again_s=policy.failed_again_s,
        unasked=policy.unasked,
        places=Places(policy.topics_most, policy.claims_of, why),
        is_delta=policy.is_delta,
    )
