"""The admin listener's gate: resources that are served only to who shows a token of `admin.tokens`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from relayd.core.auth.gate import CHALLENGE, admits
from relayd.core.auth.tokens import Tokens, parse_tokens
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
        self._look_at = now + LOOK_EVERY_S
        self._file.look()

    def admits(self, request: Request) -> bool:
        """Whether the request shows a token that counts."""
        shown = request.requestHeaders.getRawHeaders(b"authorization", [])
        return len(shown) == 1 and admits(shown[0].decode("latin-1"), self._tokens, self._wall())

    def behind(self, resource: IResource) -> IResource:
        """The resource, for those who are let in; everybody else gets a 401, whatever they ask for below it."""
        return _Behind(self, resource)

    def _take(self, data: bytes) -> None:
        self._tokens = parse_tokens(data.decode("ascii"))


class _Behind(Resource):
    def __init__(self, gate: AdminGate, resource: IResource) -> None:
        super().__init__()
        self._gate = gate
        self._resource = resource
        self.isLeaf = resource.isLeaf

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        if not self._gate.admits(request):
            return _Refused()
        child: IResource = self._resource.getChildWithDefault(path, request)
        return child

    def render(self, request: Request) -> bytes | int:
        if not self._gate.admits(request):
            return refuse(request, UNAUTHORIZED)
        answer: bytes | int = self._resource.render(request)
        return answer


class _Refused(Resource):
    isLeaf = True

    def render(self, request: Request) -> bytes:
        return refuse(request, UNAUTHORIZED)
