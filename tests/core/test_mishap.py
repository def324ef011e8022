"""What is done with an exception that nobody foresaw."""

from __future__ import annotations

import pytest

from relayd.core.mishap import PLACES, MishapCounters, each, let_it_out


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


class EachTests:
    """Several, of which one raises."""

    def test_all_are_called(self):
        """The first exception is what comes out."""
        called = []

        def fail(name):
            called.append(name)
            raise KeyError(name)

        with pytest.raises(KeyError, match="b"):
            each(lambda: called.append("a"), lambda: fail("b"), lambda: fail("c"), lambda: called.append("d"))
        assert called == ["a", "b", "c", "d"]

    def test_none(self):
        """Nothing comes out of calls that are well."""
        called = []
        each(lambda: called.append("a"))
        assert called == ["a"]
