"""One topic while two connections bring it: where the new stream goes on from what the old one said.

The old connection is published; what the new one brings is held until it is known where in the old stream it stands.
Four things tell: its number is the next one; or it says, byte for byte and with the same number, what the old one
said, at exactly one place; or the old one comes to say what is held; or both began at one point, to which the new one
was resumed, and have said the same since. From there on the new one is published, less what
was said already. Nothing is concluded from numbers alone that are not the next: some feeds count each connection anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Seq
from typing import Final, Generic, TypeVar

from relayd.core.feed.outcome import Data
from relayd.core.feed.sequence import Sequence, end_of

T = TypeVar("T")

WINDOW_MOST: Final = 256
"""Messages of one topic that are remembered of the old stream, and held of the new one: guess. Two connections to one
feed differ by a round trip or two; a lively topic says 10 to 100 messages in that time."""
HELD_MOST_BYTES: Final = 1 << 20
"""Held of one topic; the newest message always is."""


class Splice(Generic[T]):
    """The two streams of one topic, until they are joined."""

    __slots__ = (
        "_held_bytes", "_last", "_let_go", "_quiet", "_recent", "_resumed", "_said", "_sequence", "_together", "held"
    )  # fmt: skip

    def __init__(self, sequence: Sequence | None, *, together: bool = False) -> None:
        """`sequence`: how the topic's messages are numbered, where they are. `together`: if the new connection is
        resumed, then from here: what it brings first is what the old one says next."""
        self._sequence = sequence
        self._together = together
        self._resumed = False
        self._said = self._let_go = 0
        """How many messages the old one said, and how many of the new one are held no more."""
        self._recent: deque[int] = deque(maxlen=WINDOW_MOST)
        self._last: int | None = None
        self.held: deque[Data[T]] = deque()
        """What the new connection brought."""
        self._held_bytes = 0
        self._quiet = True

    @property
    def silent(self) -> bool:
        """Whether the new connection brought nothing, and the old one has said nothing since `listen`."""
        return not self.held and self._quiet

    def listen(self) -> None:
        """From here on it matters whether somebody says something."""
        self._quiet = True

    def passed_over(self) -> None:
        """The new connection brought something that means nothing yet."""
        self._quiet = False

    def said(self, data: Data[T]) -> None:
        """The old connection said it, and it is published."""
        self._quiet = False
        self._said += 1
        self._recent.append(self._key(data))
        if self._sequence is not None and data.seq is not None:
            self._last = end_of(data.seq)

    def broke(self) -> None:
        """The old connection missed something: what it said before is no help any more."""
        self._recent.clear()
        self._together = False

    def hold(self, data: Data[T], *, resumed: bool = False) -> None:
        """The new connection brought it; `resumed`: it is known to miss nothing since the point that it was resumed
        from."""
        self._resumed = resumed
        self.held.append(data)
        self._held_bytes += len(data.payload)
        while len(self.held) > WINDOW_MOST or (self._held_bytes > HELD_MOST_BYTES and len(self.held) > 1):
            self._held_bytes -= len(self.held.popleft().payload)
            self._let_go += 1

    def release(self) -> None:
        """The new connection is gone, or missed something: what it brought before is no help any more."""
        self.held.clear()
        self._held_bytes = 0
        self._together = False

    def join(self) -> list[Data[T]] | None:
        """What is held and was not said, if it is known where the new stream goes on; else None."""
        if not self.held:
            return None
        if self._follows(self.held[0]):
            return list(self.held)
        said = self._said_of_held()
        return list(self.held)[said:] if said is not None and said <= len(self.held) else None

    @property
    def is_behind(self) -> bool:
        """Whether all that is held was said, and the old stream went on from there: the new one will catch up."""
        said = self._said_of_held()
        return said is not None and said > len(self.held)

    def beyond(self) -> list[Data[T]]:
        """What is held and has a number beyond all that was said."""
        last = self._last
        return [one for one in self.held if last is not None and one.seq is not None and end_of(one.seq) > last]

    def _key(self, data: Data[T]) -> int:
        return hash((data.seq if self._sequence is not None else None, data.payload))

    def _follows(self, data: Data[T]) -> bool:
        last, sequence = self._last, self._sequence
        if sequence is None or last is None or data.seq is None or end_of(data.seq) <= last:
            return False
        # Numbers that only grow tell nothing of what lies between two of them.
        counts = sequence.step is not None or not isinstance(data.seq, int)
        return counts and not sequence.gap(last, data.seq)[0]

    def _said_of_held(self) -> int | None:
        """How many messages from the first held one on were said; None = unknown, or it may be in several places."""
        if not self.held:
            return None
        recent, held = list(self._recent), [self._key(one) for one in self.held]
        ahead = self._said - self._let_go
        if self._resumed and self._together and ahead >= 0 and _agree(recent, held, len(recent) - ahead):
            return ahead
        if not recent:
            return None
        places = [at for at, key in enumerate(recent) if key == held[0]]
        places += [-at for at, key in enumerate(held) if at and key == recent[0]]
        fitting = [at for at in places if _agree(recent, held, at)]
        return len(recent) - fitting[0] if len(fitting) == 1 else None


def _agree(recent: Seq[int], held: Seq[int], at: int) -> bool:
    """Whether the two are the same wherever both are, if `held` begins at `at` of `recent`."""
    mine, theirs = held[max(0, -at) :], recent[max(0, at) :]
    common = min(len(mine), len(theirs))
    return mine[:common] == theirs[:common]
