"""What a reader is told of the topics it asked for: the same messages on every transport (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from relayd.core import wire
from relayd.core.readers import Joined
from relayd.core.topics import Topic

#: Topics in one `subscribed` message; more follow in further ones.
TOPICS_PER_ANSWER: Final = 500


def subscribed(
    request: int | str | None, joined: Sequence[Joined], matches: int | None, *, by_reference: bool = False
) -> Iterator[bytes]:
    """The answer to a subscribe, in parts, and after it what is lost. `by_reference` says how binary frames call the
    topics.
    """
    for start in range(0, max(1, len(joined)), TOPICS_PER_ANSWER):
        part = joined[start : start + TOPICS_PER_ANSWER]
        members: dict[str, object] = {
            "topics": {one.topic.name: _of_joined(one, by_reference) for one in part},
        }
        if start + TOPICS_PER_ANSWER < len(joined):
            members["more"] = True
        elif matches is not None:
            members["matches"] = matches
        yield wire.reply("subscribed", request, **members)
    for one in joined:
        if one.lost is not None:
            yield one.lost


def described(topic: Topic, position: str, recovered: bool | None = None) -> dict[str, object]:
    """Where somebody stands in a topic."""
    members: dict[str, object] = {"position": position, "state": topic.state.value}
    if topic.why:
        members["why"] = topic.why
    if recovered is not None:
        members["recovered"] = recovered
    return members


def _of_joined(joined: Joined, by_reference: bool) -> dict[str, object]:
    members = described(joined.topic, joined.position, joined.recovered)
    if by_reference:
        members["ref"] = joined.topic.ref
    return members
