"""What a dialect asks of whoever holds the connection."""

from __future__ import annotations

from relayd.core.feed.spec import CodeRule, ReconnectSpec


class ReconnectSpecTests:
    """Reactions to close codes and statuses."""

    def test_the_narrower_range_wins(self) -> None:
        """`4400-4499: stop, 4408: retry`, in whatever order."""
        wide, narrow = CodeRule(4400, 4499, "stop"), CodeRule(4408, 4408, "retry")
        for codes in ((wide, narrow), (narrow, wide)):
            spec = ReconnectSpec(codes=codes)
            assert spec.after_code(4408) == "retry"
            assert spec.after_code(4400) == spec.after_code(4499) == "stop"

    def test_without_a_rule(self) -> None:
        """The default decides."""
        spec = ReconnectSpec(status=(CodeRule(429, 429, "wait"),))
        assert spec.after_code(429) is None
        assert spec.after_status(429) == "wait"
        assert spec.after_status(500) is None
