"""What an upstream says and must hear: topics, subscriptions, control messages, sequence, snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from relayd.config.expressions import At, Every, Field_, For, Match, Path, Paths, Template
from relayd.config.model.block import Block
from relayd.config.model.connect import Computed, Http
from relayd.config.scalars import Count, Duration, Given, Positive, Seq, Size, Text


class Decode(Block):
    """How a frame becomes messages."""

    binary: Seq[Literal["gzip", "inflate", "msgpack", "json"]] = ()
    """Steps that turn a binary frame into a message, such as `[gzip, json]`; left out: published as it is."""
    split: Given[Text] = None
    """Path of an array whose parts are messages of their own (`.` = the frame), or a separator such as `"\\x1e"`."""


class Topic(Block):
    """How the fields of a message are found."""

    at: Given[At] = None
    """A table field -> path, or the path (or paths) of the feed name."""
    name: Given[Text] = None
    """Takes the feed name apart, such as `$symbol@$stream`; left out: the field `$name`."""
    bound: Given[Path] = None
    """Path of the id that the ack told (`ack.bind`) or we chose (`subscribe.bind`)."""
    key_of: Seq[Text] = ()
    """Top-level keys, each of which names a feed name when it is present."""
    map: Mapping[Field_, Mapping[str, str]] = Field(default_factory=dict)
    """Field -> value in the message -> value to use."""
    types: Mapping[Field_, Literal["int", "float", "bool"]] = Field(default_factory=dict)
    """Field -> type in what is sent; text without."""
    when: Given[Match] = None
    """Only messages that match hold data."""
    unless: Given[Match] = None
    """Messages that match hold none."""
    prefix: Given[Text] = None
    """Text before the feed name at the start of a frame: read without parsing."""


class FeedName(Block):
    """A row of the `topics` table: values for placeholders, and the name under which the upstream answers."""

    as_: Given[Text] = Field(default=None, alias="as")
    """The upstream answers under this feed name."""
    values: Mapping[str, Template] = Field(default_factory=dict, alias="*")
    """Every other key of the row is a placeholder, with its value: data, not templates."""


class Ack(Block):
    """A message that confirms subscriptions."""

    id: Given[Path] = None
    """Path of the id we sent, compared as text."""
    at: Given[At] = None
    """Path of the feed name or of fields; a part of the fields confirms all that agree."""
    all: Given[Path] = None
    """Path of the list of everything now subscribed: what was asked and is not in it failed."""
    some: Given[Path] = None
    """Path of the list of what was confirmed."""
    not_: Given[Path] = Field(default=None, alias="not")
    """Path of the list of what failed."""
    bind: Given[Path] = None
    """Path of the id that stands for the subscription from now on."""


class Fail(Block):
    """A message that refuses or ends subscriptions, at any time."""

    id: Given[Path] = None
    """Path of the id we sent."""
    at: Given[At] = None
    """Path of the feed name or of fields."""
    text: Given[Paths] = None
    """Path of the reason, told to the browsers of the topic."""


class Control(Block):
    """A rule for messages that hold no data; rules are tried in order."""

    when: Match
    """Which messages."""
    ack: Given[Ack] = None
    """It confirms subscriptions."""
    fail: Given[Fail] = None
    """It refuses or ends subscriptions."""
    send: Template = None
    """What is sent in answer; `${msg.path}` is a value of the message."""
    do: Given[Literal["beat", "drain", "reconnect", "resubscribe"]] = None
    """`beat`: alive, nothing else; `drain`: a new connection takes over; `reconnect`; `resubscribe`."""
    id: Given[Path] = None
    """With `resubscribe`: path of the id whose subscription is meant; else all."""
    at: Given[At] = None
    """With `resubscribe`: path of the feed name or of fields."""
    url: Given[Path] = None
    """With `drain`: path of the URL of the new connection."""


class Request(Block):
    """What subscribing and unsubscribing have in common; the first variant whose `for` matches is used."""

    for_: Given[For] = Field(default=None, alias="for")
    """The fields this variant is for; left out: all."""
    set: Mapping[str, Computed] = Field(default_factory=dict)
    """Values computed for every message."""
    each: Template = None
    """One member of `$topics`; left out: the feed name."""
    join: Given[Text] = None
    """`$topics` is a text joined with this; left out: a list."""
    batch: Given[Count] = None
    """Members in one message at most."""
    bytes: Given[Size] = None
    """Length of one message at most."""
    send: Template = None
    """The message; with `$topics` it holds many, with `$topic` or fields one."""
    http: Given[Http] = None
    """A request in place of a message."""


class Subscribe(Request):
    """How topics are asked for."""

    verbs: Seq[Text] = Field(default=("subscribe", "unsubscribe"), min_length=2, max_length=2)
    """What `$verb` is; the usual pair."""
    in_: Given[Literal["url"]] = Field(default=None, alias="in")
    """`url`: the topics stand in `connect`, a change opens a new connection."""
    settle_s: Duration = Field(default=1.0, alias="settle")
    """With `in: url` or `whole`: how long changes are gathered before they are carried out (guess)."""
    whole: bool = False
    """Every message replaces the whole set; most feeds add to it."""
    bind: Given[Text] = None
    """The id that we choose for the subscription, such as `$id`."""
    ack: Given[Ack] = None
    """How the reply to `http` confirms."""
    fail: Given[Fail] = None
    """Where the reply to `http` says why it failed."""
    within_s: Given[Duration] = Field(default=None, alias="within")
    """An ack or data is due in this time, else the topic has failed; left out: a quiet topic is no fault."""


class Heartbeat(Block):
    """What keeps the connection alive, and shows that it is."""

    send: Template = None
    """The message (a text is a text frame); left out: a WebSocket ping."""
    expect: Given[Match] = None
    """The answer; left out: a pong, or any frame where a message is sent."""
    every_s: Every = Field(default=20.0, alias="every")
    """The interval; under the 30 s after which common proxies and feeds cut."""
    within_s: Duration = Field(default=10.0, alias="within")
    """The answer, or the companion's message, is due in this time."""
    also: Given[Mapping[Field_, Text]] = None
    """A companion subscription in place of a ping: its whole field table."""


