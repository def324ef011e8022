"""A dial from its first HTTP step to the request that opens the connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from relayd.core.feed.outcome import HttpRequest
from relayd.core.upstream.effects import DialImpossible, DialRequest, Loss, LossKind
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.prepare import Preparation
from relayd.core.upstream.talk import Talk
from relayd.core.upstream.topics import TopicLedger

T = TypeVar("T")

Step = HttpRequest | DialRequest | Loss
"""What comes next of an attempt: a request to make, the dial itself, or the reason why there is none."""


class Attempt(Generic[T]):
    """Makes the dials of one upstream, one after the other."""

    def __init__(
        self,
        policy: UpstreamPolicy,
        topics: TopicLedger[T],
        converse: Callable[[Mapping[str, object]], Talk[T]],
        preparation: Preparation | None,
    ) -> None:
        self.next_url: str | None = None
        """Where the next dial goes, if a message said so."""
        self.within_s = policy.connect_within_s
        """How long the present step may take, in seconds."""
        self._policy = policy
        self._topics = topics
        self._converse = converse
        self._preparation = preparation
        self._preparing = False
        self._talk: Talk[T] | None = None

    def begin(self, now: float) -> Step:
        """A dial is due."""
        self.end()
        if self._preparation is None:
            return self._dial({}, now)
        try:
            return self._prepared(self._preparation, self._preparation.begin(), now)
        except DialImpossible as impossible:
            return Loss(LossKind.CONFIG, text=str(impossible))

    def replied(self, body: bytes, status: int, retry_after_s: float | None, now: float) -> Step | None:
        """The present request was answered; None = it is of an attempt that has ended."""
        if self._preparation is None or not self._preparing:
            return None
        try:
            return self._prepared(self._preparation, self._preparation.replied(body, status, retry_after_s), now)
        except DialImpossible as impossible:
            return Loss(LossKind.CONFIG, text=str(impossible))

    def take_talk(self) -> Talk[T] | None:
        """The connection is open: its conversation, once."""
        talk, self._talk = self._talk, None
        return talk

    def end(self) -> None:
        """The attempt is over."""
        self._talk = None
        self._preparing = False

    def refused(self) -> None:
        """The upstream did not let us in: what was kept from earlier steps may be why."""
        if self._preparation is not None:
            self._preparation.refused()

    def _prepared(self, preparation: Preparation, step: HttpRequest | Loss | None, now: float) -> Step:
        self._preparing = isinstance(step, HttpRequest)
        if step is None:
            return self._dial(preparation.saved, now)
        self.within_s = preparation.within_s
        return step

    def _dial(self, saved: Mapping[str, object], now: float) -> Step:
        url, self.next_url = self.next_url, None
        try:
            talk = self._converse(saved)
            if self._policy.topics_in_url:
                talk.want(self._topics.take_wants(now))
            request = talk.dial_request(url)
        except DialImpossible as impossible:
            return Loss(LossKind.CONFIG, text=str(impossible))
        self._talk = talk
        self.within_s = self._policy.connect_within_s
        return request
