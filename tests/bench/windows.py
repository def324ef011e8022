"""Windows of two relays side by side, as if they had been measured."""

from __future__ import annotations

from bench.visit import Turn, Window


def window(subject: int, reference: int, cpu_s: float = 2.0) -> Window:
    """Four seconds, in which they took in so many messages; `cpu_s` is the subject's."""
    return Window(Turn(subject, 4.0, cpu_s), Turn(reference, 4.0, 2.0))
