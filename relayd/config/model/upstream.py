"""One feed: where it is, what it says, what it must hear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from relayd.config.expressions import Paths, Variants
from relayd.config.model.block import Block
from relayd.config.model.connect import Connect, LoginStep, Reconnect, Silence, UpstreamLimits
from relayd.config.model.dialect import (
    Control,
    Cursor,
    Decode,
    FeedName,
    Heartbeat,
    Request,
    Sequence,
    Snapshot,
    Subscribe,
    Topic,
)
from relayd.config.scalars import OFF, Given, OrOff, Seq, Text, refuse


def _feed_name(row: Any) -> Any:
    """`as` is ours, every other key of a row is a value for a placeholder."""
    if not isinstance(row, Mapping):
        return row
    renamed = {"as": row["as"]} if "as" in row else {}
    return {**renamed, "*": {key: value for key, value in row.items() if key != "as"}}


def _feed_names(topics: Any) -> Any:
    """A list of feed names is a table without values."""
    if not isinstance(topics, list | tuple):
        return topics
    if not all(isinstance(name, str) and name for name in topics):
        raise refuse("a feed name is text", "texts, such as [ticker, trades]")
    if len(set(topics)) != len(topics):
        raise refuse("a feed name stands twice in the list", "each name once")
    return {name: {} for name in topics}


_ROW = {"type": "object", "properties": {"as": {"type": "string", "minLength": 1}}}
_TOPICS = {
    "anyOf": [
        {"type": "array", "items": {"type": "string", "minLength": 1}, "uniqueItems": True},
        {"type": "object", "additionalProperties": _ROW},
    ]
}

Row = Annotated[FeedName, BeforeValidator(_feed_name)]
"""One feed name's row of the `topics` table."""
FeedNames = Annotated[Given[Mapping[Text, Row]], BeforeValidator(_feed_names), WithJsonSchema(_TOPICS)]
"""The `topics` table."""


class Upstream(Block):
    """A feed that relayd dials."""

    transport: Literal["websocket", "sse"] = "websocket"
    """What the feed speaks: `sse` are server-sent events, one HTTP request that is answered without end."""
    connect: Connect
    """Where it is."""
    login: Seq[LoginStep] = ()
    """Steps before anything is subscribed."""
    decode: Decode = Field(default_factory=Decode)
    """How a frame becomes messages."""
    topic: Topic = Field(default_factory=Topic)
    """How the fields of a message are found; left out: there are none, and every message is data, for a feed that
    pushes one thing unasked."""
    topics: FeedNames = None
    """The feed names there are: a list, or a table with the values each brings; left out: any."""
    subscribe: Variants[Subscribe] = ()
    """How topics are asked for, one block or a list of variants; left out: the feed pushes unasked."""
    unsubscribe: Variants[Request] = ()
    """Only where it differs from `subscribe` by more than `$verb`."""
    payload: Given[Paths] = None
    """The part of a message that is published, as a slice of its bytes; left out: all."""
    control: Variants[Control] = ()
    """Rules for messages that hold no data, tried in order."""
    heartbeat: OrOff[Heartbeat] = Field(default_factory=Heartbeat)
    """A WebSocket ping every 20 s where no message is given; `off` for feeds that forbid pings, and for `sse`."""
    silence: Silence = Field(default_factory=Silence)
    """Watchdogs for a connection that says nothing."""
    sequence: Variants[Sequence] = ()
    """The counter by which a loss is seen; one block or variants."""
    snapshot: Variants[Snapshot] = ()
    """The message that holds the whole state; one block or variants."""
    cursor: Given[Cursor] = None
    """The point from which the upstream resumes."""
    dedupe: Given[Paths] = None
    """Path of a message's identity: one that came before is dropped."""
    limits: UpstreamLimits = Field(default_factory=UpstreamLimits)
    """What the feed allows."""
    reconnect: Reconnect = Field(default_factory=Reconnect)
    """When to dial again."""
    dial: Given[Literal["start", "demand"]] = None
    """`start`: dialled at start and kept; `demand`: while a topic is wanted. Left out: `demand`, or `start` without
    `subscribe`, since such a feed cannot be asked."""

    @model_validator(mode="before")
    @classmethod
    def _without_pings(cls, block: Any) -> Any:
        """On an event stream nobody can ping: there is no heartbeat unless one is written, which is then refused."""
        if isinstance(block, Mapping) and block.get("transport") == "sse" and "heartbeat" not in block:
            return {**block, "heartbeat": OFF}
        return block
