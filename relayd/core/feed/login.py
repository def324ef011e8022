"""Login: what is said before anything may be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from relayd.core.feed.match import Match
from relayd.core.feed.outcome import Frame
from relayd.core.feed.path import MISSING, Paths, Scope
from relayd.core.feed.sign import NO_SETS, Sets
from relayd.core.feed.template import Node, names_of
from relayd.core.feed.voice import Voice


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


class LoginProgress:
    """How far one connection has come in its login."""

    def __init__(self, steps: tuple[LoginStep, ...], voice: Voice) -> None:
        self._steps = steps
        self._voice = voice
        self._at = 0
        self._begun = False

    @property
    def done(self) -> bool:
        """Whether there is nothing left to say or to wait for."""
        return self._begun and self._at >= len(self._steps)

    def go_on(self) -> list[Frame]:
        """The messages of the steps up to the first that is answered. Raises Unset, Refused."""
        self._begun = True
        frames = []
        while self._at < len(self._steps):
            step = self._steps[self._at]
            if step.sends:
                values = step.sets.extend(self._voice.values(step.names))
                self._voice.saved.update({name: values[name] for name in step.sets.names})
                frames.append(self._voice.rendered(step.send, values))
            if step.expect is not None:
                break
            self._at += 1
        return frames

    def is_answered(self, scope: Scope) -> bool | None:
        """Whether a message answers the present step: True = as expected, False = a refusal, None = it does not."""
        if not self._begun:
            return None
        step = self._steps[self._at]
        if step.fail is not None and step.fail.holds(scope):
            return False
        if step.expect is None or not step.expect.holds(scope):
            return None
        self._voice.saved.update(saved(step.save, scope))
        self._at += 1
        return True
