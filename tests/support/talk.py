"""Small dialects for tests: written as in the file, spoken without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from relayd.core.feed.build import build_dialect
from relayd.core.feed.conversation import Conversation, Wanted
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.outcome import Frame, HttpRequest, Outcome, Sending
from relayd.core.feed.resume import Resume
from relayd.core.resolver import Resolver

#: Two fields, one message for each channel, acks by id or by field, no login.
PLAIN: dict[str, Any] = {
    "connect": {"url": "wss://feed.example.com/ws"},
    "topic": {"at": {"channel": "ch", "symbol": "sym"}},
    "subscribe": {"each": "$symbol", "send": {"op": "$verb", "ch": "$channel", "syms": "$topics", "id": "$id"}},
    "control": [
        {"when": {"ok": "*"}, "ack": {"id": "ok"}},
        {"when": {"error": "*"}, "fail": {"id": "id", "text": "error"}},
        {"when": {"ch": "hb"}, "do": "beat"},
    ],
}

#: Data comes under an id that the ack tells.
LEARNT: dict[str, Any] = {
    "connect": {"url": "wss://feed.example.com/ws"},
    "topic": {"bound": "sub"},
    "subscribe": {"send": {"op": "sub", "name": "$name", "id": "$id"}},
    "unsubscribe": {"send": {"op": "unsub", "sub": "$bound", "id": "$id"}},
    "control": [
        {"when": {"id": "*", "sid": "*"}, "ack": {"id": "id", "bind": "sid"}},
        {"when": {"id": "*", "error": "*"}, "fail": {"id": "id", "text": "error"}},
        {"when": {"id": "*", "done": True}, "ack": {"id": "id"}},
    ],
}


def dialect(base: Mapping[str, Any] | None = None, **changed: Any) -> Dialect:
    """The dialect of a block, with keys changed; None takes a key out."""
    whole = {**(PLAIN if base is None else base), **changed}
    return build_dialect({key: value for key, value in whole.items() if value is not None})


def talk(
    spoken: Dialect | None = None,
    *,
    open: bool = True,
    now: float = 1_700_000_000.25,
    secrets: Mapping[str, str] | None = None,
    saved: Mapping[str, object] | None = None,
    resolver: Resolver[str] | None = None,
    resume: Resume | None = None,
) -> Conversation[str]:
    """A conversation in it; open, unless there is a login to look at."""
    conversation = Conversation[str](
        dialect() if spoken is None else spoken,
        wall=lambda: now,
        uuid=lambda: "u-1",
        secrets=secrets,
        saved=saved,
        resolver=resolver,
        resume=resume,
    )
    if open:
        conversation.open()
    return conversation


def wanted(*topics: str, names: Sequence[str] = ("channel", "symbol")) -> list[Wanted[str]]:
    """Topics written `ticker/BTC`, taken apart into fields."""
    return [Wanted(topic, dict(zip(names, topic.split("/"), strict=False))) for topic in topics]


def named(*topics: str) -> list[Wanted[str]]:
    """Topics that are one field, `name`."""
    return [Wanted(topic, {"name": topic}) for topic in topics]


def say(conversation: Conversation[str], message: Any) -> Outcome[str]:
    """A message comes, as JSON (a str: a text frame as it stands)."""
    text = message if isinstance(message, str) else json.dumps(message)
    return conversation.message(text.encode("utf-8", "surrogatepass"), True)


def read(sendings: Sequence[Sending]) -> list[Any]:
    """Frames as values, requests as (method, url, body)."""
    return [_read(sending) for sending in sendings]


def _read(sending: Sending) -> Any:
    if isinstance(sending, HttpRequest):
        return sending.method, sending.url, json.loads(sending.body) if sending.body else None
    assert isinstance(sending, Frame) and sending.is_text
    text = sending.payload.decode()
    return json.loads(text) if text[:1] in "{[" else text
