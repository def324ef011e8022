"""Listeners: two at one place, and files that cannot be read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from relayd.config.check.files import check_pem, check_tokens
from relayd.config.model import Admin, Listener, ListenerTls
from relayd.config.problem import KeyPath, Problem, Source, spell


def check_listeners(listeners: Mapping[int, Listener], admin: Admin | None, source: Source) -> Iterator[Problem]:
    """Problems of the listeners and the admin listener."""
    places: list[tuple[KeyPath, str]] = [(("listeners", at), one.endpoint) for at, one in listeners.items()]
    if admin is not None:
        places.append((("admin",), admin.endpoint))
    first: dict[str, KeyPath] = {}
    for path, endpoint in places:
        place = _place(endpoint)
        if place in first:
            what = f"the same place as {spell(first[place])}.endpoint"
            yield source.problem((*path, "endpoint"), what, got=f'"{endpoint}"', expected="a place of its own")
        elif not place.endswith(":0"):
            first[place] = path
    for at, listener in listeners.items():
        yield from _check_tls(listener.tls, ("listeners", at, "tls"), source)
        if listener.proxy_protocol and not listener.trusted_proxies:
            what = "whose header counts is not said, so nobody could come in"
            path = ("listeners", at, "proxy_protocol")
            yield source.problem(path, what, expected="`trusted_proxies` with the address of the balancer")
    if admin is not None:
        yield from _check_admin(admin, source)


def _check_tls(tls: ListenerTls | None, path: KeyPath, source: Source) -> Iterator[Problem]:
    if tls is None:
        return
    for key in ("cert", "key", "client_ca", "client_crl"):
        yield from check_pem(getattr(tls, key), (*path, key), source)
    if tls.client_crl is not None and tls.client_ca is None:
        what = "without client_ca no certificate is asked for"
        yield source.problem((*path, "client_crl"), what, expected="`client_ca` beside it")


def _check_admin(admin: Admin, source: Source) -> Iterator[Problem]:
    yield from _check_tls(admin.tls, ("admin", "tls"), source)
    if admin.tokens is not None:
        yield from check_tokens(admin.tokens, ("admin", "tokens"), source)
    has_login = admin.tokens is not None or (admin.tls is not None and admin.tls.client_ca is not None)
    if admin.open and has_login:
        yield source.problem(("admin", "open"), "it asks for a login, and is not open", expected="one of the two")
    elif not has_login and not admin.open and not _is_here(admin.endpoint):
        what = "whoever reaches this endpoint could read which feeds and topics there are"
        expected = "tcp:8081:interface=127.0.0.1, or `tokens` beside it (relayd token NAME), or `open: true`"
        yield source.problem(("admin", "endpoint"), what, got=f'"{admin.endpoint}"', expected=expected)


def _is_here(endpoint: str) -> bool:
    """Whether only this machine reaches the endpoint. Where a socket of systemd listens is written elsewhere."""
    kind, _, *arguments = re.split(r"(?<!\\):", endpoint)
    interface = next((one.partition("=")[2] for one in arguments if one.startswith("interface=")), "")
    return kind == "unix" or (interface != "" and ip_address(interface.replace("\\:", ":")).is_loopback)


def _place(endpoint: str) -> str:
    """What two endpoints may not share: the port and its interface, the socket's path, the unit's socket."""
    kind, place, *arguments = endpoint.replace("\\:", "\0").split(":")
    interface = next((one for one in arguments if one.startswith("interface=")), "")
    return f"{interface}{kind}:{os.path.normpath(place) if kind == 'unix' else place}"
