"""Which pages may talk to a listener: its `origins` against the Origin that a browser sends (RFC 6454, RFC 6455 10.2).

A browser sends the cookies of relayd's host with every WebSocket it opens, whichever page asks; the Origin is the
only word about that page, and the browser writes it, not the page. Entries of `origins`:

    same                          the host and port of the Origin are those of the Host header (the default)
    https://app.example.com       this origin; without a port the scheme's own (443, 80)
    https://app.example.com:8443
    https://*.example.com         any subdomain at any depth, never example.com itself
    chrome-extension://abcdef     other schemes by their exact text
    "null"                        sandboxed frames and files: anybody at all, so it must be named
    any                           any page with an address; "null" must still be named ("*" means the same)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final, NamedTuple

from relayd.core.refusal import ORIGIN_MALFORMED, ORIGIN_MISSING, ORIGIN_REFUSED, HttpRefusal

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PORT_MAX: Final = 65_535
_ORIGIN: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#@\s:\[\]]+|\[[0-9A-Fa-f:.]+\])(?::(0|[1-9][0-9]{0,4}))?")
_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")


class Origin(NamedTuple):
    """What an Origin says, normalised: lower case, the port filled in where the scheme has one, IPv6 in its
    shortest form.
    """

    scheme: str
    host: str
    port: int | None


class OriginEntryError(ValueError):
    """An entry of `origins` that means nothing; `str()` says why and what would."""


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """The compiled `origins` and `require_origin` of one listener. Made by `parse`."""

    same: bool = True
    null: bool = False
    anyone: bool = False
    exact: frozenset[Origin] = frozenset()
    below: frozenset[Origin] = frozenset()  # `host` is the part after `*.`
    required: bool = False

    @classmethod
    def parse(cls, entries: Iterable[str], *, required: bool = False) -> OriginPolicy:
        """Compile the `origins` of a listener. Raises OriginEntryError for the first entry that means nothing."""
        exact: set[Origin] = set()
        below: set[Origin] = set()
        words: set[str] = set()
        for entry in entries:
            if entry in ("same", "null", "any", "*"):
                words.add("any" if entry == "*" else entry)
            elif "://*." in entry:
                below.add(_parse_below(entry))
            else:
                exact.add(_parse_entry(entry))
        return cls("same" in words, "null" in words, "any" in words, frozenset(exact), frozenset(below), required)

    def refuse(self, origin: str | None, host: str, *, secure: bool) -> HttpRefusal | None:
        """Why a request with this Origin header (None: it has none) may not come in; None where it may.

        `host` is the Host header, `secure` whether the connection came in over TLS: without it a proxy may have
        taken the TLS off, and a Host without a port is then read in the scheme of the Origin.
        """
        if origin is None:
            return ORIGIN_MISSING if self.required else None
        if origin == "null":
            return None if self.null else ORIGIN_REFUSED
        parsed = parse_origin(origin)
        if parsed is None:
            return ORIGIN_MALFORMED
        if (
            self.anyone
            or parsed in self.exact
            or (self.same and _is_same(parsed, host, secure))
            or self._is_below(parsed)
        ):
            return None
        return ORIGIN_REFUSED

    def vouches(self, origin: str | None, host: str, *, secure: bool) -> bool:
        """Whether the page is one of those that are named, or relayd's own: only then do its visitor's cookies count.
        `any` and `null` let pages in about which nobody knows anything."""
        if origin is None:
            return False
        named = OriginPolicy(self.same, False, False, self.exact, self.below)
        return named.refuse(origin, host, secure=secure) is None

    def _is_below(self, origin: Origin) -> bool:
        if not self.below:
            return False
        labels = origin.host.split(".")
        return any(origin._replace(host=".".join(labels[start:])) in self.below for start in range(1, len(labels) - 1))


def parse_origin(text: str) -> Origin | None:
    """Take an Origin header apart; None where it is not SCHEME://HOST[:PORT]. No path, no user, no trailing slash."""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return None
    scheme, host, port = match[1].lower(), match[2].lower(), match[3]
    if port is not None and int(port) > _PORT_MAX:
        return None
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1]).compressed}]"
        except AddressValueError:
            return None
    elif _NAME.fullmatch(host) is None:
        return None
    return Origin(scheme, host, _DEFAULT_PORTS.get(scheme) if port is None else int(port))


def _is_same(origin: Origin, host: str, secure: bool) -> bool:
    scheme = "https" if secure else origin.scheme
    return origin.scheme in _DEFAULT_PORTS and parse_origin(f"{scheme}://{host}") == origin._replace(scheme=scheme)


def _parse_entry(entry: str, wildcard: str = "") -> Origin:
    """What an entry names; `wildcard` is what stands between its scheme and its host."""
    scheme, separator, rest = entry.partition("://" + wildcard)
    if not separator:
        raise OriginEntryError(
            f'{entry!r} is not an origin: expected same, "null", any or SCHEME://HOST[:PORT], such as '
            f"https://{entry or 'app.example.com'}"
        )
    if scheme.lower() in ("ws", "wss"):
        raise OriginEntryError(
            f"{entry!r}: an origin is the address of a page, so its scheme is {scheme.lower().replace('ws', 'http')}"
        )
    if not rest.isascii():
        rest = _to_ascii(entry, rest)
    origin = parse_origin(f"{scheme}://{rest}")
    if origin is None:
        raise OriginEntryError(
            f"{entry!r} is not an origin: expected SCHEME://HOST[:PORT], without a path, a user or a slash at the end"
        )
    return origin


def _parse_below(entry: str) -> Origin:
    origin = _parse_entry(entry, "*.")
    if origin.scheme not in _DEFAULT_PORTS or origin.host.startswith("["):
        raise OriginEntryError(f"{entry!r}: only http and https names have subdomains")
    if "." not in origin.host.rstrip("."):
        raise OriginEntryError(
            f"{entry!r} would let in everybody under {origin.host!r}: expected at least two labels after `*.`"
        )
    return origin


def _to_ascii(entry: str, rest: str) -> str:
    host, colon, port = rest.partition(":")
    try:
        return host.encode("idna").decode("ascii") + colon + port
    except UnicodeError:
        raise OriginEntryError(f"{entry!r}: {host!r} is not an international domain name") from None
