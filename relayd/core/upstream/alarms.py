"""What several losses in a row mean, for whoever runs the relay: none of them says it by itself.

A server that accepts and drops within seconds looks connected at each look; two relays with one key throw each other
out for ever, and each sees no more than a close. Both are counted, told once, and shown to the browsers that wait.
"""

from __future__ import annotations

import re
from typing import Final

from relayd.core.counters import UpstreamCounters
from relayd.core.upstream.effects import Loss, LossKind, Note

SHORT_MOST: Final = 5
"""guess: five connections in a row that were open and brought too little are no accident."""
DROPS: Final = "the upstream accepts connections and drops them"
RIVAL: Final = "the upstream lets in one connection, and somebody else has it"

_RIVAL = re.compile(
    r"connection limit|too many (open |concurrent )?(connection|session)|max(imum)? (number of )?connection"
    r"|kicked|newer (connection|session)|(another|other|new) (connection|session|client|device|location|login)"
    r"|(already|concurrent|duplicate|multiple)\W+(\w+\W+){0,2}(connect|log|session)|elsewhere",
    re.IGNORECASE | re.ASCII,
)


def is_rival(loss: Loss) -> bool:
    """Whether the upstream says that it has one connection too many: some other program has our key, or our old
    connection is not gone yet. Coming back soon throws the other one out, which comes back soon."""
    return loss.kind in (LossKind.CLOSED, LossKind.HTTP) and _RIVAL.search(loss.text) is not None


class Alarms:
    """The losses of one upstream, one after the other."""

    __slots__ = ("_counters", "_rivals_told", "_short", "shown")

    def __init__(self, counters: UpstreamCounters) -> None:
        self._counters = counters
        self._short = 0
        self._rivals_told = False
        self.shown = ""
        """What browsers are told; empty = nothing is the matter."""

    def ended(self, loss: Loss, *, wished: bool, opened: bool, proved: bool) -> list[Note]:
        """A connection was lost; or one ended in good order (`wished`), or an attempt failed (`opened` is false), which
        say nothing here. `proved`: it had lasted. Returns what is to be told."""
        self._counters.connected = 0
        self._counters.losses += 1
        notes: list[Note] = []
        if wished:
            return notes
        if proved:
            self._short, self._rivals_told, self.shown = 0, False, ""
        elif opened:
            self._short += 1
            self._counters.short += 1
            if self._short == SHORT_MOST:
                notes.append(Note("short", {"times": self._short}, warning=True))
            if self._short >= SHORT_MOST:
                self.shown = DROPS
        if is_rival(loss):
            self._counters.rivals += 1
            self.shown = RIVAL
            if not self._rivals_told:
                self._rivals_told = True
                notes.append(Note("rival", {"text": loss.text}, warning=True))
        return notes
