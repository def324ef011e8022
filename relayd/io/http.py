"""The topics over plain HTTP: what exists, and what a topic holds now (docs/protocol.md).

    GET /topics?match=market/**           {"topics":[{"topic":...,"state":...,"position":...}]}
    GET /topics/market/ticker/BTC-USD     {"topic":...,"position":"e:41","state":"live","snapshot":[publications]}

Asking for a topic counts as demand, as if a browser had subscribed: where nobody else listens, the upstream is asked
for it, and the request waits for the first data (`?wait=5s`, at most 30 s). The ETag is the position, so whoever polls
with If-None-Match gets a 304 until there is news. Publications have the shape they have on `/ws`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.web.http import CACHED
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request

from relayd.core import wire
from relayd.core.auth.door import Door
from relayd.core.auth.verdict import Identity
from relayd.core.http_posts import HttpPosts
from relayd.core.hub import Hub
from relayd.core.origin import OriginPolicy
from relayd.core.poll import Polls
from relayd.core.publication import Encoding, Publication
from relayd.core.readers import Hold
from relayd.core.reading import check_access, may_read
from relayd.core.refusal import HttpRefusal
from relayd.core.routes import TopicRefused
from relayd.core.topic import TopicError, TopicPattern
from relayd.io import client_script
from relayd.io.cors import Cors
from relayd.io.identify import CHALLENGE, identify
from relayd.io.poll import PollResource
from relayd.io.posting import REQUEST_HEADERS, PostHandler
from relayd.io.sse import StreamResource
from relayd.io.web import JsonResource, StrictSite, answer_bytes, answer_json, refuse

#: Long enough for an upstream that must be dialled first, short enough for a script.
WAIT_S: Final = 5.0
WAIT_MAX_S: Final = 30.0
#: Requests that wait at once; each holds a connection and a reader of a topic (guess: 1 MB in all).
WAITING_MAX: Final = 1_000
#: Topics in one answer: 100 KB, 2 ms. `more` says that there are others, which a narrower `match` finds.
LISTED_MAX: Final = 1_000

_WAIT: Final = re.compile(rb"([0-9]{1,5})(ms|s)")

_BAD_WAIT: Final = HttpRefusal(400, "bad_request", "bad_wait", "wait is a duration from 0s to 30s, such as 5s or 500ms")
_BAD_MATCH: Final = HttpRefusal(
    400, "bad_request", "bad_match", "match is a pattern: `*` for one segment, `**` at the end for the rest"
)
_NO_DATA: Final = HttpRefusal(
    504, "unavailable", "no_data", "no data came within wait; the topic's upstream may be quiet, or down"
)
_WAITING: Final = HttpRefusal(503, "unavailable", "waiting", "1000 requests wait for data already", retry_after_s=5)
#: HTTP status by the protocol's error code.
_STATUS: Final = {"bad_request": 400, "unknown_topic": 404, "forbidden": 403, "unauthorized": 401, "unavailable": 503}


def build_site(
    hub: Hub,
    origins: OriginPolicy,
    reactor: Any,
    *,
    secure: bool = False,
    prefix: str = "",
    extra: Mapping[bytes, IResource] | None = None,
    door: Door | None = None,
    polls: Polls | None = None,
    on_error: Callable[[], None] = lambda: None,
) -> StrictSite:
    """The HTTP side of one listener.

    Args:
        hub: whose topics are served.
        origins: the listener's; pages of others may not read topics.
        reactor: where requests wait.
        secure: whether the listener speaks TLS itself.
        prefix: the listener's path before everything, such as `/feed`.
        extra: further resources by their first path segment; `b""` is the page at `/`.
        door: where browsers say who they are; without one nobody is known.
        polls: those of the hub; by default the listener has its own.
        on_error: hears of each exception in an answer, after it was logged and answered with 500.
    """
    top = root = JsonResource()
    for segment in prefix.encode("ascii").split(b"/")[1:]:
        below = JsonResource()
        top.putChild(segment, below)
        top = below
    for name, resource in (extra or {}).items():
        top.putChild(name, resource)
    top.putChild(client_script.NAME, client_script.ClientScript())
    cors = Cors(origins, secure, credentials=door is not None)
    top.putChild(b"sse", StreamResource(cors))
    top.putChild(b"poll", PollResource(polls or Polls(hub, reactor.callLater), cors, door))
    top.putChild(b"topics", TopicsResource(hub, origins, secure, reactor, door))
    return StrictSite(root, reactor, on_error)


class TopicsResource(JsonResource):
    """`/topics` and everything under it."""

    isLeaf = True

    def __init__(self, hub: Hub, origins: OriginPolicy, secure: bool, reactor: Any, door: Door | None = None) -> None:
        super().__init__()
        self._door = door
        self._hub = hub
        self._origins = origins
        self._secure = secure
        self._cors = Cors(origins, secure, credentials=door is not None)
        self._reactor = reactor
        self._waiting = 0
        self._post = PostHandler(HttpPosts(hub), self._cors, door)

    def render(self, request: Request) -> bytes | int:
        refusal = self._cors.admit(request, exposed=b"ETag")
        return super().render(request) if refusal is None else refuse(request, refusal)

    def render_OPTIONS(self, request: Request) -> bytes:
        return self._cors.preflight(request, b"GET, POST", b"If-None-Match, " + REQUEST_HEADERS)

    def render_POST(self, request: Request) -> bytes | int:
        return self._post.answer(request, self._name(request))

    def render_GET(self, request: Request) -> bytes | int:
        if self._door is None:
            return self._serve(request, None)
        request.setHeader(b"cache-control", b"private, no-cache")
        request.setHeader(b"vary", b"Origin, Authorization, Cookie")
        return identify(
            request,
            self._door,
            self._origins,
            secure=self._secure,
            serve=lambda identity: self._serve(request, identity),
        )

    def _serve(self, request: Request, identity: Identity | None) -> bytes | int:
        name = self._name(request)
        return self._render_topic(request, name, identity) if name else self._render_list(request, identity)

    def _name(self, request: Request) -> str:
        return b"/".join(request.postpath or ()).decode("utf-8", "replace")

    def _render_list(self, request: Request, identity: Identity | None) -> bytes:
        pattern = None
        if (match := _argument(request, b"match")) is not None:
            try:
                pattern = TopicPattern.parse(match.decode("utf-8", "replace"))
            except TopicError:
                return refuse(request, _BAD_MATCH)
        topics = sorted(
            (topic for topic in self._hub.names(pattern) if may_read(topic, identity)), key=lambda topic: topic.name
        )
        listed: dict[str, object] = {
            "topics": [
                {"topic": topic.name, "state": topic.state.value, "position": topic.position}
                for topic in topics[:LISTED_MAX]
            ]
        }
        if len(topics) > LISTED_MAX:
            listed["more"] = True
        return answer_json(request, listed)

    def _render_topic(self, request: Request, name: str, identity: Identity | None) -> bytes | int:
        wait_s = _wait(_argument(request, b"wait"))
        if wait_s is None:
            return refuse(request, _BAD_WAIT)
        try:
            check_access(self._hub.topics.get(name) or self._hub.routes.find(name), identity)
            hold = self._hub.hold(name)
        except TopicRefused as refused:
            status = _STATUS.get(refused.code, 400)
            headers = CHALLENGE if status == 401 else ()
            return refuse(request, HttpRefusal(status, refused.code, refused.code, refused.message, headers))
        if (publications := hold.snapshot()) or not wait_s:
            hold.release()
            return _answer(request, hold, publications)
        if self._waiting >= WAITING_MAX:
            hold.release()
            return refuse(request, _WAITING)
        _Waiting(self, request, hold, wait_s)
        return NOT_DONE_YET

    def began(self) -> Any:
        """A request waits from here on; it gets the reactor for its deadline."""
        self._waiting += 1
        return self._reactor

    def ended(self) -> None:
        """It waits no more."""
        self._waiting -= 1


class _Waiting:
    """A request that waits for the first data of its topic, its deadline, or the loss of its client."""

    def __init__(self, resource: TopicsResource, request: Request, hold: Hold, wait_s: float) -> None:
        self._resource = resource
        self._request = request
        self._hold = hold
        self._deadline: IDelayedCall | None = resource.began().callLater(wait_s, self._answer)
        request.notifyFinish().addErrback(lambda _: self._end())
        hold.on_first(self._wake)

    def _wake(self) -> None:
        # Called from within the publication: the answer is made on a turn of its own.
        if self._deadline is not None and self._deadline.active():
            self._deadline.reset(0)

    def _answer(self) -> None:
        publications = self._hold.snapshot()
        self._end()
        request = self._request
        body = _answer(request, self._hold, publications)
        request.setHeader(b"content-length", b"%d" % len(body))
        request.write(body)
        request.finish()

    def _end(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()
        self._hold.release()
        self._resource.ended()


def _argument(request: Request, name: bytes) -> bytes | None:
    values = request.args.get(name) if request.args else None
    return values[0] if values else None


def _wait(text: bytes | None) -> float | None:
    """Seconds; None where `text` is no duration or too long."""
    if text is None:
        return WAIT_S
    hit = _WAIT.fullmatch(text)
    if hit is None:
        return None
    seconds = int(hit[1]) / (1000 if hit[2] == b"ms" else 1)
    return seconds if seconds <= WAIT_MAX_S else None


def _answer(request: Request, hold: Hold, publications: list[Publication]) -> bytes:
    if not publications:
        return refuse(request, _NO_DATA)
    topic = hold.topic
    if not request.responseHeaders.hasHeader(b"cache-control"):
        request.setHeader(b"cache-control", b"no-cache")
    if request.setETag(f'"{topic.position}"'.encode("ascii")) is CACHED:
        return b""
    head = {"topic": topic.name, "position": topic.position, "state": topic.state.value}
    parts = b",".join(_payloads(publications))
    opening = json.dumps(head, separators=(",", ":")).encode()[:-1]
    return answer_bytes(request, b'%b,"snapshot":[%b]}' % (opening, parts))


def _payloads(publications: list[Publication]) -> Iterator[bytes]:
    """The publications as on `/ws`, the first of them flagged as the snapshot; their frames are shared with it."""
    encoding = Encoding.V1_SNAPSHOT
    for publication in publications:
        yield wire.unframed(wire.encode(publication, encoding))
        encoding = Encoding.V1
