"""The tree of errors."""

from __future__ import annotations

from relayd.core.errors import MAX_PRINTED, ConfigErrors, RelayError


class ConfigErrorsTests:
    """All problems of a file."""

    def test_text(self):
        """One line each."""
        errors = ConfigErrors(["a:1:1: x", "a:2:1: y"])
        assert isinstance(errors, RelayError)
        assert errors.errors == ("a:1:1: x", "a:2:1: y")
        assert str(errors) == "a:1:1: x\na:2:1: y"

    def test_many(self):
        """All are kept; a screen or two is printed."""
        errors = ConfigErrors(range(MAX_PRINTED + 7))
        assert len(errors.errors) == MAX_PRINTED + 7
        assert str(errors).split("\n")[-2:] == [str(MAX_PRINTED - 1), "and 7 more"]
