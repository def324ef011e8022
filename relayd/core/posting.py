"""What clients publish: `publish` on `/ws`, and publishing over HTTP. One way in for both.

A publication on a local topic is an ordinary one from then on. Nothing is queued here: it is published in this turn, or
refused with the setting that decided.
"""

from __future__ import annotations

from dataclasses import dataclass

from relayd.core.auth.verdict import Identity
from relayd.core.feed.publish import Upward
from relayd.core.hub import Hub
from relayd.core.reading import check_access
from relayd.core.routes import TopicRefused
from relayd.core.subscriber import Sink
from relayd.core.wayup import WayUp
from relayd.core.windows import SlidingWindow


@dataclass(frozen=True, slots=True)
class Posted:
    """A publication that was taken."""

    topic: str
    position: str | None
    """Where it stands (`epoch:offset`) on a local topic; None where it was handed to an upstream."""


def post(hub: Hub, name: str, payload: bytes, is_text: bool, identity: Identity | None) -> Posted:
    """Publish one payload for `identity` (None: a stranger). Text is UTF-8 already: the caller has checked.

    Raises TopicRefused: `bad_request`, `unknown_topic`, `forbidden` as the routes do, `unauthorized` or `forbidden` by
    `access.publish`, `too_large` over `limits.message`, `unavailable` where there are too many topics; and where it
    goes to an upstream what `WayUp.send` raises.
    """
    try:
        posted = _post(hub, name, payload, is_text, identity)
    except TopicRefused as refused:
        hub.counters.posts_refused[refused.code] += 1
        raise
    if posted.position is None:
        hub.counters.posts_up += 1
    else:
        hub.counters.posts += 1
    return posted


def _post(hub: Hub, name: str, payload: bytes, is_text: bool, identity: Identity | None) -> Posted:
    found = hub.topics.get(name) or hub.routes.find(name)
    route = found.route
    check_access(found, identity, to_publish=True)
    if len(payload) > hub.limits.message_bytes:
        raise TopicRefused("too_large", f"the payload is over limits.message ({hub.limits.message_bytes} bytes)")
    if route.exclusive:
        raise TopicRefused("forbidden", f"route {route.template.text} is exclusive: open /raw/{name}")
    if route.upstream is not None:
        if route.publish is None:
            raise TopicRefused("forbidden", f"route {route.template.text}: it has no `publish`, so nothing goes up")
        hub.ways_up[route.upstream].send(Upward(route.publish, found.fields, payload, is_text))
        return Posted(name, None)
    topic = hub.topic(name)
    hub.publish(topic, payload, is_text)
    return Posted(name, topic.position)


class Posting:
    """What one connection publishes, at the pace of `limits.publish`. Its memory: the times of one window.

    The connection is paused while an upstream that it published to has a full buffer.
    """

    __slots__ = ("_hub", "_sink", "_waits_for", "_window")

    def __init__(self, hub: Hub, sink: Sink) -> None:
        self._hub = hub
        self._sink = sink
        self._window: SlidingWindow | None = None
        self._waits_for: WayUp | None = None

    def post(self, name: str, payload: bytes, is_text: bool, identity: Identity | None) -> Posted:
        """As `post` above, and `rate_limited` beyond the pace. What is refused for another reason counts as well."""
        hub = self._hub
        if self._window is None:  # most connections never publish
            self._window = SlidingWindow(hub.limits.publications, hub.limits.publications_per_s)
        now = hub.now()
        if not self._window.take(now):
            hub.counters.posts_refused["rate_limited"] += 1
            count, span_s = hub.limits.publications, hub.limits.publications_per_s
            what = f"limits.publish is reached: {count} in {span_s:g} s from one connection"
            raise TopicRefused("rate_limited", what, self._window.free_at(now) - now)
        posted = post(hub, name, payload, is_text, identity)
        if posted.position is None:
            self._pause_while_full(name)
        return posted

    def _pause_while_full(self, name: str) -> None:
        upstream = self._hub.routes.find(name).route.upstream
        way = self._hub.ways_up[upstream] if upstream is not None else None
        if way is not None and way.full and self._waits_for is None:
            self._waits_for = way
            self._hub.counters.publishers_paused += 1
            self._sink.pause()
            way.pause(self, self._resume)

    def _resume(self) -> None:
        self._waits_for = None
        self._sink.resume()

    def leave(self) -> None:
        """The connection is gone. Idempotent."""
        if self._waits_for is not None:
            self._waits_for.leave(self)
            self._waits_for = None
