"""Publications on their way up, each with one answer or one reason why there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relayd_client.messages import Refused, RelayError

#: Called with the position ("" where the feed decides), or with what went wrong.
Answered = Callable[[str | RelayError], None]


class Publishing:
    """Requests that wait for `published`. Whoever calls bounds how many (`connection.IN_FLIGHT`).

    Args:
        write: a request without `id`; returns the `id` it was given, and its text.
        say: sends a text.
    """

    def __init__(self, write: Callable[[dict[str, Any]], tuple[int, str]], say: Callable[[str], None]) -> None:
        self._write = write
        self._say = say
        self._waiting: dict[int, Answered] = {}
        self._held: dict[int, str] = {}
        """Those of them that are not sent yet: the connection is being opened."""

    def publish(self, topic: str, data: object, answered: Answered, *, is_open: bool = True) -> int:
        """Sends one, as soon as the connection is open. Its `id`."""
        request, text = self._write({"op": "publish", "topic": topic, "data": data})
        self._waiting[request] = answered
        if is_open:
            self._say(text)
        else:
            self._held[request] = text
        return request

    def opened(self) -> None:
        """What waited for that goes out, in its order."""
        held, self._held = self._held, {}
        for text in held.values():
            self._say(text)

    def abandon(self, request: int) -> None:
        """Nobody waits for this answer any more; what was not sent is not sent."""
        self._waiting.pop(request, None)
        self._held.pop(request, None)

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

    def lost(self, why: str) -> None:
        """The connection is gone, or never came about: nobody knows what became of those under way, and those that
        were not sent are refused with this reason."""
        waiting, self._waiting = self._waiting, {}
        held, self._held = self._held, {}
        under_way = "the connection was lost before the answer: it may have been published"
        for request, answered in waiting.items():
            answered(Refused("unavailable", why) if request in held else Refused("disconnected", under_way))
