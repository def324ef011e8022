"""Where the upstream is: the opening request, and the HTTP steps before and beside the connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from relayd.core.feed.errors import Refused, Unset
from relayd.core.feed.match import glob
from relayd.core.feed.path import Paths
from relayd.core.feed.template import Node, Ref, Values, as_text, names_of
from relayd.core.feed.url import Http, Url, render_headers
from relayd.core.upstream.effects import DialImpossible, DialRequest

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
#: The beginning of a URL with its whole host: what follows belongs to the path.
_AUTHORITY = re.compile(r"[a-z]+://[^/?#]+[/?#]")


@dataclass(frozen=True, slots=True)
class HttpStep:
    """One HTTP step of `connect.before`."""

    http: Http
    save: Mapping[str, Paths] = field(default_factory=dict)
    keep: bool = False
    """What was saved is kept until it is refused (401, 403, a failed handshake)."""
    within_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Refresh:
    """An HTTP request repeated while connected."""

    every_s: float
    http: Http
    save: Mapping[str, Paths] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connect:
    """A `connect` block."""

    url: Url
    headers: Mapping[str, Node] = field(default_factory=dict)
    protocols: tuple[str, ...] = ()
    before: tuple[HttpStep, ...] = ()
    refresh: Refresh | None = None
    hosts: tuple[str, ...] = ()
    """Globs of hosts that a URL from a reply may name; empty = those under the same parent domain."""
    max_age_s: float | None = None

    @property
    def names(self) -> frozenset[str]:
        """The placeholders of the opening request."""
        return self.url.names | names_of(tuple(self.headers.values()))

    def request(self, values: Values, join: str | None = None, url: str | None = None) -> DialRequest:
        """The opening request; `url` in place of the block's (a `drain` that says where to go).

        Raises DialImpossible, whose text names what is missing and never a secret.
        """
        try:
            if url is None:
                url = self.url.render(values, join)
                foreign = _is_foreign(self.url)
            else:
                foreign = True
            headers = dict(render_headers(self.headers, values))
        except Unset as error:
            raise DialImpossible(f"connect needs {placeholder(error.name)}, which has no value") from None
        except Refused as error:
            raise DialImpossible(f"connect: {error}") from None
        if foreign:
            self.check_host(url, values)
        return DialRequest(url, headers, self.protocols)

    def check_host(self, url: str, values: Values) -> None:
        """A URL that a reply gave must be encrypted and of a host that is expected. Raises DialImpossible."""
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError:
            raise DialImpossible("the URL that the upstream gave cannot be read") from None
        if parts.scheme not in ("wss", "https") and not (parts.scheme in ("ws", "http") and host in _LOOPBACK):
            raise DialImpossible("the URL that the upstream gave is not encrypted (wss:)")
        if self.hosts:
            fits = any(glob(pattern).fullmatch(host) for pattern in self.hosts)
        else:
            asked = [self.url, *(step.http.url for step in self.before)]
            fits = any(_related(host, known) for one in asked if (known := _host(one, values)))
        if not fits:
            raise DialImpossible(f"the upstream gave a URL of the host {host[:100]!r}; connect.hosts does not name it")


def _is_foreign(url: Url) -> bool:
    """Whether a URL is one placeholder, and that is what a reply said (`${env.X}` is what the file says)."""
    only = url.base.only
    return only is not None and "." not in only.name


def _host(url: Url, values: Values) -> str:
    """The host of a URL of the file; nothing where a reply may have a say in it."""
    text = ""
    for part in url.base.parts:
        if _AUTHORITY.match(text):
            break
        if isinstance(part, Ref) and "." not in part.name:
            return ""
        try:
            text += part if isinstance(part, str) else as_text(part.value(values))
        except Unset:
            return ""
    try:
        return urlsplit(text).hostname or ""
    except ValueError:
        return ""


def _related(host: str, known: str) -> bool:
    if host == known:
        return True
    labels = known.split(".")
    # `example.co.uk` is a site of its own although it has three labels; the lists of such suffixes are long and change,
    # so a short label before a country's is taken for one. `connect.hosts` says otherwise.
    own = len(labels) < 3 or (len(labels) == 3 and len(labels[1]) <= 3 and len(labels[2]) == 2)
    parent = known if own else known.split(".", 1)[1]
    return "." in parent and not known.replace(".", "").isdigit() and host.endswith(f".{parent}")


def placeholder(name: str) -> str:
    """How a placeholder is written in the file."""
    return f"${{{name}}}" if "." in name else f"${name}"
