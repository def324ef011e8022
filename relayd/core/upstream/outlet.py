"""Where what a session publishes goes: to the hub, to an overlap of two connections, or nowhere any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from relayd.core.feed.outcome import Data
from relayd.core.publication import TopicState
from relayd.core.upstream.effects import FeedSink

T = TypeVar("T")


class Judge(Protocol[T]):
    """One end of an overlap: it sees whole messages, because their numbers tell what continues what."""

    def heard(self, topic: T, data: Data[T]) -> None: ...
    def gap(self, topic: T, missed: int | None, why: str) -> object: ...
    def state(self, topic: T, state: TopicState, why: str = "") -> object: ...
    def forget(self, topic: T) -> object: ...


class Outlet(Generic[T]):
    """A FeedSink that can be turned. Its methods are the hub's own while it stands straight: that costs nothing."""

    __slots__ = ("_sink", "forget", "gap", "heard", "publish", "state")

    publish: Callable[..., object]
    gap: Callable[..., object]
    state: Callable[..., object]
    forget: Callable[..., object]

    def __init__(self, sink: FeedSink[T]) -> None:
        self._sink = sink
        self.heard: Callable[[T, Data[T]], None] | None = None
        """Takes publications in place of `publish`, while it is set."""
        self.straighten()

    def say(self, topic: T, data: Data[T]) -> None:
        """Publish it, whichever way it goes."""
        if self.heard is None:
            self.publish(topic, data.payload, data.is_text, data.snapshot, data.is_json)
        else:
            self.heard(topic, data)

    def straighten(self) -> None:
        """To the hub."""
        sink = self._sink
        self.heard = None
        self.publish, self.gap, self.state, self.forget = sink.publish, sink.gap, sink.state, sink.forget

    def turn(self, judge: Judge[T]) -> None:
        """To an overlap."""
        self.heard, self.gap, self.state, self.forget = judge.heard, judge.gap, judge.state, judge.forget

    def shut(self) -> None:
        """To nobody: another connection has taken over all of it."""
        self.heard = self.gap = self.state = self.forget = _nowhere


def _nowhere(*_: object) -> None:
    """Whatever it is."""
