"""What every block has in common."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from relayd.config.model.block import Block


class Example(Block):
    """A block."""

    key: int = 1
    """Why."""


class BlockTests:
    """Frozen, strict, closed."""

    def test_frozen(self):
        """A configuration does not change under the hands of those who read it."""
        with pytest.raises(ValidationError):
            Example().key = 2

    @pytest.mark.parametrize("data", [{"key": "1"}, {"key": True}, {"kye": 1}])
    def test_strict(self, data):
        """No value is bent, no key unknown."""
        with pytest.raises(ValidationError):
            Example.model_validate(data)

    def test_docstring_is_the_reason(self):
        """The reference page is written from it."""
        assert Example.model_fields["key"].description == "Why."
