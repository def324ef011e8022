"""Scenarios of what a client need not do: a window, binary frames, publishing. Who does it, is judged by how."""

from __future__ import annotations

import struct
from typing import Any

from relayd.clienttest.reading import settled
from relayd.clienttest.stage import (
    FIRST_WAIT_S,
    SLACK_S,
    TOPIC,
    Asked,
    NotAsked,
    Peer,
    Stage,
    asked,
    expect,
    publish,
    resumes,
    subscribed,
    welcome,
)
from relayd.core.wire import BINARY, frame

REF = 7
#: In a binary frame: this publication replaces what was known (docs/protocol.md, "Binary payloads").
SNAPSHOT = 1 << 63
#: A client acknowledges each quarter of its window, or at the latest about once a second.
ACK_WITHIN_S = 5.0


async def first(stage: Stage) -> tuple[Peer, Asked]:
    """The first connection and what it asks, not answered yet."""
    peer = await stage.connection(20.0)
    welcome(peer)
    return peer, await asked(peer)


async def window(stage: Stage) -> None:
    """A window's worth of publications: acknowledged before relayd would have to hold it, and no more than was sent."""
    peer, request = await first(stage)
    if request.window is None:
        raise NotAsked("it asks for no window")
    size = request.window
    expect(1 <= size <= 65_535, f"asked for a window of {size}, expected 1 to 65535")
    subscribed(peer, request, {TOPIC: {"position": "e:100"}})
    publish(peer, *range(101, 101 + size))
    done = 100
    while done < 100 + size - size // 2:
        told = await peer.heard("ack", ACK_WITHIN_S)
        offset: Any = told.get("offset")
        expect(told.get("topic") == TOPIC, f"acknowledged {told.get('topic')!r}, expected {TOPIC!r}")
        expect(isinstance(offset, int), f"acknowledged the offset {offset!r}, expected a number")
        expect(offset <= 100 + size, f"acknowledged {offset}, and was sent up to {100 + size}")
        expect(offset >= done, f"acknowledged {offset} after {done}: what is processed stays so")
        done = max(done, offset)
    await settled(peer)
    peer.drop()
    again, request = await resumes(stage, f"e:{100 + size}")
    expect(request.window == size, f"came back with the window {request.window}, expected {size} as before")
    await again.stays(0.2)


async def binary(stage: Stage) -> None:
    """Binary frames between messages; the first with the snapshot bit, one of a reference that was never told."""
    peer, request = await first(stage)
    if not request.binary:
        raise NotAsked("it asks for no binary frames")
    subscribed(peer, request, {TOPIC: {"position": "e:4", "ref": REF}})
    strange = (REF + 1, 900, b"of another topic")
    for ref, offset, payload in ((REF, SNAPSHOT | 4, b"\0\xff"), (REF, 5, b""), strange, (REF, 6, bytes(range(256)))):
        peer.raw(frame(BINARY, struct.pack(">IQ", ref, offset) + payload))
    publish(peer, 7)
    peer.raw(frame(BINARY, struct.pack(">IQ", REF, 8) + b"last"))
    await settled(peer)
    peer.drop()
    await resumes(stage, "e:8")


async def to_publish(stage: Stage) -> tuple[Peer, dict[str, object]]:
    """A connection that publishes, and what."""
    peer, request = await first(stage)
    subscribed(peer, request, {TOPIC: {"position": "e:0"}})
    said = await peer.heard("publish")
    expect(said.get("topic") == TOPIC, f"published to {said.get('topic')!r}, expected {TOPIC!r}")
    expect("data" in said, f"published without data: {said}")
    expect(said.get("id") is not None, "published without an id: it cannot know what became of it")
    return peer, said


async def published(stage: Stage) -> None:
    """Answered, and it comes back as a publication, as to every reader: once said is said."""
    peer, said = await to_publish(stage)
    peer.say(topic=TOPIC, offset=1, data=said["data"])
    peer.say(op="published", id=said["id"], topic=TOPIC, position="e:1")
    await peer.quiet("publish", 2.0, "published again what was published")
    peer.drop()
    await resumes(stage, "e:1")


async def publish_refused(stage: Stage) -> None:
    """A refusal with words: not tried again by itself, and no reason to hang up."""
    peer, said = await to_publish(stage)
    peer.say(op="error", id=said["id"], code="forbidden", message="route test/$x: access.publish", topic=TOPIC)
    await peer.quiet("publish", 2.0, "published again what relayd refuses")
    await peer.stays(0.5)


async def publish_lost(stage: Stage) -> None:
    """The answer is lost with the connection. It may have been published: whether to repeat is the user's affair."""
    peer, _ = await to_publish(stage)
    peer.drop()
    peer = await stage.connection(FIRST_WAIT_S + SLACK_S)
    welcome(peer)
    subscribed(peer, await asked(peer), {TOPIC: {"position": "e:1"}})
    await peer.quiet("publish", 2.0, "published again after a cut: its readers would have it twice")
