"""The line in the log at the end of a connection, or of an attempt to make one."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from relayd.core.upstream.effects import Note


def farewell(
    name: str, why: str, summary: Mapping[str, object] | None, again_in_s: float | None, *, refused: bool, wished: bool
) -> Note:
    """`summary`: what the connection was, None = it was never open; `again_in_s`: the pause, None = it is not dialled
    again; `wished`: it ended in good order."""
    event = "refused" if refused else "close" if wished or summary is not None else "unreachable"
    fields: dict[str, object] = {"upstream": name, "why": why, **(summary or {})}
    if again_in_s is not None:
        fields["again_in_s"] = round(again_in_s, 3) if again_in_s < inf else "never"
    return Note(event, fields, warning=not wished)
