"""What a look at a credential comes to."""

from __future__ import annotations

import math

import pytest

from relayd.core.auth.verdict import LATEST_S, Identity, read_time


class IdentityTests:
    """Somebody who is known."""

    def test_repr_keeps_claims(self) -> None:
        """They are personal."""
        assert "operator" not in repr(Identity("alice", {"role": "operator"}, 5.0))


class ReadTimeTests:
    """Times as tokens write them."""

    @pytest.mark.parametrize(("value", "seconds"), [(0, 0.0), (5, 5.0), (1.5, 1.5), (-3, -3.0), (LATEST_S, LATEST_S)])
    def test_times(self, value: object, seconds: float) -> None:
        """Numbers within the calendar."""
        assert read_time(value) == seconds

    @pytest.mark.parametrize("value", [None, "5", True, [], {}, math.inf, -math.inf, math.nan, LATEST_S + 1, 10**400])
    def test_no_times(self, value: object) -> None:
        """Anything else."""
        assert read_time(value) is None
