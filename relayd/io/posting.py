"""Publishing over HTTP: takes a request apart for core/http_posts.py, and answers it."""

from __future__ import annotations

from twisted.web.server import Request

from relayd.core.auth.door import Door
from relayd.core.auth.verdict import Identity
from relayd.core.http_posts import HttpPosts, Publisher
from relayd.core.refusal import HttpRefusal
from relayd.io.cors import Cors
from relayd.io.identify import identify
from relayd.io.web import answer_bytes, refuse

#: What pages of other origins may send.
REQUEST_HEADERS = b"Content-Type, Idempotency-Key"


class PostHandler:
    """Answers `POST /topics` and `POST /topics/TOPIC` of one listener."""

    def __init__(self, posts: HttpPosts, cors: Cors, door: Door | None) -> None:
        self._posts = posts
        self._cors = cors
        self._door = door

    def answer(self, request: Request, name: str) -> bytes | int:
        """`name` is the topic, or empty for a batch."""
        if self._door is None:
            return self._publish(request, name, None)
        return identify(
            request,
            self._door,
            self._cors.origins,
            secure=self._cors.secure,
            serve=lambda identity: self._publish(request, name, identity),
        )

    def _publish(self, request: Request, name: str, identity: Identity | None) -> bytes:
        body = b"" if request.content is None else request.content.read()
        key = request.getHeader(b"idempotency-key")
        content_type = (request.getHeader(b"content-type") or b"").decode("latin-1")
        # X-Forwarded-For is written by the guard, or absent.
        publisher = Publisher(identity, (request.getHeader(b"x-forwarded-for") or b"").decode("latin-1"))
        text = None if key is None else key.decode("latin-1")
        if name:
            reply = self._posts.one(name, body, content_type, publisher, text)
        else:
            reply = self._posts.batch(body, content_type, publisher, text)
        if isinstance(reply, HttpRefusal):
            return refuse(request, reply)
        request.setResponseCode(reply.status)
        return answer_bytes(request, reply.body)
