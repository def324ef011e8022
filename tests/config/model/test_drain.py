"""The `drain` block."""

from __future__ import annotations

import pytest

from relayd.config.load import loads
from relayd.config.model import Drain
from tests.support.relay_yaml import relay_yaml, told


class DrainTests:
    """Durations, with ends."""

    def test_default(self):
        """No notice, ten seconds, a hint that relayd computes."""
        assert dict(Drain()) == {"notice_s": 0.0, "over_s": 10.0, "retry_s": None}
        assert loads(relay_yaml(), "relay.yaml", {}).drain == Drain()

    def test_written(self):
        """With units."""
        drain = loads(relay_yaml(top="drain: {notice: 5s, over: 1m, retry: 0s}"), "relay.yaml", {}).drain
        assert (drain.notice_s, drain.over_s, drain.retry_s) == (5.0, 60.0, 0.0)

    @pytest.mark.parametrize(
        ("key", "value", "what"),
        [
            ("notice", "61m", "longer than an hour"),
            ("over", "2h", "longer than an hour"),
            ("retry", "25h", "longer than a day"),
        ],
    )
    def test_too_long(self, key, value, what):
        """Nobody waits that long."""
        (problem,) = told(relay_yaml(top=f"drain: {{{key}: {value}}}"))
        assert problem.startswith(f"drain.{key}: {what}")
