"""Scenarios: where a client stands in what it reads. Its `since` after the next cut says what it made of all before."""

from __future__ import annotations

import json

from relayd.clienttest.stage import (
    FIRST_WAIT_S,
    PATTERN,
    SLACK_S,
    TOPIC,
    Peer,
    Stage,
    asked,
    expect,
    opened,
    publish,
    resumes,
    subscribed,
    welcome,
)
from relayd.core.wire import TEXT, frame

OTHER = "test/b"
#: For 2 MiB and 2,000 messages, by a client that prints each, on a machine with ten times as much to do as it can.
READ_WITHIN_S = 20.0


async def resumes_where_it_stood(stage: Stage) -> None:
    """Twice, the second time with what was recovered in between."""
    peer = await opened(stage, "e:4")
    publish(peer, 4, snapshot=True)
    publish(peer, 5, 6, 7)
    await settled(peer)
    peer.drop()
    peer, request = await resumes(stage, "e:7")
    subscribed(peer, request, {TOPIC: {"position": "e:9", "recovered": True}})
    publish(peer, 8, 9, 10)
    await settled(peer)
    peer.drop()
    await resumes(stage, "e:10", within_s=2 * FIRST_WAIT_S + SLACK_S)


async def settled(peer: Peer) -> None:
    """What was sent has been read, as far as a server can know: a ping after it was answered."""
    await peer.pinged(b"settled", READ_WITHIN_S)
    await peer.pause(0.2)


async def nothing_came(stage: Stage) -> None:
    """A topic without data yet: it may be resumed from its beginning, or begun."""
    peer = await stage.connection(20.0)
    welcome(peer)
    subscribed(peer, await asked(peer), {TOPIC: {"position": "e:0", "state": "pending"}})
    await peer.pause(0.5)
    peer.drop()
    peer = await stage.connection(FIRST_WAIT_S + SLACK_S)
    welcome(peer)
    since = (await asked(peer)).since.get(TOPIC)
    expect(since in (None, "e:0"), f"came back with since {since!r}, expected none or 'e:0'")


async def gap(stage: Stage) -> None:
    """A loss in the stream, with a count."""
    peer = await opened(stage)
    publish(peer, 1, 2, 3)
    peer.say(op="lost", topic=TOPIC, after=3, next=10, count=6, why="slow")
    publish(peer, 10, 11)
    await settled(peer)
    peer.drop()
    await resumes(stage, "e:11")


async def gap_at_the_end(stage: Stage) -> None:
    """A loss, and nothing after it: the client has up to 3, and will not get up to 9."""
    peer = await opened(stage)
    publish(peer, 1, 2, 3)
    peer.say(op="lost", topic=TOPIC, after=3, next=10, count=6, why="upstream")
    await settled(peer)
    peer.drop()
    await resumes(stage, "e:3", "e:9")


async def lost_null(stage: Stage) -> None:
    """A loss that nobody can count."""
    peer = await opened(stage)
    publish(peer, 1)
    peer.say(op="lost", topic=TOPIC, after=1, next=40, count=None, why="upstream")
    publish(peer, 40)
    await settled(peer)
    peer.drop()
    await resumes(stage, "e:40")


async def rate(stage: Stage) -> None:
    """Jumps of a conflated topic, and their totals later: no loss, and no step back."""
    peer = await opened(stage)
    publish(peer, 3, 9)
    peer.say(op="lost", topic=TOPIC, after=0, next=9, count=7, why="rate")
    publish(peer, 30)
    await settled(peer)
    peer.drop()
    await resumes(stage, "e:30")


async def too_late(stage: Stage) -> None:
    """Back after too long: a loss, then a snapshot of a topic of deltas and its changes."""
    peer = await opened(stage)
    publish(peer, 1, 2)
    await settled(peer)
    peer.drop()
    peer, request = await resumes(stage, "e:2")
    subscribed(peer, request, {TOPIC: {"position": "e:23", "recovered": False}})
    peer.say(op="lost", topic=TOPIC, after=2, next=20, count=17, why="slow")
    publish(peer, 20, snapshot=True)
    publish(peer, 21, 22, 23)
    await settled(peer)
    peer.drop()
    await resumes(stage, "e:23", within_s=2 * FIRST_WAIT_S + SLACK_S)


async def epoch(stage: Stage) -> None:
    """A relayd that numbers anew, lower than before: the client forgets the old numbers."""
    peer = await opened(stage, "e:101")
    publish(peer, 101, snapshot=True)
    publish(peer, 102, 103)
    await settled(peer)
    peer.drop()
    peer, request = await resumes(stage, "e:103")
    subscribed(peer, request, {TOPIC: {"position": "f:2", "recovered": False}})
    peer.say(op="lost", topic=TOPIC, after=0, next=2, count=None, why="epoch")
    publish(peer, 2, snapshot=True)
    publish(peer, 3)
    await settled(peer)
    peer.drop()
    await resumes(stage, "f:3", within_s=2 * FIRST_WAIT_S + SLACK_S)


async def colons(stage: Stage) -> None:
    """An epoch is any text: the offset is what follows the last colon."""
    peer = await opened(stage, "a:b:0")
    publish(peer, 1)
    await settled(peer)
    peer.drop()
    await resumes(stage, "a:b:1")


