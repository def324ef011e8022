"""Who wants what an upstream says unasked.

The answer is with whoever makes and forgets the topics. It is the same for millions of messages and may change between
any two of them; so it is kept beside each set of fields, with the era in which it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Resolver(Generic[T]):
    """Finds the topics of a message's fields."""

    __slots__ = ("era", "find")

    def __init__(self, find: Callable[[Mapping[str, str]], tuple[T, ...]]) -> None:
        self.find = find
        self.era = 0
        """What was found in an era holds in all of it. An answer that does not hold, such as one that is not whole,
        ends the era in which it is given."""

    def change(self) -> None:
        """What was found may be found differently now."""
        self.era += 1
