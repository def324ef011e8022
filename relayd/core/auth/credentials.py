"""Where a request shows who makes it (`auth.from`), and what of it the webhook may see.

A browser sends the cookies of relayd's host with every request, whichever page makes it. So a cookie is a credential
only where the Origin was checked; everywhere else it is as if it were not there. Headers that a client could make up to
pass for a proxy's (X-User and the like) are read by nobody and handed to nobody: what goes on is a short fixed list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from relayd.core.auth.verdict import Identity

#: Of a request, what the user's server needs to know a session again. Never more: these are written by the browser.
FOR_WEBHOOK: Final = ("authorization", "cookie", "origin", "user-agent", "accept-language")
_IDENTIFYING: Final = ("authorization", "cookie")

GetHeader = Callable[[str], "str | None"]
"""The value of a header by its name in lower case, or None."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request or a message shows. Secret: only `client` and `path` are in its repr."""

    token: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """For the webhook, without the cookie where it does not count."""
    client: str = ""
    path: str = ""
    certificate: Identity | None = field(default=None, repr=False)
    """Whom TLS has verified, where that is the place that counts."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to judge."""
        return self.token is None and self.certificate is None and not self.identifying

    @property
    def identifying(self) -> tuple[str, ...]:
        """What the webhook's answer depends on; () where there is nothing to ask about."""
        return tuple(f"{name}:{value}" for name, value in self.headers if name in _IDENTIFYING)


@dataclass(frozen=True, slots=True)
class Places:
    """`auth.from`: `header`, `cookie:NAME`, `query:NAME`, `certificate`, `message`, in the order of trying."""

    places: tuple[tuple[str, str], ...] = (("header", ""), ("message", ""))

    @classmethod
    def parse(cls, texts: tuple[str, ...]) -> Places:
        """Of the texts of the file, which are checked."""
        split = (text.partition(":") for text in texts)
        return cls(tuple((kind, name) for kind, _, name in split))

    @property
    def by_message(self) -> bool:
        """Whether `{"op":"auth"}` is listened to."""
        return ("message", "") in self.places

    @property
    def by_cookie(self) -> bool:
        """Whether some cookie is a credential."""
        return any(kind == "cookie" for kind, _ in self.places)

    def read(
        self,
        header: GetHeader,
        query: str,
        *,
        cookie_counts: bool,
        client: str = "",
        path: str = "",
        peer: Identity | None = None,
    ) -> Credential:
        """What a request shows. `cookie_counts`: its Origin was checked. `peer`: whom TLS has verified. A browser shows
        a certificate for whichever page asks, as it does cookies; a program, which has no Origin, means what it shows.
        """

        def seen(name: str) -> str | None:
            return None if name == "cookie" and not cookie_counts else header(name)

        token = None
        for kind, name in self.places:
            if kind == "certificate" and peer is not None and (cookie_counts or not _is_by_a_page(header)):
                return Credential(client=client, path=path, certificate=peer)
            if token := _find(kind, name, seen, query) or None:
                break
        shown = tuple((name, value) for name in FOR_WEBHOOK if (value := seen(name)) is not None)
        return Credential(token, shown, client, path)


def of_message(token: str, client: str = "", path: str = "") -> Credential:
    """What `{"op":"auth","token":...}` shows; the webhook sees it as a header would show it."""
    return Credential(token, (("authorization", f"Bearer {token}"),), client, path)


def _is_by_a_page(header: GetHeader) -> bool:
    """Whether a browser asks for a page: it says so by Origin, or where there is none by Fetch Metadata."""
    return header("origin") is not None or header("sec-fetch-site") not in (None, "none", "same-origin")


def _find(kind: str, name: str, header: GetHeader, query: str) -> str | None:
    if kind == "header":
        scheme, _, rest = (header("authorization") or "").partition(" ")
        return rest.strip(" \t") or None if scheme.lower() == "bearer" else None
    if kind == "cookie":
        return _only(_cookies(header("cookie") or "", name))
    if kind == "query":
        return _only(_arguments(query, name))
    return None


def _only(values: Iterator[str]) -> str | None:
    """One value. Two that differ are none: somebody may have planted the other."""
    distinct = {value for value in values if value}
    return distinct.pop() if len(distinct) == 1 else None


def _cookies(text: str, name: str) -> Iterator[str]:
    for part in text.split(";"):
        key, equals, value = part.strip(" \t").partition("=")
        if equals and key == name:
            yield value.removeprefix('"').removesuffix('"')


def _arguments(query: str, name: str) -> Iterator[str]:
    for part in query.split("&"):
        key, _, value = part.partition("=")
        if unquote(key) == name:
            with suppress(UnicodeDecodeError):
                yield unquote(value, errors="strict")
