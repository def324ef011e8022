"""What is asked for beside subscriptions, on an open connection: snapshots, and fresh tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from relayd.core.feed.decode import JSON, decode_value
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.errors import Refused, Unset
from relayd.core.feed.login import saved
from relayd.core.feed.outcome import Beat, Control, Data, HttpRequest, Outcome, Sending, Unknown, Unrouted
from relayd.core.feed.path import Scope
from relayd.core.feed.sequence import whole
from relayd.core.feed.voice import Voice

T = TypeVar("T")


class Errands(Generic[T]):
    """The requests of one connection that no subscription made."""

    def __init__(self, dialect: Dialect, voice: Voice, is_wanted: Callable[[T], bool]) -> None:
        self._dialect = dialect
        self._voice = voice
        self._is_wanted = is_wanted
        self._snapshots: dict[int, tuple[T, int]] = {}
        self._refreshes: set[int] = set()

    def __contains__(self, number: int) -> bool:
        return number in self._snapshots or number in self._refreshes

    def snapshot(self, topic: T, fields: Mapping[str, str]) -> list[Sending]:
        """What asks for the topic's snapshot; nothing where none is asked for, or a value is missing."""
        for at, one in enumerate(self._dialect.snapshots):
            if not one.applies.holds(fields) or not (one.sends or one.http is not None):
                continue
            try:
                row = self._dialect.row_values(fields)
                if one.http is None:
                    return [self._voice.frame(one.send, row)]
                number = self._voice.number()
                request = one.http.render({**self._voice.values(one.http.names), **row}, number=number)
            except (Refused, Unset):
                return []
            self._snapshots[number] = topic, at
            return [request]
        return []

    def refresh(self) -> list[HttpRequest]:
        """The request that keeps what was saved fresh; nothing where there is none, or a value is missing."""
        refresh = self._dialect.connect.refresh
        if refresh is None:
            return []
        try:
            number = self._voice.number()
            request = refresh.http.render(self._voice.values(refresh.http.names), number=number)
        except (Refused, Unset):
            return []
        self._refreshes.add(number)
        return [request]

    def reply(self, body: bytes, status: int, number: int) -> Outcome[T]:
        """What the reply to one of these requests means."""
        scope = Scope(decode_value(body, JSON))
        if number in self._refreshes:
            self._refreshes.discard(number)
            refresh = self._dialect.connect.refresh
            if refresh is None or not 200 <= status < 300:
                return Unknown()
            self._voice.saved.update(saved(refresh.save, scope))
            return Beat()
        topic, at = self._snapshots.pop(number)
        if not self._is_wanted(topic):
            return Unrouted()
        path = self._dialect.snapshots[at].last
        last = whole(scope.get(path)) if path is not None else None
        if not 200 <= status < 300 or (path is not None and last is None):
            return Control("resync", (topic,))
        return Data((topic,), body, True, snapshot=True, seq=last)
