"""The listeners as services: ports open before anything is served, and closed in good order.

A connection on a listener meets the guard first (relayd/io/guard.py), which hands it to the WebSocket protocol
(relayd/io/downstream.py) or to the web server (relayd/io/http.py). With `tls`, TLS stands before the guard.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory

from relayd.config import model
from relayd.core.address import TrustedProxies
from relayd.core.admission import AdmissionLimits
from relayd.core.beat import next_beat
from relayd.core.closecode import CLOSE_RESTART
from relayd.core.guard import GuardSettings
from relayd.core.head import HeadLimits
from relayd.core.meter import MeterLimits
from relayd.core.origin import OriginPolicy
from relayd.io import transport
from relayd.io.certificates import CertificateError, ServerTls
from relayd.io.clients import CLOSE_WITHIN_S, Clients
from relayd.io.endpoints import listen
from relayd.io.guard import GuardFactory
from relayd.io.proxied import ProxiedFactory
from relayd.io.volley import KernelVolley

#: What a client is asked to wait before it comes back after a restart, at most: it adds its own jitter (guess).
RETRY_AFTER_RESTART_S: Final = 2

#: As the files of auth: renewed certificates count within that, without a signal.
LOOK_EVERY_S: Final = 5.0

log = Logger()


def admission_limits(limits: model.Limits) -> AdmissionLimits:
    """How many may come in, for the whole process."""
    return AdmissionLimits(
        connections=limits.connections,
        per_address=limits.per_address,
        handshakes=limits.handshakes.count,
        handshakes_per_s=limits.handshakes.period_s,
        ramp_s=limits.ramp_s,
    )


def guard_settings(listener: model.Listener, limits: model.Limits, *, publishes: bool = False) -> GuardSettings:
    """What one listener's guard goes by; `publishes`: some route lets clients publish."""
    publications_per_s = limits.publish.count / limits.publish.period_s if publishes else None
    return GuardSettings(
        head=HeadLimits(head_bytes=limits.head_bytes),
        origins=OriginPolicy.parse(
            ("*" if origin == "any" else origin for origin in listener.origins), required=listener.require_origin
        ),
        trusted_proxies=TrustedProxies.parse(listener.trusted_proxies),
        proxy_protocol=listener.proxy_protocol,
        prefix=listener.prefix,
        secure=listener.tls is not None,
        meter=MeterLimits.beside(limits.message_bytes, publications_per_s),
        admission=admission_limits(limits),
        body_bytes=limits.message_bytes,
        batch_bytes=16 * limits.message_bytes,
        pending=limits.pending,
        pending_per_address=limits.pending_per_address,
    )


