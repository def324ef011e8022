"""HTTP requests of upstreams: tokens before a connection, subscriptions beside it. Small, few, never redirected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone
from twisted.web.error import SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IPolicyForHTTPS
from zope.interface import implementer

from relayd.core.feed.outcome import HttpRequest
from relayd.core.upstream.effects import Loss, LossKind, printable
from relayd.core.upstream.reply import date_s, retry_after_s
from relayd.io.tls import UpstreamTls

REPLY_MOST_BYTES = 4 << 20
"""guess: an HTTP snapshot of a deep order book is 1 to 2 MiB; a reply of more is not what was asked for."""
WITHIN_S = 10.0
"""A whole request; the session's own deadlines are shorter or equal."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request."""

    status: int
    body: bytes
    retry_after_s: float | None
    date_s: float | None = None
    """What its `Date` said, in seconds since 1970."""


class NoReply(Exception):
    """There was none; `loss` says why."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(str(loss))
        self.loss = loss


@implementer(IPolicyForHTTPS)
class _Policy:
    """Checks certificates as for the WebSocket, and keeps the reason of a refusal."""

    def __init__(self, trust: Any) -> None:
        self._trust = trust
        self.tls: UpstreamTls | None = None

    def creatorForNetloc(self, hostname: bytes, port: int) -> UpstreamTls:
        self.tls = UpstreamTls(hostname.decode("ascii"), self._trust)
        return self.tls


@implementer(IBodyProducer)
class _Body:
    """A request's body, written at once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def stopProducing(self) -> None: ...


class _Collector(Protocol):
    """A reply's body, up to the bound."""

    transport: Any

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._bytes = 0
        self.done: Deferred[bytes] = Deferred(lambda _: self.transport.loseConnection())

    def dataReceived(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > REPLY_MOST_BYTES:
            self._fail(NoReply(Loss(LossKind.PROTOCOL, text=f"a reply is longer than {REPLY_MOST_BYTES} bytes")))
            self.transport.loseConnection()
        else:
            self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # Without a length the end of the connection is the end of the reply: RFC 9112, 6.3.
        if reason.check(ResponseDone, PotentialDataLoss):
            if not self.done.called:
                self.done.callback(b"".join(self._parts))
        else:
            self._fail(NoReply(Loss(LossKind.BROKEN, text="a reply ended before it was whole")))

    def _fail(self, error: NoReply) -> None:
        if not self.done.called:
            self.done.errback(error)


async def call(reactor: Any, request: HttpRequest, trust: Any, user_agent: str) -> Reply:
    """Make a request. Raises NoReply; cancellable."""
    policy = _Policy(trust)
    agent = Agent(reactor, contextFactory=policy, connectTimeout=WITHIN_S)
    headers = Headers({"User-Agent": [user_agent]})
    for name, value in request.headers:
        headers.setRawHeaders(name, [value])
    if request.content_type is not None:
        headers.setRawHeaders("Content-Type", [request.content_type])
    body = _Body(request.body) if request.body else None
    try:
        asked = agent.request(request.method.encode("ascii"), request.url.encode("ascii"), headers, body)
        asked.addTimeout(WITHIN_S, reactor)
        response = await asked
        collector = _Collector()
        response.deliverBody(collector)
        collector.done.addTimeout(WITHIN_S, reactor)
        data = await collector.done
    except NoReply:
        raise
    except Exception as error:
        raise NoReply(_loss(error, policy)) from None
    fields = {name.decode("latin-1").lower(): values[-1] for name, values in response.headers.getAllRawHeaders()}
    texts = {name: value.decode("latin-1") for name, value in fields.items()}
    return Reply(response.code, data, retry_after_s(texts), date_s(texts))


def _loss(error: Exception, policy: _Policy) -> Loss:
    if policy.tls is not None and policy.tls.refusal:
        return Loss(LossKind.TLS, text=policy.tls.refusal)
    reasons = [reason.value for reason in getattr(error, "reasons", ())]
    if any(isinstance(reason, SSL.Error) for reason in reasons):
        return Loss(LossKind.TLS, text="the TLS handshake failed")
    if isinstance(error, DNSLookupError):
        return Loss(LossKind.DNS, text="the name of the host is not known")
    if isinstance(error, ConnectError):
        return Loss(LossKind.CONNECT, text=printable(str(error)))
    if isinstance(error, SchemeNotSupported | UnicodeError | ValueError):
        return Loss(LossKind.CONFIG, text="the URL of a request is not one of http: or https:")
    return Loss(LossKind.BROKEN, text=printable(str(reasons[0] if reasons else error) or type(error).__name__))
