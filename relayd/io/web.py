"""How relayd answers HTTP: JSON, fixed errors, headers that keep a browser strict. For the topics and for the admin.

twisted.web serves; what is changed here is what it says of itself. Its error pages are HTML that quotes the request,
its access log would hold query strings, and it waits for ever for a client that does not read its answer.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from relayd.core.refusal import BAD_METHOD, INTERNAL, HttpRefusal

#: How long a client has to take an answer that is finished (guess: 600 KB at 20 KB/s).
TAKE_WITHIN_S: Final = 30.0
#: Idle connections; the guard sends one request on each, and so should everybody on the admin listener.
IDLE_S: Final = 15.0
_SWEEP_S: Final = 1.0

UNKNOWN_PATH: Final = HttpRefusal(404, "unknown_path", "unknown_path", "nothing is served here")

_HEADERS: Final = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}

log = Logger()


def answer_json(request: Request, value: object) -> bytes:
    """The body that says `value`, its type set on the request."""
    return answer_bytes(request, json.dumps(value, separators=(",", ":")).encode())


def answer_bytes(request: Request, body: bytes) -> bytes:
    """The body, which is JSON already."""
    request.setHeader(b"content-type", b"application/json")
    if not request.responseHeaders.hasHeader(b"cache-control"):
        request.setHeader(b"cache-control", b"no-store")
    return body


def refuse(request: Request, refusal: HttpRefusal) -> bytes:
    """The body of a refusal, its status and headers set on the request."""
    request.setResponseCode(refusal.status)
    for name, value in refusal.headers:
        request.setHeader(name.encode("ascii"), value.encode("ascii"))
    if refusal.retry_after_s is not None:
        request.setHeader(b"retry-after", b"%d" % refusal.retry_after_s)
    request.setHeader(b"cache-control", b"no-store")
    return answer_bytes(request, refusal.body())


class JsonResource(Resource):
    """A resource that answers GET (and HEAD) with JSON, and has no children but those it was given."""

    def getChild(self, path: bytes, request: Request) -> IResource:
        return NOTHING

    def render(self, request: Request) -> bytes | int:
        method = getattr(self, f"render_{request.method.decode('latin-1')}", None)
        if method is None:
            return refuse(request, BAD_METHOD)
        answer: bytes | int = method(request)
        return answer

    def render_HEAD(self, request: Request) -> bytes | int:
        answer = self.render_GET(request)
        if isinstance(answer, bytes):
            request.setHeader(b"content-length", b"%d" % len(answer))
            return b""
        return answer

    def render_GET(self, request: Request) -> bytes | int:
        return refuse(request, UNKNOWN_PATH)


class _Nothing(JsonResource):
    isLeaf = True

    def render(self, request: Request) -> bytes:
        return refuse(request, UNKNOWN_PATH)


NOTHING: Final = _Nothing()


class StrictRequest(Request):
    """A request whose answer says nothing about the software, and nothing of the client's bytes."""

    defaultContentType = None
    site: StrictSite

    def render(self, resrc: IResource) -> None:
        self.responseHeaders.removeHeader(b"server")
        for name, value in _HEADERS.items():
            self.setHeader(name, value)
        super().render(resrc)

    def processingFailed(self, reason: Failure) -> Failure:
        self.site.failed(reason)
        if self.startedWriting:
            self.loseConnection()
        else:
            body = refuse(self, INTERNAL)
            self.setHeader(b"content-length", b"%d" % len(body))
            self.write(body)
            self.finish()
        return reason

    def gotLength(self, length: int | None) -> None:
        # The guard bounds bodies, each and in all; Twisted would write a long one to the disk, and wait for it.
        self.content = BytesIO()

    def finish(self) -> None:
        transport = self.channel.transport if self.channel is not None else None
        super().finish()
        if transport is not None:
            self.site.expect_end(transport)


class StrictSite(Site):
    """A site with `root` at its top, without a log of requests.

    Args:
        root: what is asked for the first segment of a path.
        reactor: where its timers run.
        on_error: called for each exception in a resource.
    """

    requestFactory = StrictRequest
    displayTracebacks = False

    def __init__(self, root: IResource, reactor: Any, on_error: Callable[[], None] = lambda: None) -> None:
        super().__init__(root, reactor=reactor, timeout=IDLE_S, parsePOSTFormSubmission=False)
        self._on_error = on_error
        self._ends: deque[tuple[float, Any]] = deque()  # (abort at, connection), ascending: one delay for all
        self._call: IDelayedCall | None = None

    def failed(self, reason: Failure) -> None:
        """An exception came out of a resource."""
        self._on_error()
        log.failure("a request failed in relayd", reason)

    def expect_end(self, transport: Any) -> None:
        """The answer on this connection is complete: it has so much time to be taken."""
        self._ends.append((self.reactor.seconds() + TAKE_WITHIN_S, transport))

    def log(self, request: Any) -> None:
        """Requests are counted, not logged."""

    def startFactory(self) -> None:
        self._sweep()

    def stopFactory(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _sweep(self) -> None:
        self._call = self.reactor.callLater(_SWEEP_S, self._sweep)
        now = self.reactor.seconds()
        while self._ends and self._ends[0][0] <= now:
            self._ends.popleft()[1].abortConnection()
