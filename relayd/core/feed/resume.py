"""What outlives a connection: the cursor from which the upstream resumes, and what was seen already."""

from __future__ import annotations

from collections import Counter, OrderedDict
from hashlib import sha256

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
        self._restored: frozenset[str] = frozenset()
        """Digests of what an earlier process had at its cursor, while that is the cursor."""
        self._restored_before: frozenset[str] = frozenset()
        self._since: Counter[tuple[str, str]] | None = None
        """Of opaque cursors, which cannot be compared: each message since another connection was dialled beside this
        one, by its cursor and its digest."""
        self._left = MAX_SEEN
        """How many more of them are remembered."""
        self._elsewhere: Counter[tuple[str, str]] = Counter()
        """What the other one of these two had by the time it was lost, and this one will say again."""
        self.forgotten = 0
        """Messages with an opaque cursor that were too many to be remembered: these may come twice."""
        self._undecided = False
        self.follows = False
        """The present connection went on where the one before it had ended: its first message was known already, so
        nothing can be missing between the two. Where it was not, nobody knows how far back the upstream could go."""

    def at_cursor(self) -> list[str]:
        """Digests of the messages at the cursor, for `restore` in another process."""
        return sorted({_digest(payload) for payload in self._at_cursor} | self._restored)

    def restore(self, cursor: int | str, at_cursor: list[str]) -> None:
        """Go on where another process was."""
        self.cursor = cursor
        self._restored = frozenset(at_cursor)

    def fork(self) -> Resume:
        """A memory of its own for a connection beside the present one: it begins with what is known now."""
        other = Resume()
        other.cursor, other._at_cursor, other._seen = self.cursor, set(self._at_cursor), self._seen.copy()
        other._restored = self._restored
        self._since, self._left = Counter(), MAX_SEEN
        return other

    def is_behind(self, other: Resume) -> bool:
        """Whether the other connection is known to have come further."""
        if not isinstance(self.cursor, int):
            return self.cursor is None and other.cursor is not None
        return isinstance(other.cursor, int) and other.cursor > self.cursor

    def adopt(self, other: Resume) -> None:
        """Go on where another connection was: what it had is known here too, also if this connection is open
        already, or being dialled from an earlier point."""
        self.cursor, self._at_cursor, self._restored = other.cursor, set(other._at_cursor), other._restored
        for identity in other._seen:
            self.repeated(identity)
        self._from = self.cursor if isinstance(self.cursor, int) else None
        self._before, self._restored_before = frozenset(self._at_cursor), self._restored
        self._elsewhere = Counter(other._since)

    def connected(self) -> int | str | None:
        """A connection resumes at the cursor, which is returned: what it replays up to there is known already."""
        self._from = self.cursor if isinstance(self.cursor, int) else None
        self._before = frozenset(self._at_cursor)
        self._restored_before = self._restored
        self._undecided, self.follows = self._from is not None, False
        self._elsewhere.clear()
        return self.cursor

    def forget(self) -> None:
        """The upstream does not know the cursor: it starts where it likes."""
        self.cursor = self._from = None
        self._undecided = self.follows = False
        self._at_cursor.clear()
        self._restored = frozenset()

    def replayed(self, point: object, payload: bytes) -> bool:
        """Notes the point of a message. True = it came before this connection."""
        if isinstance(point, str):
            return self._replayed_opaque(point, payload)
        if not isinstance(point, int) or isinstance(point, bool):
            return False
        if self._undecided:
            self._undecided, self.follows = False, self._from is not None and point <= self._from
        if self._from is not None and (point < self._from or (point == self._from and self._is_before(payload))):
            return True
        if not isinstance(self.cursor, int) or point > self.cursor:
            self.cursor = point
            self._at_cursor.clear()
            self._restored = frozenset()
        if point == self.cursor and len(self._at_cursor) < MAX_AT_CURSOR:
            self._at_cursor.add(payload)
        return False

    def _replayed_opaque(self, point: str, payload: bytes) -> bool:
        if self._elsewhere:
            message = (point, _digest(payload))
            if message in self._elsewhere:
                self._elsewhere[message] -= 1
                if not self._elsewhere[message]:
                    del self._elsewhere[message]
                return True
        self.cursor = point
        if self._since is not None:
            if self._left:
                self._since[point, _digest(payload)] += 1
                self._left -= 1
            else:
                self.forgotten += 1
        return False

    def _is_before(self, payload: bytes) -> bool:
        return payload in self._before or (bool(self._restored_before) and _digest(payload) in self._restored_before)

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


def _digest(payload: bytes) -> str:
    return sha256(payload).hexdigest()
