"""Tests of relayd.core.upstream.lanes."""

from __future__ import annotations

from math import inf

import pytest

from relayd.core.feed.outcome import Frame, HttpRequest
from relayd.core.upstream.lanes import ANSWERS_MOST, Lanes, Overrun
from relayd.core.windows import MARGIN_S, SlidingWindow, Windows


def frames(*texts: str) -> list[Frame]:
    """Text frames."""
    return [Frame(text.encode()) for text in texts]


REQUEST = HttpRequest("PUT", "http://feed.example/register")


class LanesTests:
    """What goes first, and what waits."""

    def test_without_limits_all_goes_at_once(self) -> None:
        """Answers before subscriptions, each lane in its order."""
        lanes = Lanes(Windows())
        lanes.subscribe(frames("s1", "s2"))
        lanes.answer(frames("a1"))
        lanes.answer([REQUEST])
        assert lanes.subscriptions_wait
        assert lanes.next_release() == -inf
        assert lanes.release(0.0) == [*frames("a1", "s1", "s2"), REQUEST]
        assert lanes.release(0.0) == []
        assert not lanes.subscriptions_wait
        assert lanes.next_release() == inf

    def test_limits(self) -> None:
        """Both lanes count in `send`, pings too; only one in `subscribe`; requests in none but their own."""
        lanes = Lanes(
            Windows(send=SlidingWindow(3, 1), subscribe=SlidingWindow(1, 10), http=SlidingWindow(1, 5))
        )
        lanes.pinged(0.0)
        lanes.subscribe([*frames("s1", "s2"), REQUEST, REQUEST])
        lanes.answer(frames("a1", "a2", "a3"))
        assert lanes.release(0.0) == [*frames("a1", "a2"), REQUEST]
        assert lanes.next_release() == 1 + MARGIN_S
        assert lanes.release(2.0) == frames("a3", "s1")
        assert lanes.next_release() == 5 + MARGIN_S
        assert lanes.release(6.0) == [REQUEST]
        assert lanes.next_release() == 12 + MARGIN_S
        assert lanes.release(13.0) == frames("s2")

    def test_answers_are_bounded(self) -> None:
        """More than this means that the upstream asks faster than its own limit lets us answer."""
        lanes = Lanes(Windows(send=SlidingWindow(1, 1)))
        lanes.answer(frames("a") * ANSWERS_MOST)
        with pytest.raises(Overrun, match=r"limits\.send"):
            lanes.answer(frames("a"))

    def test_publications(self) -> None:
        """Beside the lanes and within the limit: after what waits, and one place stays free for a pong."""
        lanes = Lanes(Windows(send=SlidingWindow(4, 1), subscribe=SlidingWindow(1, 10)))
        assert lanes.publication_free_at(0.0) == 0.0
        for _ in range(3):
            lanes.published(0.0)
        assert lanes.publication_free_at(0.0) == 1 + MARGIN_S
        lanes.subscribe(frames("s1", "s2"))
        assert lanes.release(2.0) == frames("s1")
        assert lanes.publication_free_at(2.0) == 12 + MARGIN_S
        assert lanes.release(13.0) == frames("s2")
        assert lanes.publication_free_at(13.0) == 13.0

    def test_publications_without_limits(self) -> None:
        """What waits for the next tend holds nobody up."""
        lanes = Lanes(Windows())
        lanes.subscribe(frames("s1"))
        assert lanes.publication_free_at(5.0) == 5.0
