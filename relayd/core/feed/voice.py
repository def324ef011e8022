"""What a connection says: the values its messages are rendered with, and the numbers it has given out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from relayd.core.feed.outcome import Frame
from relayd.core.feed.resume import Resume
from relayd.core.feed.template import Node, Values, names_of, render_frame


class Voice:
    """The placeholders of one connection. `$id` rises by one for each message that uses it."""

    def __init__(
        self,
        *,
        wall: Callable[[], float],
        uuid: Callable[[], str],
        secrets: Mapping[str, str],
        saved: Mapping[str, object],
        resume: Resume,
    ) -> None:
        self._wall = wall
        self._uuid = uuid
        self._secrets = secrets
        self._resume = resume
        self.saved: dict[str, object] = dict(saved)
        self._next_id = 1
        self._next_number = 1

    def values(self, names: Collection[str], *, take_id: bool = True) -> dict[str, object]:
        """The values for a message that uses these names. `take_id=False` only looks at the next id."""
        values: dict[str, object] = {**self._secrets, **self.saved, "cursor": self._resume.cursor}
        if "id" in names:
            values["id"] = self._next_id
            self._next_id += take_id
        if "now" in names:
            values["now"] = int(self._wall())
        if "now_ms" in names:
            values["now_ms"] = int(self._wall() * 1000)
        if "uuid" in names:
            values["uuid"] = self._uuid()
        return values

    def number(self) -> int:
        """The number of the next HTTP request."""
        number = self._next_number
        self._next_number += 1
        return number

    def frame(self, node: Node, own: Mapping[str, object] | None = None) -> Frame:
        """A message that concerns no subscription. Raises Unset, Refused; the id is used up either way."""
        return self.rendered(node, {**self.values(names_of(node)), **(own or {})})

    def rendered(self, node: Node, values: Values) -> Frame:
        """A message with values that were made before. Raises Unset, Refused."""
        return Frame(render_frame(node, values))
