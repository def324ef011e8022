"""Finding the topic at fault when an upstream refuses several at once and does not say which.

One bad symbol in a batch must not cost the others their data. So the batch is halved: each half is asked for in a
message of its own, one at a time, until the culprit is alone. Of n topics that takes about 2 log2(n) messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Generic, TypeVar

T = TypeVar("T")

ANSWER_S = 10.0
"""How long a half may stay without an answer before the next one is asked for: guess, as long as a login."""


class Suspects(Generic[T]):
    """The topics under suspicion on one connection. Bounded by the topics that were sent."""

    __slots__ = ("_groups", "_probe", "_probe_until")

    def __init__(self) -> None:
        self._groups: deque[Sequence[T]] = deque()
        self._probe: Sequence[T] = ()
        self._probe_until = inf

    @property
    def active(self) -> bool:
        """Whether something is being found out; until then nothing else should be asked for."""
        return bool(self._groups or self._probe)

    def accused(self, among: Sequence[T]) -> Sequence[T]:
        """Those of the unanswered topics that an answer without names can mean."""
        return [topic for topic in among if topic in self._probe] if self._probe else among

    def refused(self, topics: Sequence[T]) -> T | None:
        """These were refused together. Returns the culprit, if it is alone; else they are halved."""
        self._end_probe()
        if len(topics) == 1:
            return topics[0]
        half = len(topics) // 2
        self._groups.extendleft((topics[half:], topics[:half]))
        return None

    def next_to_ask(self, unanswered: Callable[[T], bool], now: float) -> Sequence[T]:
        """What to ask for now, in one message; nothing while the last half has no answer, or when all is found out."""
        if now < self._probe_until and any(unanswered(topic) for topic in self._probe):
            return ()
        self._end_probe()
        while self._groups:
            self._probe = [topic for topic in self._groups.popleft() if unanswered(topic)]
            if self._probe:
                self._probe_until = now + ANSWER_S
                return self._probe
        return ()

    def next_deadline(self) -> float:
        """When the present half has had its time; infinity = there is none."""
        return self._probe_until if self._probe else inf

    def _end_probe(self) -> None:
        self._probe = ()
        self._probe_until = -inf
