"""Long-polling over HTTP: `GET /poll`, `POST /poll` (docs/protocol.md). core/poll.py decides what is answered when."""

from __future__ import annotations

from twisted.web.server import NOT_DONE_YET, Request

from relayd.core.asking import Asking, of_body, of_query
from relayd.core.auth.door import Door
from relayd.core.auth.verdict import Identity
from relayd.core.poll import Polls
from relayd.core.refusal import HttpRefusal
from relayd.io.cors import Cors
from relayd.io.identify import identify
from relayd.io.web import JsonResource, answer_bytes, refuse


class PollResource(JsonResource):
    """`/poll`."""

    isLeaf = True

    def __init__(self, polls: Polls, cors: Cors, door: Door | None) -> None:
        super().__init__()
        self._polls = polls
        self._cors = cors
        self._door = door

    def render(self, request: Request) -> bytes | int:
        refusal = self._cors.admit(request)
        return super().render(request) if refusal is None else refuse(request, refusal)

    def render_OPTIONS(self, request: Request) -> bytes:
        return self._cors.preflight(request, b"GET, POST", b"Content-Type")

    def render_HEAD(self, request: Request) -> bytes:
        return answer_bytes(request, b"")

    def render_GET(self, request: Request) -> bytes | int:
        return self._ask(request, of_query(request.uri.partition(b"?")[2].decode("latin-1")))

    def render_POST(self, request: Request) -> bytes | int:
        body = b"" if request.content is None else request.content.read()
        return self._ask(request, of_body(body))

    def _ask(self, request: Request, asking: Asking | HttpRefusal) -> bytes | int:
        if isinstance(asking, HttpRefusal):
            return refuse(request, asking)
        if self._door is None:
            return self._poll(request, asking, None)
        return identify(
            request,
            self._door,
            self._cors.origins,
            secure=self._cors.secure,
            serve=lambda identity: self._poll(request, asking, identity),
        )

    def _poll(self, request: Request, asking: Asking, identity: Identity | None) -> bytes | int:
        answer = _Answer(request)
        poll = self._polls.begin(asking, identity, answer.done)
        if answer.body is not None:
            return answer.body
        answer.is_late = True
        request.notifyFinish().addErrback(lambda _: poll.abandon())
        return NOT_DONE_YET


class _Answer:
    """The answer of one poll, which comes while it begins or later."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.is_late = False
        self.body: bytes | None = None

    def done(self, answer: bytes | HttpRefusal) -> None:
        """The poll is over."""
        request = self._request
        body = refuse(request, answer) if isinstance(answer, HttpRefusal) else answer_bytes(request, answer)
        if not self.is_late:
            self.body = body
            return
        request.setHeader(b"content-length", b"%d" % len(body))
        request.write(body)
        request.finish()
