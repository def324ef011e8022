"""Who makes an HTTP request: the same credentials as in a handshake, looked at before anything is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from relayd.core.auth.door import RETRY_S, Door
from relayd.core.auth.verdict import Denied, Identity, Unavailable, Verdict
from relayd.core.origin import OriginPolicy
from relayd.core.refusal import HttpRefusal
from relayd.io.certificates import peer_of
from relayd.io.web import refuse

#: RFC 9110 11.6.1: every 401 says what is asked for.
CHALLENGE: Final = (("WWW-Authenticate", "Bearer"),)

_DENIED: Final = HttpRefusal(
    401, "unauthorized", "bad_token", "auth does not accept what this request shows", CHALLENGE
)
_UNAVAILABLE: Final = HttpRefusal(
    503, "unavailable", "auth", "auth: nobody can be asked who this is", retry_after_s=RETRY_S
)


def identify(
    request: Request,
    door: Door,
    origins: OriginPolicy,
    *,
    secure: bool,
    serve: Callable[[Identity | None], bytes | int],
) -> bytes | int:
    """What `serve` answers to who makes the request (None: a stranger), or a 401 or 503; at once or later."""
    waiting = _Waiting(request, serve)
    shown = door.places.read(
        lambda name: _text(request, name),
        request.uri.partition(b"?")[2].decode("latin-1"),
        cookie_counts=_is_vouched(request, origins, secure),
        client=_text(request, "x-forwarded-for") or "",  # written by the guard, or absent
        path=request.path.decode("latin-1"),
        peer=peer_of(request.channel.transport),
    )
    door.check(shown, waiting.judged)
    return waiting.begin()


def _is_vouched(request: Request, origins: OriginPolicy, secure: bool) -> bool:
    """Whether the browser says that a page that is named, or relayd's own, makes this request. For requests within one
    origin there is no Origin; Sec-Fetch-Site, which no script can set, says so."""
    origin = _text(request, "origin")
    if origin is None:
        return origins.same and _text(request, "sec-fetch-site") == "same-origin"
    return origins.vouches(origin, _text(request, "host") or "", secure=secure)


def _text(request: Request, name: str) -> str | None:
    value = request.getHeader(name.encode("ascii"))
    return None if value is None else value.decode("latin-1")


class _Waiting:
    """A request until its verdict is there."""

    def __init__(self, request: Request, serve: Callable[[Identity | None], bytes | int]) -> None:
        self._request = request
        self._serve = serve
        self._answer: bytes | int | None = None
        self._is_late = False
        self._is_lost = False

    def judged(self, verdict: Verdict) -> None:
        """Serve, or refuse."""
        if self._is_lost:
            return
        try:
            self._answer = self._decide(verdict)
        except Exception:
            if not self._is_late:
                raise
            self._request.processingFailed(Failure())
            return
        if self._is_late and isinstance(self._answer, bytes):
            self._request.setHeader(b"content-length", b"%d" % len(self._answer))
            self._request.write(self._answer)
            self._request.finish()

    def begin(self) -> bytes | int:
        """The answer if it is there, else NOT_DONE_YET."""
        if self._answer is None:
            self._is_late = True
            self._request.notifyFinish().addErrback(lambda _: self._lose())
            return NOT_DONE_YET
        return self._answer

    def _lose(self) -> None:
        self._is_lost = True

    def _decide(self, verdict: Verdict) -> bytes | int:
        if isinstance(verdict, Denied):
            return refuse(self._request, _DENIED)
        if isinstance(verdict, Unavailable):
            return refuse(self._request, _UNAVAILABLE)
        return self._serve(verdict)
