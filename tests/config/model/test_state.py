"""The `state` block."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from relayd.config.model.state import State
from tests.support.relay_yaml import config, relay_yaml, told


class StateTests:
    """One directory."""

    def test_good(self):
        """Off unless it is named."""
        assert State(dir="/var/lib/relayd").dir == "/var/lib/relayd"
        assert config(relay_yaml()).state is None
        found = config(relay_yaml(top="state: {dir: /var/lib/relayd}")).state
        assert found is not None and found.dir == "/var/lib/relayd"

    def test_relative(self):
        """twistd changes the directory."""
        assert told(relay_yaml(top="state: {dir: state}")) == [
            'state.dir: a daemon has no place of its own to start a path from (got "state", expected an absolute path)'
        ]

    @pytest.mark.parametrize("data", [{}, {"dir": ""}, {"dir": 5}])
    def test_bad(self, data):
        """It is named."""
        with pytest.raises(ValidationError):
            State.model_validate(data)