class Sequence(Block):
    """The counter by which a loss is seen."""

    for_: Given[For] = Field(default=None, alias="for")
    """The fields this variant is for; left out: all."""
    per: Literal["topic", "connection"] = "topic"
    """What is counted; most feeds count per topic."""
    at: Given[Path] = None
    """Path of the number."""
    step: Given[Count] = None
    """Each number follows the one before by this; left out: numbers only grow."""
    first: Given[Path] = None
    """Path of the first number of a range; with `last`."""
    last: Given[Path] = None
    """Path of the last number of a range; with `first`."""
    prev: Given[Path] = None
    """Path of the number before; with `at`."""
    gap: Literal["mark", "resubscribe", "resync", "reconnect"] = "mark"
    """After a gap: tell the browsers only, ask for the topic anew, for its snapshot, or for everything."""


class Snapshot(Block):
    """The message that holds a topic's whole state; deltas follow."""

    for_: Given[For] = Field(default=None, alias="for")
    """The fields this variant is for; left out: all."""
    when: Given[Match] = None
    """Messages that match are snapshots."""
    http: Given[Http] = None
    """The snapshot is fetched."""
    send: Template = None
    """The snapshot is asked for by this message."""
    last: Given[Path] = None
    """Path of the last number it holds: deltas up to it are dropped."""


class Cursor(Block):
    """The point from which the upstream resumes."""

    at: Paths
    """Path of the point in a message."""
    rewind: Given[Positive] = None
    """Start this much earlier, in the cursor's own unit; left out: at the point."""
