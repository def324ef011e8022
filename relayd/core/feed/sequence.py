"""Sequences: seeing that messages are missing.

`at` with `step` counts; `first..last` are ranges that may overlap; `prev` points at the `at` before. A snapshot, a new
connection or a smaller number starts anew and is no gap: most "gaps" that feeds were accused of were of these kinds.
"""

from __future__ import annotations

from dataclasses import dataclass

from relayd.core.feed.match import FOR_ALL, For
from relayd.core.feed.outcome import Number
from relayd.core.feed.path import Path, Scope


@dataclass(frozen=True, slots=True)
class Sequence:
    """One `sequence` variant."""

    applies: For = FOR_ALL
    at: Path | None = None
    step: int | None = None
    """None: numbers only grow, so nothing can be missing."""
    first: Path | None = None
    last: Path | None = None
    prev: Path | None = None
    per_connection: bool = False
    repair: str = "mark"

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where the numbers stand, in the order `number` takes them."""
        pair = (self.first, self.last) if self.first is not None else (self.prev, self.at)
        return tuple(path for path in pair if path is not None)

    def read(self, scope: Scope) -> Number | None:
        """The message's number; None where there is none."""
        return self.number([scope.get(path) for path in self.paths])

    def number(self, values: list[object]) -> Number | None:
        """The number from what stands at `paths`."""
        numbers = [whole(value) for value in values]
        if len(numbers) == 1:
            return numbers[0]
        start, end = numbers
        return None if start is None or end is None else (start, end)

    @property
    def stride(self) -> int | None:
        """How far the start of a message's number lies above the last one, where nothing is missing and nothing comes
        twice; None = any distance will do."""
        return self.step if self.first is None and self.prev is None else int(self.first is not None)

    def gap(self, last: int | None, number: Number, snapshot: bool = False) -> tuple[bool, int | None]:
        """Whether messages are missing after `last` (None = a new start), and how many (None = nobody can know)."""
        if last is None or snapshot:
            return False, None
        if isinstance(number, int):
            if self.step is None or number <= last + self.step:
                return False, None
            return True, (number - last) // self.step - 1 or None
        start, end = number
        if end <= last:
            return False, None
        return (start > last + 1 if self.first is not None else start != last), None


def end_of(number: Number) -> int:
    """The number that the next message follows."""
    return number if isinstance(number, int) else number[1]


def whole(value: object) -> int | None:
    """A whole number, also one written as text (KuCoin); None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.lstrip("-").isdigit() and len(value) <= 20:
        try:
            return int(value)
        except ValueError:
            return None
    return None


class Counter:
    """The state of a sequence."""

    __slots__ = ("due", "sequence", "stride")

    def __init__(self, sequence: Sequence) -> None:
        self.sequence = sequence
        self.stride = sequence.stride or 0
        self.due: int | None = None
        """Where a message starts with which nothing is missing, as nearly all do: who sees that it does may go on to
        the next by itself (`plan.py`). None = any number will do."""

    def follow(self, number: Number, snapshot: bool = False) -> tuple[bool, int | None]:
        """A message came: whether some are missing before it, and how many (None = nobody can know)."""
        start, end = (number, number) if isinstance(number, int) else number
        due = self.due
        if self.sequence.stride is not None:
            self.due = end + self.stride
        if due is None or start == due:
            return False, None
        return self.sequence.gap(due - self.stride, number, snapshot)


class ConnectionCounter(Counter):
    """The state of a sequence that counts all messages of a connection."""

    __slots__ = ("gap", "missed")

    def __init__(self, sequence: Sequence) -> None:
        super().__init__(sequence)
        self.gap = False
        """A loss was seen and is not yet told."""
        self.missed: int | None = None

    def count(self, number: Number) -> None:
        """A message came."""
        gap, missed = self.follow(number)
        if gap:
            self.missed = missed if not self.gap else None
            self.gap = True

    def tell(self) -> tuple[bool, int | None]:
        """Whether there is a loss to be told, and of how many messages; the question settles it."""
        told = self.gap, self.missed
        self.gap, self.missed = False, None
        return told
