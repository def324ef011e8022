"""The whole file."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from relayd.config.model.config import Config

SMALLEST = {
    "upstreams": {"feed": {"connect": {"url": "wss://a"}, "topic": {"at": "ch"}}},
    "routes": [{"topic": "a/$name", "upstream": "feed"}],
}


class ConfigTests:
    """The smallest file names one upstream and one route."""

    def test_smallest(self):
        """One listener on 8080 for pages of the same origin, no admin listener."""
        config = Config.model_validate(SMALLEST)
        assert [(one.endpoint, one.origins) for one in config.listeners] == [("tcp:8080", ("same",))]
        assert config.admin is None
        assert (config.limits.connections, config.log.format) == (10_000, "text")

    @pytest.mark.parametrize(
        "change",
        [
            {"upstreams": {}},
            {"routes": []},
            {"listeners": []},
            {"admin": None},
            {"workers": 4},
            {"upstreams": {"": {}}},
        ],
    )
    def test_bad(self, change):
        """Nothing is empty, nothing unknown."""
        with pytest.raises(ValidationError):
            Config.model_validate({**SMALLEST, **change})
