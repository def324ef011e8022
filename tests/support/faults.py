"""A callback that raises once, for tests of what one fault may cost."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase


class Injected(Exception):
    """What no code of ours foresees."""


def inject(case: TestCase, owner: Any, name: str) -> list[int]:
    """The callback raises at its next call, and works from then on. What is returned is empty until it has raised."""
    sound = getattr(owner, name)
    raised: list[int] = []

    def raising(*args: Any, **kwargs: Any) -> Any:
        if not raised:
            raised.append(1)
            raise Injected(name)
        return sound(*args, **kwargs)

    case.patch(owner, name, raising)
    return raised
