"""Authentication: somebody must judge, files must hold what they should, and routes ask for what can be known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError

from relayd.config.check.addresses import check_address
from relayd.config.check.files import check_tokens, read_file
from relayd.config.model import Auth, Jwt, Listener, Route
from relayd.config.model.auth import parse_url
from relayd.config.problem import KeyPath, Problem, Source, alternatives, closest
from relayd.core.auth.access import OfField, parse_value
from relayd.core.auth.keys import KeysError, parse_keys
from relayd.core.routes import AllowValues
from relayd.core.topic import TopicTemplate


def check_auth(auth: Auth, listeners: Mapping[int, Listener], source: Source) -> Iterator[Problem]:
    """The problems of the `auth` block."""
    by_certificate = "certificate" in auth.from_
    if auth.jwt is None and auth.tokens is None and auth.webhook is None and not by_certificate:
        yield source.problem(("auth",), "nobody judges what browsers show", expected="jwt, tokens or webhook")
    if by_certificate and not any(one.tls is not None and one.tls.client_ca for one in listeners.values()):
        what = "no listener asks for a certificate"
        yield source.problem(("auth", "from"), what, expected="`client_ca` in the `tls` of a listener")
    if auth.jwt is not None:
        yield from _check_jwt(auth.jwt, source)
        yield from _check_place(auth, ("auth", "jwt", "jwks"), auth.jwt.jwks, source)
    if auth.webhook is not None:
        yield from _check_place(auth, ("auth", "webhook", "url"), auth.webhook.url, source)
    if auth.tokens is not None:
        yield from check_tokens(auth.tokens, ("auth", "tokens"), source)
    for at, place in enumerate(auth.from_):
        if place in auth.from_[:at]:
            yield source.problem(("auth", "from", at), "stands twice in the list", expected="each once")
    if any(place.startswith("cookie:") for place in auth.from_) or auth.webhook is not None:
        yield from _check_origins(listeners, source)
    elif by_certificate:
        asking = {at: one for at, one in listeners.items() if one.tls is not None and one.tls.client_ca}
        yield from _check_origins(asking, source, "certificates", "certificate in auth.from")


def check_access(at: int, route: Route, template: TopicTemplate, has_auth: bool, source: Source) -> Iterator[Problem]:
    """The problems of one route's `access`."""
    known = [
        *template.fields,
        *(name for name, rule in route.allow.items() if isinstance(rule, AllowValues) and len(rule.values) == 1),
    ]
    for action in ("subscribe", "publish"):
        who = getattr(route.access, action)
        if isinstance(who, str):
            continue
        path = ("routes", at, "access", action)
        if not has_auth:
            what = "asks for claims, and nothing says how browsers show who they are"
            yield source.problem(path, what, expected="an `auth` block, or public")
        for claim, values in who.items():
            for value in map(parse_value, values):
                if isinstance(value, OfField) and value.name not in known:
                    meant = closest(value.name, known)
                    expected = "" if meant else f"one of its fields: {alternatives(known)}" if known else "a value"
                    what = f"the topics of this route have no field {value.name}"
                    yield source.problem((*path, claim), what, expected=expected, meant=meant and f"${meant}")


def _check_jwt(jwt: Jwt, source: Source) -> Iterator[Problem]:
    path: KeyPath = ("auth", "jwt", "jwks")
    if "://" in jwt.jwks:
        yield from _check_jwks_url(jwt, path, source)
        return
    data = read_file(jwt.jwks, path, source)
    if isinstance(data, Problem):
        yield data
        return
    try:
        parse_keys(data, frozenset(jwt.algorithms), secrets_allowed=True)
    except KeysError as error:
        yield source.problem(path, f"{jwt.jwks}: {error}", expected="a JWKS (RFC 7517) with a key for each algorithm")


def _check_place(auth: Auth, path: KeyPath, url: str, source: Source) -> Iterator[Problem]:
    try:
        host = urlsplit(url).hostname or "" if "://" in url else ""
    except ValueError:
        return  # told as a URL that is none
    if what := check_address(host, auth.allow_addresses, "auth.allow_addresses"):
        yield source.problem(path, what, expected="another host, or its network there")


def _check_jwks_url(jwt: Jwt, path: KeyPath, source: Source) -> Iterator[Problem]:
    try:
        parts = urlsplit(parse_url(jwt.jwks))
    except PydanticCustomError as error:
        context = error.context or {}
        yield source.problem(path, str(context.get("what")), expected="an https URL, or the path of a file")
        return
    if parts.scheme == "http" and not _is_here(parts.hostname or ""):
        what = "keys that are fetched without TLS can be exchanged on the way"
        yield source.problem(path, what, expected="an https URL")
    if any(algorithm.startswith("HS") for algorithm in jwt.algorithms):
        what = "HS256, HS384 and HS512 need a shared secret, which does not belong into a set that is fetched"
        yield source.problem(("auth", "jwt", "algorithms"), what, expected="a JWKS file, or another algorithm")


def _check_origins(
    listeners: Mapping[int, Listener],
    source: Source,
    what: str = "cookies",
    where: str = "cookie in auth.from and no webhook",
) -> Iterator[Problem]:
    for at, listener in listeners.items():
        if "any" in listener.origins:
            why = f"with `any` a page of a stranger could act with its visitor's {what}, so {what} never count here"
            yield source.problem(("listeners", at, "origins"), why, expected=f"the pages by name, or no {where}")


def _is_here(host: str) -> bool:
    """Whether a host is this machine, whose network nobody else is on."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
