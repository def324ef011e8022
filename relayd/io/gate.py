"""The admin listener's gate: resources that are served only to who shows a token of `admin.tokens`, or, where this
machine is served without a login, only under a name that no page can have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from relayd.core.auth.gate import CHALLENGE, admits
from relayd.core.auth.tokens import Tokens, parse_tokens
from relayd.core.beat import next_beat
from relayd.core.hosts import names_no_dns
from relayd.core.refusal import HttpRefusal
from relayd.io.auth import LOOK_EVERY_S, WatchedFile
from relayd.io.web import refuse

UNAUTHORIZED: Final = HttpRefusal(
    401,
    "unauthorized",
    "bad_token",
    "show a token of admin.tokens: `Authorization: Bearer TOKEN`, or Basic with its name and the token",
    (("WWW-Authenticate", CHALLENGE),),
)
ANOTHER_NAME: Final = HttpRefusal(
    421,  # RFC 9110 15.5.20
    "forbidden",
    "another_name",
    "this machine is served without a login, so only under names that no page can have: "
    "ask by 127.0.0.1 or localhost, or set admin.tokens, or admin.open: true",
)


class Gate(Protocol):
    """Whom an admin listener serves."""

    def refusal(self, request: Request) -> HttpRefusal | None:
        """Why not this request; None: it is served."""
        ...


def behind(gate: Gate, resource: IResource) -> IResource:
    """The resource, for those who are let in; everybody else gets the refusal, whatever they ask for below it."""
    return _Behind(gate, resource)


class LocalGate:
    """Asks for no login; a page that has made its own name lead here (DNS rebinding) is not let in."""

    def refusal(self, request: Request) -> HttpRefusal | None:
        """By the Host header; a request without one is of no browser."""
        hosts = request.requestHeaders.getRawHeaders(b"host", [])
        return None if all(names_no_dns(host.decode("latin-1")) for host in hosts) else ANOTHER_NAME


class AdminGate:
    """The tokens of one file, read anew within 5 s when it changes. For the ticker."""

    def __init__(self, file: str, wall: Callable[[], float]) -> None:
        self._file = WatchedFile(file, "admin.tokens", self._take)
        self._wall = wall
        self._tokens = Tokens()
        self._look_at = 0.0
        self._file.look()

    def next_deadline(self) -> float:
        """When the file is looked at."""
        return self._look_at

    def tick(self, now: float) -> None:
        """Look at the file."""
        self._look_at = next_beat(now, LOOK_EVERY_S)
        self._file.look()

    def refusal(self, request: Request) -> HttpRefusal | None:
        """By a token that counts."""
        shown = request.requestHeaders.getRawHeaders(b"authorization", [])
        is_known = len(shown) == 1 and admits(shown[0].decode("latin-1"), self._tokens, self._wall())
        return None if is_known else UNAUTHORIZED

    def _take(self, data: bytes) -> None:
        self._tokens = parse_tokens(data.decode("ascii"))


class _Behind(Resource):
    def __init__(self, gate: Gate, resource: IResource) -> None:
        super().__init__()
        self._gate = gate
        self._resource = resource
        self.isLeaf = resource.isLeaf

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        refusal = self._gate.refusal(request)
        if refusal is not None:
            return _Refused(refusal)
        child: IResource = self._resource.getChildWithDefault(path, request)
        return child

    def render(self, request: Request) -> bytes | int:
        refusal = self._gate.refusal(request)
        if refusal is not None:
            return refuse(request, refusal)
        answer: bytes | int = self._resource.render(request)
        return answer


class _Refused(Resource):
    isLeaf = True

    def __init__(self, refusal: HttpRefusal) -> None:
        super().__init__()
        self._refusal = refusal

    def render(self, request: Request) -> bytes:
        return refuse(request, self._refusal)
