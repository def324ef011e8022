"""Where browsers come in: listeners, and the admin listener."""

from __future__ import annotations

from pydantic import Field

from relayd.config.endpoints import Endpoint, Origin, Prefix, Proxy
from relayd.config.model.block import Block
from relayd.config.scalars import Given, Seq, Text


class ListenerTls(Block):
    """The certificate of a listener. Its files are read anew within 5 s when they change."""

    cert: Text
    """PEM file with the certificate and its chain."""
    key: Text
    """PEM file with the private key."""
    client_ca: Given[Text] = None
    """PEM file with the authorities a client's certificate must come from; without it none is asked for. Whom it names
    counts where `auth.from` holds `certificate`."""
    client_crl: Given[Text] = None
    """PEM file with a revocation list of each of those authorities; without it a certificate counts until it ends."""


class Listener(Block):
    """One port or socket that browsers dial."""

    endpoint: Endpoint
    """`tcp:8080`, `tcp6:8080` (serves IPv4 too), `unix:/run/relayd.sock:mode=660` or `systemd:NAME`;
    `:interface=127.0.0.1` keeps a port on this machine."""
    tls: Given[ListenerTls] = None
    """TLS is a key, not an endpoint type: its certificate can be reloaded."""
    origins: Seq[Origin] = Field(default=("same",), min_length=1)
    """Pages that may connect: `same` (the Origin's host and port are those of Host: safe without any thought),
    `https://app.example.com`, `https://*.example.com`, `null`, or `any`."""
    require_origin: bool = False
    """Refuse requests without Origin; off, since programs that are no browsers send none."""
    trusted_proxies: Seq[Proxy] = ()
    """Networks whose X-Forwarded-For is believed, counted from the right; `unix` is whoever reaches a unix socket.
    None, since anyone can send one."""
    proxy_protocol: bool = False
    """Expect a PROXY protocol header (v1 or v2); off, since a browser cannot send one."""
    prefix: Prefix = ""
    """Path before `/ws`, `/raw` and the rest, such as `/live`; none."""


class Admin(Block):
    """The listener for operators: metrics, health, JSON API, dashboard."""

    endpoint: Endpoint
    """As a listener's: `tcp:8081:interface=127.0.0.1` is on this machine alone, which needs no token. Without one it
    answers to addresses and `localhost` only (421 else), since a page can make any other name lead here."""
    tls: Given[ListenerTls] = None
    """As a listener's; with `client_ca` the certificate is the login."""
    tokens: Given[Text] = None
    """A file of tokens, of which `/metrics` and `/status` want one; `relayd token` makes its lines. Read anew when it
    changes."""
    open: bool = False
    """Serve everybody who reaches the endpoint, also where that is not this machine, and under whatever name; off,
    since it tells which feeds there are."""
