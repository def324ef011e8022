"""The `log` block."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from relayd.config.model.log import Log


class LogTests:
    """For people by default."""

    def test_default(self):
        """Text, info, whole addresses."""
        assert Log().model_dump() == {"format": "text", "level": "info", "addresses": "full"}

    @pytest.mark.parametrize("data", [{"format": "xml"}, {"level": "verbose"}, {"addresses": True}])
    def test_bad(self, data):
        """One of the words."""
        with pytest.raises(ValidationError):
            Log.model_validate(data)
