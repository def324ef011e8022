"""What outlives a connection: the cursor from which the upstream resumes, and what was seen already."""

from __future__ import annotations

from collections import OrderedDict

# Messages that share one cursor value, such as a microsecond; more are let through twice rather than lost (guess).
MAX_AT_CURSOR = 64
# Identities remembered for `dedupe`: an at-least-once feed repeats what it sent seconds ago (guess).
MAX_SEEN = 4096


class Resume:
    """The memory of one upstream, handed from connection to connection."""

    def __init__(self) -> None:
        self.cursor: int | str | None = None
        """The last point seen; a number only grows."""
        self._at_cursor: set[bytes] = set()
        self._seen: OrderedDict[object, None] = OrderedDict()
        self._from: int | None = None
        self._before: frozenset[bytes] = frozenset()

    def connected(self) -> int | str | None:
        """A connection resumes at the cursor, which is returned: what it replays up to there is known already."""
        self._from = self.cursor if isinstance(self.cursor, int) else None
        self._before = frozenset(self._at_cursor)
        return self.cursor

    def forget(self) -> None:
        """The upstream does not know the cursor: it starts where it likes."""
        self.cursor = self._from = None
        self._at_cursor.clear()

    def replayed(self, point: object, payload: bytes) -> bool:
        """Notes the point of a message. True = it came before this connection."""
        if isinstance(point, str):
            self.cursor = point
            return False
        if not isinstance(point, int) or isinstance(point, bool):
            return False
        if self._from is not None and (point < self._from or (point == self._from and payload in self._before)):
            return True
        if not isinstance(self.cursor, int) or point > self.cursor:
            self.cursor = point
            self._at_cursor.clear()
        if point == self.cursor and len(self._at_cursor) < MAX_AT_CURSOR:
            self._at_cursor.add(payload)
        return False

    def repeated(self, identity: object) -> bool:
        """Notes the identity of a message. True = it came before."""
        if not isinstance(identity, str | int):
            return False
        if identity in self._seen:
            self._seen.move_to_end(identity)
            return True
        self._seen[identity] = None
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        return False
