"""What is done with an exception that nobody foresaw."""

from __future__ import annotations

import pytest

from relayd.core.mishap import PLACES, MishapCounters, let_it_out


class LetItOutTests:
    """Without a net."""

    def test_goes_on_its_way(self):
        """The very exception that is being handled."""
        with pytest.raises(KeyError, match="x"):
            try:
                raise KeyError("x")
            except Exception:
                let_it_out("flush")


class CounterTests:
    """A closed set, from zero."""

    def test_places(self):
        """Each has its number."""
        assert MishapCounters().caught == dict.fromkeys(PLACES, 0)
