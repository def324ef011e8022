"""Publications on their way up, each with one answer or one reason why there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relayd_client.messages import Refused, RelayError

#: Called with the position ("" where the feed decides), or with what went wrong.
Answered = Callable[[str | RelayError], None]


class Publishing:
    """Requests that wait for `published`.

    Args:
        send: a request without `id`; returns the `id` it was given.
    """

    def __init__(self, send: Callable[[dict[str, Any]], int]) -> None:
        self._send = send
        self._waiting: dict[int, Answered] = {}

    def publish(self, topic: str, data: object, answered: Answered) -> int:
        """Sends one. Its `id`."""
        request = self._send({"op": "publish", "topic": topic, "data": data})
        self._waiting[request] = answered
        return request

    def abandon(self, request: int) -> None:
        """Nobody waits for this answer any more."""
        self._waiting.pop(request, None)

    def published(self, request: object, position: str) -> None:
        """It was taken."""
        if isinstance(request, int) and (answered := self._waiting.pop(request, None)) is not None:
            answered(position)

    def refused(self, request: object, refusal: Refused) -> bool:
        """It was not; whether it was one of these."""
        answered = self._waiting.pop(request, None) if isinstance(request, int) else None
        if answered is None:
            return False
        answered(refusal)
        return True

    def lost(self) -> None:
        """The connection is gone: nobody knows what became of those under way."""
        waiting, self._waiting = self._waiting, {}
        for answered in waiting.values():
            answered(Refused("disconnected", "the connection was lost before the answer: it may have been published"))
