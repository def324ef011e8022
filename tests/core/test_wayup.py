"""The way up of one upstream."""

from __future__ import annotations

import pytest

from relayd.core.feed.publish import AS_IT_STANDS, Upward
from relayd.core.routes import TopicRefused
from relayd.core.wayup import OVER_MOST_BYTES, WayUp


def upward(size: int = 1) -> Upward:
    """A payload of so many bytes."""
    return Upward(AS_IT_STANDS, {}, b"x" * size, True)


class WayUpTests:
    """It queues nothing."""

    def test_handed_over(self) -> None:
        """At once, and a refusal comes back."""
        spoken: list[Upward] = []
        way = WayUp(spoken.append)
        way.send(upward())
        assert spoken == [upward()]

        def refuse(_: Upward) -> None:
            raise TopicRefused("unavailable", "away")

        with pytest.raises(TopicRefused, match="away"):
            WayUp(refuse).send(upward())

    def test_full(self) -> None:
        """What had been read still goes up, to a bound that all share; then it is refused, and after that taken."""
        spoken: list[Upward] = []
        way = WayUp(spoken.append)
        way.filled()
        way.send(upward(OVER_MOST_BYTES - 1))
        way.send(upward())
        with pytest.raises(TopicRefused) as caught:
            way.send(upward())
        assert (caught.value.code, caught.value.retry_s) == ("unavailable", 1.0)
        assert len(spoken) == 2
        way.drained()
        way.filled()
        way.send(upward(OVER_MOST_BYTES))
        assert len(spoken) == 3

    def test_pause(self) -> None:
        """Whoever waits is told once, when there is room; not who has left."""
        told: list[str] = []
        way = WayUp(lambda _: None)
        way.filled()
        assert way.full
        for name in ("a", "b", "c"):
            way.pause(name, lambda name=name: told.append(name))
        way.leave("b")
        way.leave("b")
        assert way.paused == 2
        way.drained()
        assert (told, way.full, way.paused) == (["a", "c"], False, 0)
        way.drained()
        assert told == ["a", "c"]

    def test_paused_again_while_told(self) -> None:
        """Whoever is told may publish at once and wait anew."""
        way = WayUp(lambda _: None)
        rounds: list[int] = []

        def again() -> None:
            rounds.append(1)
            way.filled()
            way.pause("a", again)

        way.pause("a", again)
        way.drained()
        assert (rounds, way.paused, way.full) == ([1], 1, True)

    def test_one_that_fails(self) -> None:
        """The others go on all the same, and somebody hears of it."""
        told: list[str] = []
        way = WayUp(lambda _: None, told.append)

        def fail() -> None:
            raise KeyError

        way.pause("a", fail)
        way.pause("b", lambda: told.append("b"))
        way.drained()
        assert told == ["way_up", "b"]
