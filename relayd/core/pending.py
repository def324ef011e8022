"""Connections that have a little time for one thing: a bounded waiting room, in which the oldest gives way.

Holding a connection half open costs an attacker nothing, so what it costs relayd is bounded three times: by a deadline
for the whole of it and not per byte, by a number for all, and by a number for one address. At a bound the oldest goes
and not the newest: an honest client needs milliseconds, so the oldest is the least likely to be one. The bound of one
address holds only while half of the room is taken: an office that comes back through one router after a restart is a
crowd of honest clients, and while there is room for everybody nobody has to pay for them.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Pending(Generic[T]):
    """Items in the order of their arrival, each with the same time from then on (`within_s`, seconds).

    At most `capacity` in all. Once more than half of it is taken, everybody who is in by then, or comes before it is
    less again, has `pressed_within_s` only, and a key that has `per_key` or more gets no further place: its oldest
    leaves for each newcomer.
    """

    def __init__(self, *, capacity: int, per_key: int, within_s: float, pressed_within_s: float) -> None:
        self._capacity = capacity
        self._per_key = per_key
        self._within_s = within_s
        self._pressed_within_s = pressed_within_s
        self._items: dict[T, tuple[float, str | None]] = {}  # since when, under which key
        self._by_key: dict[str, dict[T, None]] = {}
        self._pressed_at = float("-inf")  # when more than half was taken last

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: T) -> bool:
        return item in self._items

    @property
    def under_pressure(self) -> bool:
        """Whether more than half of the room is taken."""
        return len(self._items) * 2 > self._capacity

    def add(self, item: T, key: str | None, now: float) -> T | None:
        """Let an item in, and give back the one that had to leave for it, if any. With the key None only `capacity`
        counts.
        """
        leaving: T | None = None
        of_key = self._by_key.get(key) if key is not None else None
        if of_key is not None and self.under_pressure and len(of_key) >= self._per_key:
            leaving = next(iter(of_key))
        elif len(self._items) >= self._capacity:
            leaving = next(iter(self._items))
        if leaving is not None:
            self.discard(leaving)
        self._items[item] = (now, key)
        if key is not None:
            self._by_key.setdefault(key, {})[item] = None
        if self.under_pressure:
            self._pressed_at = now
        return leaving

    @property
    def oldest(self) -> T | None:
        """Who came first, None in an empty room."""
        return next(iter(self._items), None)

    def discard(self, item: T) -> None:
        """Take an item out, if it is in."""
        _, key = self._items.pop(item, (0.0, None))
        if key is None:
            return
        of_key = self._by_key[key]
        del of_key[item]
        if not of_key:
            del self._by_key[key]

    def take_overdue(self, now: float) -> list[T]:
        """Take out all whose time is over, oldest first."""
        overdue = []
        for item, (since, _) in self._items.items():
            if now - since < (self._pressed_within_s if since <= self._pressed_at else self._within_s):
                break
            overdue.append(item)
        for item in overdue:
            self.discard(item)
        return overdue
