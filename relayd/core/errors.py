"""The errors relayd raises on purpose, and nothing else.

```
Exception
  RelayError           anything below; its text is for the person who can remedy it
    ConfigErrors       relay.yaml is refused; `.errors` are all its problems, in the order of the file
```
Wrong input to one function (a topic, a pattern, a path) is a ValueError of the module that reads it.
"""

from __future__ import annotations

from collections.abc import Sequence

#: A broken file of 1 MiB can hold hundreds of thousands of problems; nobody reads more than a screen or two (guess).
MAX_PRINTED = 50


class RelayError(Exception):
    """The base of what relayd raises on purpose."""


class ConfigErrors(RelayError):
    """relay.yaml is refused. `errors` holds every problem; `str()` is a line each, at most 50, and how many follow."""

    def __init__(self, errors: Sequence[object]) -> None:
        self.errors = tuple(errors)
        lines = [str(error) for error in self.errors[:MAX_PRINTED]]
        if len(self.errors) > MAX_PRINTED:
            lines.append(f"and {len(self.errors) - MAX_PRINTED} more")
        super().__init__("\n".join(lines))
