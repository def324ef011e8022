"""Clients that are flushed as crowds."""

from __future__ import annotations

import json
from collections.abc import Sequence

from relayd.core.downstream import DownstreamSession
from relayd.core.mishap import Report, let_it_out
from tests.support.hub_rig import FakeSink, FakeVolley, Rig, frames, route, say

Opened = tuple[DownstreamSession, FakeSink]


def opened(rig: Rig, *topics: str, room: int = 1 << 40) -> Opened:
    """A client of these topics that has read its answers."""
    session, sink = rig.open()
    say(session, op="subscribe", topics=list(topics))
    rig.clock.turn()
    sink.taken.clear()
    sink.room = room
    return session, sink


def data(sink: FakeSink) -> list[object]:
    """The payloads it got, in order."""
    said = [json.loads(text) for _, text in frames(bytearray(sink.taken))]
    return [message["data"] for message in said if "op" not in message]


def alive(volley: FakeVolley | None = None, report: Report = let_it_out) -> Rig:
    """A rig whose topic `t/x` has spoken, so that nothing but publications follows."""
    rig = Rig(route("t/$n"), volley=volley, report=report)
    rig.publish("t/x", b"0")
    rig.clock.turn()
    return rig


def calm(rig: Rig, clients: Sequence[Opened], topic: str = "t/x") -> None:
    """Publish until all are in crowds; what they got of it is forgotten."""
    for _ in range(6):
        rig.publish(topic, b"0")
        rig.clock.advance(0.1)
    for session, sink in clients:
        assert session.subscriber.cohort is not None and session.subscriber.cohort.crowds
        sink.taken.clear()


def crowded(rig: Rig, count: int, alike: int = 1) -> list[Opened]:
    """So many clients in the crowd of `t/x`, which read another topic each, or `alike` of them the same one."""
    clients = [opened(rig, "t/x", f"t/{n // alike}") for n in range(count)]
    calm(rig, clients)
    return clients


def crowd_of(rig: Rig, topic: str) -> int:
    """How many cohorts are in its crowds."""
    return sum(len(crowd.cohorts) for crowd in rig.hub.topic(topic).crowds.values())


def said(sink: FakeSink) -> list[object]:
    """What it was told, in order: payloads, states, `lost`."""
    messages = [json.loads(text) for _, text in frames(bytearray(sink.taken))]
    return [message.get("state", message.get("op", message.get("data"))) for message in messages]
