"""What can be said of the values that `allow` and `for` let through without trying them: do they meet, are they held.

Globs are compared exactly (a class such as `[ab]` counts as any one character); a regular expression is opaque, and the
answer is then the careful one. `for` knows only `*`; `allow` also knows `?` and `[...]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Final

from relayd.config.model import AllowRule
from relayd.core.feed.match import glob
from relayd.core.routes import AllowGlob, AllowValues

_TOKEN: Final = re.compile(r"\*+|\?|\[[!]?[\]]?[^\]]*\]|.", re.DOTALL)

# Longer than one character, so that they are no character of a text.
_MANY: Final = "any text"
_ONE: Final = "any character"


class Fit(Enum):
    """How many of the values that a rule allows match a glob."""

    ALL = "all"
    SOME = "some"
    NONE = "none"


def fit(rule: AllowRule, globs: tuple[str, ...]) -> Fit:
    """How many of the values of `rule` match one of `globs`; SOME where nobody can know."""
    match rule:
        case AllowValues(values):
            patterns = [glob(one) for one in globs]
            hits = sum(any(pattern.fullmatch(value) for pattern in patterns) for value in values)
            return Fit.ALL if hits == len(values) else Fit.SOME if hits else Fit.NONE
        case AllowGlob(pattern):
            allowed = _allow_steps(pattern)
            if any(_holds(_for_steps(one), allowed) for one in globs):
                return Fit.ALL
            return Fit.SOME if any(_meet(_for_steps(one), allowed) for one in globs) else Fit.NONE
        case _:
            return Fit.ALL if any(set(one) == {"*"} for one in globs) else Fit.SOME


def can_meet(one: AllowRule, other: AllowRule) -> bool:
    """Whether some value could be allowed by both; True where nobody can know."""
    if isinstance(other, AllowValues):
        one, other = other, one
    if isinstance(one, AllowValues):
        return any(other.permits(value) for value in one.values)
    if isinstance(one, AllowGlob) and isinstance(other, AllowGlob):
        return _meet(_allow_steps(one.glob), _allow_steps(other.glob))
    return True


def _allow_steps(pattern: str) -> list[str]:
    """A glob of `allow` in steps: any text, any character (a class counts as that), or one character."""
    steps = _TOKEN.findall(pattern)
    return [_MANY if step[0] == "*" else _ONE if len(step) > 1 or step == "?" else step for step in steps]


def _for_steps(pattern: str) -> list[str]:
    """A glob of `for` in steps: any text, or one character."""
    return [_MANY if step == "*" else step for step in pattern]


def _meet(left: list[str], right: list[str]) -> bool:
    """Whether some text matches both."""
    return _align(left, right, lambda a, b: a == b or _ONE in (a, b), both_stretch=True)


def _holds(wide: list[str], narrow: list[str]) -> bool:
    """Whether every text that matches `narrow` matches `wide`; False also where that is hard to tell."""
    return _align(wide, narrow, lambda a, b: a == b or (a == _ONE and b != _MANY), both_stretch=False)


def _align(left: list[str], right: list[str], same: Callable[[str, str], bool], *, both_stretch: bool) -> bool:
    # row[j]: left[i:] and right[j:] can be laid over each other. One row at a time, from the end.
    size = len(right)
    row = [False] * size + [True]
    for at in range(size - 1, -1, -1):
        row[at] = both_stretch and right[at] == _MANY and row[at + 1]
    for step in reversed(left):
        above, row = row, [False] * (size + 1)
        row[size] = step == _MANY and above[size]
        for at in range(size - 1, -1, -1):
            if step == _MANY:
                row[at] = above[at] or row[at + 1]
            elif both_stretch and right[at] == _MANY:
                row[at] = row[at + 1] or above[at]
            else:
                row[at] = right[at] != _MANY and same(step, right[at]) and above[at + 1]
    return row[0]
