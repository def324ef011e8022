"""What is wrong is told all at once, each with its place."""

from __future__ import annotations

import pytest

from relayd.core.feed.errors import DialectError, Malformed, Problems, Refused, Unset


class ProblemsTests:
    """Gathering."""

    def test_nothing_wrong_raises_nothing(self) -> None:
        """An empty list of problems is no problem."""
        problems = Problems()
        with problems.at("topic"):
            pass
        problems.finish()

    def test_all_are_told_with_their_places(self) -> None:
        """Reading goes on behind what is malformed."""
        problems = Problems()
        with problems.at("topic", "at"):
            raise Malformed("no path")
        problems.add(("control", 2, "ack"), "no list")
        with pytest.raises(DialectError) as caught:
            problems.finish()
        assert caught.value.problems == ((("topic", "at"), "no path"), (("control", 2, "ack"), "no list"))
        assert str(caught.value) == "topic.at: no path; control.2.ack: no list"

    def test_other_errors_pass(self) -> None:
        """Only what is malformed is gathered."""
        with pytest.raises(KeyError), Problems().at("x"):
            raise KeyError

    def test_unset_names_the_placeholder(self) -> None:
        """And nothing else."""
        assert Unset("env.KEY").name == "env.KEY"
        assert issubclass(Refused, ValueError)
