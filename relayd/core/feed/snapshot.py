"""Snapshots: messages that hold a topic's whole state, and how one is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from relayd.core.feed.match import FOR_ALL, For, Match
from relayd.core.feed.path import Path
from relayd.core.feed.template import Node
from relayd.core.feed.url import Http


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One `snapshot` variant."""

    applies: For = FOR_ALL
    when: Match | None = None
    """Messages that match are snapshots."""
    http: Http | None = None
    """It is fetched."""
    send: Node = None
    """It is asked for by a message."""
    sends: bool = False
    last: Path | None = None
    """The last number it holds."""