async def splits(stage: Stage) -> None:
    """Frames in single bytes, and a message in fragments."""
    peer = await opened(stage)
    whole = b"".join(frame(TEXT, text(offset)) for offset in (1, 2, 3))
    await peer.in_pieces(whole, 1)
    message = text(4)
    peer.raw(bytes((TEXT, 7)) + message[:7] + bytes((0, 0)) + bytes((0x80, len(message) - 7)) + message[7:])
    publish(peer, 5)
    await settled(peer)
    peer.drop()
    await resumes(stage, "e:5")


def text(offset: int) -> bytes:
    """A publication as its bytes, with letters of two, three and four bytes."""
    return json.dumps({"topic": TOPIC, "offset": offset, "data": "é中😀"}, ensure_ascii=False).encode()


async def unknown(stage: Stage) -> None:
    """Ops, keys, states and reasons of a later version."""
    peer = await stage.connection(20.0)
    peer.say(op="welcome", relayd="1", session="s", ping_every_s=25, time_ms=1, motto={"x": [1]})
    peer.say(op="weather", topic=TOPIC, offset=900, sky="blue")
    request = await asked(peer)
    subscribed(peer, request, {TOPIC: {"position": "e:0", "colour": "red"}}, hints=[1, 2])
    peer.say(op="state", topic=TOPIC, state="dreaming", why="later")
    publish(peer, 1, mood="fine", at=1_700_000_000_000)
    peer.say(op="lost", topic=TOPIC, after=1, next=4, count=2, why="sunspots", severity=3)
    publish(peer, 4)
    peer.say(topic="test/unasked", offset=7, data=0)
    peer.say(op="error", code="weather", message="of no request of yours")
    await settled(peer)
    peer.drop()
    await resumes(stage, "e:4")


async def payloads(stage: Stage) -> None:
    """Text, base64, null, and a JSON value that looks like a message."""
    peer = await opened(stage)
    peer.say(topic=TOPIC, offset=1, text="no JSON {")
    peer.say(topic=TOPIC, offset=2, base64="AAEC/w==")
    peer.say(topic=TOPIC, offset=3, data=None)
    peer.say(topic=TOPIC, offset=4, data={"op": "lost", "topic": TOPIC, "after": 0, "next": 99})
    await settled(peer)
    peer.drop()
    await resumes(stage, "e:4")


async def states(stage: Stage) -> None:
    """The feed is away: that is relayd's affair, and no reason to ask again."""
    peer = await opened(stage)
    publish(peer, 1)
    for state in ("stale", "reconnecting", "failed", "live"):
        peer.say(op="state", topic=TOPIC, state=state, why="test")
    await peer.quiet("subscribe", 2.0, "subscribed again, though it was subscribed: the state of a topic is only news")
    await peer.stays(0.5)


async def late_answer(stage: Stage) -> None:
    """The answer takes three seconds: asked once is asked."""
    peer = await stage.connection(20.0)
    welcome(peer)
    request = await asked(peer)
    await peer.quiet("subscribe", 3.0, "subscribed again while the answer was on its way")
    subscribed(peer, request, {TOPIC: {"position": "e:0"}})
    publish(peer, 1)
    await peer.stays(0.5)


async def refused_topic(stage: Stage) -> None:
    """One error for the topic, then the answer without it: not asked again and again."""
    peer = await stage.connection(20.0)
    welcome(peer)
    request = await asked(peer)
    identity = {} if request.id is None else {"id": request.id}
    peer.say(op="error", **identity, code="forbidden", message="route test/$x: access.subscribe", topic=TOPIC)
    subscribed(peer, request, {})
    await peer.quiet("subscribe", 3.0, "asked again for a topic that was refused, on the same connection")
    await stage.nobody(0.5, "connected anew for a topic that was refused")


async def parts(stage: Stage) -> None:
    """`subscribed` in two parts, and topics of both."""
    peer = await stage.connection(20.0)
    welcome(peer)
    request = await asked(peer, PATTERN)
    subscribed(peer, request, {TOPIC: {"position": "e:0"}}, more=True)
    publish(peer, 1)
    subscribed(peer, request, {OTHER: {"position": "e:0"}}, matches=2)
    publish(peer, 1, 2, topic=OTHER)
    publish(peer, 2, 3)
    await settled(peer)
    peer.drop()
    _, request = await resumes(stage, "e:3", pattern=PATTERN)
    expect(request.since.get(OTHER) == "e:2", f"since is {dict(request.since)}, expected also {OTHER}: 'e:2'")


async def met_later(stage: Stage) -> None:
    """A pattern meets a topic that came into being: told without `id`."""
    peer = await stage.connection(20.0)
    welcome(peer)
    request = await asked(peer, PATTERN)
    subscribed(peer, request, {}, matches=0)
    await peer.pause(0.3)
    peer.say(op="subscribed", topics={OTHER: {"position": "e:1", "state": "live"}})
    publish(peer, 1, topic=OTHER, snapshot=True)
    publish(peer, 2, topic=OTHER)
    await settled(peer)
    peer.drop()
    await resumes(stage, "e:2", topic=OTHER, pattern=PATTERN)


async def large(stage: Stage) -> None:
    """A publication of 2 MiB, and a burst of 2,000 small ones."""
    peer = await opened(stage)
    peer.say(topic=TOPIC, offset=1, data="x" * (2 << 20))
    publish(peer, *range(2, 2_002))
    await settled(peer)
    await peer.pause(1.0)
    peer.drop()
    await resumes(stage, "e:2001")
