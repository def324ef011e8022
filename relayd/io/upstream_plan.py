"""What is dialled: a DialRequest taken apart, and found to be fit to send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit

from relayd.core.upstream.effects import DialRequest, printable
from relayd.io.tls import UpstreamTls, trust_root

#: Header fields that the handshake itself writes.
RESERVED = frozenset(
    {"host", "upgrade", "connection", "content-length", "transfer-encoding"}
    | {f"sec-websocket-{name}" for name in ("key", "version", "protocol", "extensions")}
)


class Transport(Enum):
    """What an upstream speaks."""

    WEBSOCKET = "websocket"
    SSE = "sse"

    @property
    def schemes(self) -> tuple[str, str]:
        """Of its URLs: in the clear, and encrypted."""
        return ("ws", "wss") if self is Transport.WEBSOCKET else ("http", "https")


@dataclass(frozen=True, slots=True)
class DialPlan:
    """A DialRequest taken apart, and found to be fit to send."""

    host: str
    port: int
    resource: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    protocols: tuple[str, ...]
    tls: UpstreamTls | None

    @property
    def host_header(self) -> str:
        """The host as a Host field holds it."""
        return f"[{self.host}]" if ":" in self.host else self.host


def plan(
    request: DialRequest, ca: str | None, user_agent: str, transport: Transport = Transport.WEBSOCKET
) -> DialPlan:
    """What to dial. Raises ValueError or TrustUnreadable, whose texts hold no secret."""
    parts = urlsplit(request.url)
    plain, encrypted = transport.schemes
    if parts.scheme not in (plain, encrypted) or not parts.hostname:
        raise ValueError(f"connect.url is not of the form {plain}://host/ or {encrypted}://host/")
    if parts.username is not None or parts.password is not None:
        raise ValueError("connect.url holds a user name; put it into connect.headers (Authorization)")
    secure = parts.scheme == encrypted
    try:
        port = parts.port or (443 if secure else 80)
    except ValueError:
        raise ValueError("the port in connect.url is not a number up to 65535") from None
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not resource.isascii() or any(character <= " " or character == "\x7f" for character in resource):
        raise ValueError("connect.url or connect.query holds a character that must be percent-encoded")
    headers = {name: value for name, value in request.headers.items()}
    for name, value in headers.items():
        if name.lower() in RESERVED:
            raise ValueError(f"connect.headers: {name} is written by the handshake itself")
        if any((character < " " and character != "\t") or character == "\x7f" for character in name + value):
            raise ValueError(f"connect.headers: {printable(name)} holds a control character")
    if not any(name.lower() == "user-agent" for name in headers):
        headers = {"User-Agent": user_agent, **headers}
    tls = UpstreamTls(parts.hostname, trust_root(ca)) if secure else None
    return DialPlan(parts.hostname, port, resource, headers, request.protocols, tls)
