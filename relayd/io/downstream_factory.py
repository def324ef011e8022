"""Makes the protocols of browsers' WebSockets, each from what the guard has seen of its handshake."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.interfaces import IAddress, IProtocolFactory

from relayd.core.address import canonical, client_key
from relayd.core.auth.credentials import Credential
from relayd.core.auth.door import Door, Visitor
from relayd.core.bridge import NOTHING_BROUGHT, Brought, Passage
from relayd.core.downstream import DownstreamSession
from relayd.core.guard import GuardSettings
from relayd.core.head import RequestHead
from relayd.core.subscriber import Sink
from relayd.io.clients import Clients
from relayd.io.downstream import NOTHING_SHOWN, DownstreamProtocol, raw_topic_of
from relayd.io.frame_reader import prepared
from relayd.io.mute import Mute
from relayd.io.showing import ShowingFactory, read_query

Foresee = Callable[[str, Sequence[str]], Passage | None]
"""What is known of a bridge to the topic of that name, for a browser that offers these subprotocols; None = none."""


def no_bridge(name: str, offers: Sequence[str]) -> None:
    """Where no route is exclusive."""


class MakeSession(Protocol):
    """Makes the session of a connection that has just opened; `raw_topic` is None on `/ws`."""

    def __call__(
        self,
        sink: Sink,
        *,
        raw_topic: str | None,
        session_id: str,
        visitor: Visitor | None,
        brought: Brought = NOTHING_BROUGHT,
        closed_before: int = 0,
    ) -> DownstreamSession: ...


class DownstreamFactory(WebSocketServerFactory):
    """Makes the protocols of one listener's WebSockets. `prefix` is the listener's, `message_bytes` limits.message; at
    the `door` browsers say who they are, without one nobody is known. `query_names` are what upstreams of browsers want
    of the query, and `foresee` says whether there will be such an upstream.
    """

    log = Mute()

    def __init__(
        self,
        clients: Clients,
        make_session: MakeSession,
        *,
        new_id: Callable[[], str],
        message_bytes: int,
        reactor: Any,
        prefix: str = "",
        show_address: Callable[[str], str] = str,
        door: Door | None = None,
        query_names: frozenset[str] = frozenset(),
        foresee: Foresee = no_bridge,
    ) -> None:
        super().__init__(server="", reactor=reactor)
        self._query_names = query_names
        self._foresee = foresee
        self.door = door
        self.clients = clients
        self.make_session = make_session
        self.new_id = new_id
        self.prefix = prefix
        self._show_address = show_address
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            maxFramePayloadSize=message_bytes,
            maxMessagePayloadSize=message_bytes,
            failByDrop=False,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            autoPingInterval=0,
            autoPingTimeout=0,
            allowedOrigins=["*"],  # the guard has judged
            allowNullOrigin=True,  # any call that leaves it out sets it to False
        )
        self._protocol = self._configured()

    def _configured(self) -> type[DownstreamProtocol]:
        return prepared(DownstreamProtocol, self)

    def buildProtocol(
        self, addr: IAddress | None, shown: Credential = NOTHING_SHOWN, brought: Brought = NOTHING_BROUGHT
    ) -> Any:
        host = getattr(addr, "host", "")
        protocol = self._protocol(self._show_address(canonical(host)), shown, brought)
        protocol.factory = self
        protocol.address = client_key(host)
        return protocol

    def of(self, head: RequestHead, settings: GuardSettings) -> IProtocolFactory:
        """This factory for the connection of one handshake, with what that shows of who it is."""
        brought, passage = self._brought(head)
        meter = settings.meter if passage is None else replace(settings.meter, is_paced=True)
        if self.door is None:
            is_plain = passage is None and brought is NOTHING_BROUGHT
            return self if is_plain else ShowingFactory(self, NOTHING_SHOWN, brought, meter)
        vouched = settings.origins.vouches(head.get("origin"), head.get("host") or "", secure=settings.secure)
        shown = self.door.places.read(
            head.get, head.query, cookie_counts=vouched, client=head.client, path=head.path, peer=head.peer
        )
        return ShowingFactory(self, shown, brought, meter)

    def _brought(self, head: RequestHead) -> tuple[Brought, Passage | None]:
        """What an upstream of the browser's own wants of it, and whether it gets one."""
        topic = raw_topic_of(head.path.removeprefix(self.prefix))
        passage = None if topic is None else self._foresee(topic, head.items("sec-websocket-protocol"))
        subprotocol = None if passage is None else passage.subprotocol
        query = read_query(head.query, self._query_names)
        brought = Brought(query, subprotocol) if query or subprotocol is not None else NOTHING_BROUGHT
        return brought, passage
