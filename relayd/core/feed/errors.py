"""What can be wrong with a dialect, and with a value that is to be put into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

Place = tuple[str | int, ...]
"""Where in the upstream block: keys and positions, such as `("control", 2, "ack")`."""


class Malformed(ValueError):
    """A path, match, template or value of the block that cannot be used; the text says what to write instead."""


class Refused(ValueError):
    """A topic whose values cannot be put into the feed's messages; the text is fit for a browser."""


class Unset(LookupError):
    """A placeholder that has no value (yet); the argument is its name, never a secret."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class DialectError(ValueError):
    """Everything that is wrong with an upstream block, each with its place."""

    def __init__(self, problems: tuple[tuple[Place, str], ...]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, place))}: {text}" for place, text in problems))
        self.problems = problems


class Problems:
    """Gathers what is wrong with a block, so that all of it is told at once."""

    def __init__(self) -> None:
        self._found: list[tuple[Place, str]] = []

    def add(self, place: Place, text: str) -> None:
        """One thing that is wrong."""
        self._found.append((place, text))

    @contextmanager
    def at(self, *place: str | int) -> Iterator[None]:
        """What is malformed inside is noted at this place, and the reading goes on behind it."""
        try:
            yield
        except Malformed as error:
            self.add(place, str(error))

    def error(self) -> DialectError:
        """All that was noted."""
        return DialectError(tuple(self._found))

    def finish(self) -> None:
        """Raises DialectError if anything was noted."""
        if self._found:
            raise self.error()
