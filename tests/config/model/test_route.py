"""The `routes` block."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from relayd.config.model.route import Route
from relayd.config.scalars import OFF, History
from relayd.core.routes import AllowValues


class RouteTests:
    """Keys of the file, units in the attributes."""

    def test_default(self):
        """As docs/reference/config.md says."""
        route = Route.model_validate({"topic": "a/$x", "upstream": "feed"})
        assert (route.allow, route.stale_after_s, route.linger_s, route.pin) == ({}, None, 5.0, False)
        assert route.access.model_dump() == {"subscribe": "public", "publish": "nobody"}
        assert dict(route.deliver) == {
            "mode": None,
            "key": None,
            "history": History(100, 300.0, 1 << 20),
            "max_hz": None,
            "max_lag_s": None,
            "slow_after_s": 10.0,
            "deflate": None,
            "as_": None,
            "stamp": False,
        }

    def test_written(self):
        """Everything there is."""
        data = {
            "topic": "a/$x",
            "upstream": "feed",
            "allow": {"x": ["1"]},
            "access": {"subscribe": "nobody"},
            "deliver": {
                "mode": "conflate",
                "key": "id",
                "history": "5000/2m/8MiB",
                "max_hz": 10,
                "max_lag": "2s",
                "slow_after": "5s",
                "deflate": True,
                "as": "text",
                "stamp": True,
            },
            "stale_after": "30s",
            "linger": "1m",
            "pin": ["a/1"],
        }
        route = Route.model_validate(data)
        deliver = route.deliver
        assert route.allow == {"x": AllowValues(("1",))}
        assert (route.stale_after_s, route.linger_s, route.pin) == (30.0, 60.0, ("a/1",))
        assert (deliver.mode, deliver.key, deliver.as_, deliver.deflate, deliver.stamp) == (
            "conflate",
            "id",
            "text",
            True,
            True,
        )
        assert (deliver.max_hz, deliver.max_lag_s, deliver.slow_after_s) == (10, 2.0, 5.0)

    def test_off(self):
        """What can be switched off."""
        off = {"max_hz": OFF, "max_lag": "off", "deflate": OFF}
        route = Route.model_validate({"topic": "a", "upstream": "b", "stale_after": OFF, "deliver": off})
        assert (route.stale_after_s, route.deliver.max_hz, route.deliver.max_lag_s, route.deliver.deflate) == (
            None,
            None,
            None,
            None,
        )

    @pytest.mark.parametrize("allow", [{"X": "any"}, {"a-b": "any"}, {"": "any"}])
    def test_fields(self, allow):
        """A field's name is that of a topic template."""
        with pytest.raises(ValidationError):
            Route.model_validate({"topic": "a", "upstream": "b", "allow": allow})
