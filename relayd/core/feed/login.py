"""Login: what is said before anything may be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from relayd.core.feed.match import Match
from relayd.core.feed.path import MISSING, Paths, Scope
from relayd.core.feed.sign import NO_SETS, Sets
from relayd.core.feed.template import Node, names_of


@dataclass(frozen=True, slots=True)
class LoginStep:
    """One step: it is sent (if there is something to send) and ends with the answer (if one is expected)."""

    send: Node = None
    sends: bool = False
    expect: Match | None = None
    fail: Match | None = None
    save: Mapping[str, Paths] = field(default_factory=dict)
    sets: Sets = NO_SETS
    within_s: float = 10.0

    @property
    def names(self) -> frozenset[str]:
        """The placeholders it uses."""
        return (names_of(self.send) - self.sets.names) | self.sets.uses


def saved(save: Mapping[str, Paths], scope: Scope) -> dict[str, object]:
    """What a reply holds of what is to be saved."""
    found = {name: scope.first(paths) for name, paths in save.items()}
    return {name: value for name, value in found.items() if value is not MISSING}