class ListenerService(Service):
    """One listener: an endpoint, with TLS if there are `files` for it, and what stands behind it (`factory`).

    Starting it opens the port at once and raises ListenError or CertificateError where that fails, so that the program
    ends with that sentence and not with a traceback later.
    """

    def __init__(
        self,
        endpoint: str,
        factory: IProtocolFactory,
        reactor: Any,
        files: model.ListenerTls | None = None,
        volley: KernelVolley | None = None,
        backlog: transport.Backlog | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.tls: ServerTls | None = None
        self.ports: list[IListeningPort] = []
        self._factory = factory
        self._reactor = reactor
        self._files = files
        self._volley = volley
        self._backlog = backlog
        self._look_at = 0.0
        self._told = ""

    @property
    def port(self) -> IListeningPort | None:
        """The first port, None while none is open; there are several where systemd passed several."""
        return self.ports[0] if self.ports else None

    def privilegedStartService(self) -> None:
        """Opens the port while the process may still open any."""
        super().privilegedStartService()
        self._open()

    def startService(self) -> None:
        super().startService()
        self._open()

    def _open(self) -> None:
        if self.ports:
            return
        factory = self._factory
        if (files := self._files) is not None:
            try:
                self.tls = ServerTls(files.cert, files.key, files.client_ca, files.client_crl)
            except CertificateError as error:
                raise CertificateError(f"{error} (`tls` of the listener {self.endpoint})") from None
            factory = TLSMemoryBIOFactory(self.tls, False, factory, self._reactor)
            if isinstance(self._factory, GuardFactory) and self._factory.settings.proxy_protocol:
                factory = ProxiedFactory(self._factory, factory)  # the header stands before TLS
        if self._volley is not None:
            try:
                self._volley.open()
            except OSError as error:
                log.warn("browsers are sent to one by one, which costs a tenth more", why=error.strerror)
        self.ports = listen(self._reactor, self.endpoint, factory, self._volley, self._backlog)
        by = self._volley.name if self._volley is not None and self.tls is None else "send"
        for port in self.ports:
            log.info("listening", endpoint=self.endpoint, at=place_of(port), tls=self.tls is not None, sends_by=by)
        if transport.TCP_NOTSENT_LOWAT is None:
            log.warn("no TCP_NOTSENT_LOWAT on this system: a client that never reads can hold megabytes in the kernel")

    def next_deadline(self) -> float:
        """For the ticker: when the certificate's files are looked at."""
        return self._look_at

    def tick(self, now: float) -> None:
        """For the ticker: read the certificate anew if it was replaced. One that cannot be used is told once."""
        self._look_at = next_beat(now, LOOK_EVERY_S)
        if self.tls is None or not self.tls.has_changed:
            return
        try:
            self.tls.reload()
        except CertificateError as error:
            if str(error) != self._told:
                log.error("a new certificate cannot be used, the old one stays", endpoint=self.endpoint, why=str(error))
            self._told = str(error)
        else:
            self._told = ""
            log.info("the certificate was read anew", endpoint=self.endpoint)

    def not_ready(self) -> str | None:
        """Why nobody can come in here, or None."""
        return None if self.ports else f"the listener {self.endpoint} is not open"

    def trouble(self) -> str | None:
        """Whether a port that should be open takes nobody in any more, and which; None where all is well."""
        reading = set(self._reactor.getReaders()) if self.ports else set()
        dead = [port for port in self.ports if port not in reading]
        return f"the listener {self.endpoint} takes nobody in" if dead else None

    def stopService(self) -> Deferred[Any] | None:
        """Accepts nobody any more; connections that are open stay."""
        super().stopService()
        ports, self.ports = self.ports, []
        return gatherResults([maybeDeferred(port.stopListening) for port in ports]) if ports else None


def place_of(port: IListeningPort) -> str:
    """Where a port listens, as a person writes it: `127.0.0.1:8080`, `[::]:8080`, `/run/relayd.sock`."""
    address: Any = port.getHost()
    if not hasattr(address, "host"):
        return (address.name or b"").decode("utf-8", "backslashreplace")
    return f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"


class ClientsService(Service):
    """Gives the clients their time, and at the end their close: 1012, with a hint when to come back."""

    def __init__(self, clients: Clients, reactor: Any, monotonic: Callable[[], float]) -> None:
        self._clients = clients
        self._monotonic = monotonic
        self._reactor = reactor
        self._call: IDelayedCall | None = None
        self._stopped: Deferred[None] | None = None
        self._deadline = math.inf

    def startService(self) -> None:
        super().startService()
        self._wait()

    def stopService(self) -> Deferred[None]:
        """Fires when every client is gone, 2 s later at the latest."""
        super().stopService()
        stopped: Deferred[None] = Deferred()
        self._clients.close_all(CLOSE_RESTART, RETRY_AFTER_RESTART_S)
        self._deadline = self._monotonic() + CLOSE_WITHIN_S
        self._stopped = stopped
        if self._call is not None:
            self._call.cancel()
        self._beat()
        return stopped

    def _wait(self) -> None:
        now = self._monotonic()
        self._call = self._reactor.callLater(next_beat(now, self._clients.every_s(now)) - now, self._beat)

    def _beat(self) -> None:
        self._call = None
        try:
            self._clients.tick(self._monotonic())
        except Exception:
            log.failure("the sweep over the clients failed, and goes on")
        if self._stopped is not None and self._is_over():
            stopped, self._stopped = self._stopped, None
            stopped.callback(None)
        else:
            self._wait()

    def _is_over(self) -> bool:
        """Whether nobody is left of those that were closed. Whose time is over is dropped."""
        if self._monotonic() >= self._deadline:
            self._clients.abort_all()
            self._deadline = math.inf
        return not self._clients.open
