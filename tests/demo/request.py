"""A request to a resource, without a listener."""

from __future__ import annotations

from io import BytesIO

from twisted.web.http import CACHED
from twisted.web.resource import IResource, getChildForRequest
from twisted.web.test.requesthelper import DummyRequest


class Asked(DummyRequest):
    """A request as a listener would hand it over, with the ETags that twisted.web's own knows about."""

    def __init__(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> None:
        where = path.encode().partition(b"?")[0]
        super().__init__(where.lstrip(b"/").split(b"/"))
        self.method, self.uri, self.path = method.encode(), path.encode(), where
        self.content = BytesIO(body)
        for name, value in headers.items():
            self.requestHeaders.setRawHeaders(name.replace("_", "-"), [value])

    def setETag(self, etag: bytes) -> object:
        self.setHeader(b"etag", etag)
        if self.getHeader(b"if-none-match") != etag:
            return None
        self.setResponseCode(304)
        return CACHED

    def header(self, name: str) -> str:
        """A header of the answer, empty where there is none."""
        return self.responseHeaders.getRawHeaders(name, [""])[0]

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self.responseCode or 200


def ask(root: IResource, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> tuple[Asked, bytes]:
    """A request and the body of its answer, found from `root` as a site finds it."""
    request = Asked(path, method, body, **headers)
    return request, getChildForRequest(root, request).render(request)
