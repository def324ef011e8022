"""Authentication: somebody must judge, files must hold what they should, and routes ask for what can be known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError

from relayd.config.check.addresses import check_address
from relayd.config.model import Auth, Jwt, Listener, Route
from relayd.config.model.auth import parse_url
from relayd.config.problem import KeyPath, Problem, Source, alternatives, closest
from relayd.core.auth.access import OfField, parse_value
from relayd.core.auth.keys import KeysError, parse_keys
from relayd.core.auth.tokens import TokensError, parse_tokens
from relayd.core.routes import AllowValues
from relayd.core.topic import TopicTemplate

#: A file of keys or tokens; 10,000 tokens with a few claims each are 2 MiB.
MAX_FILE_BYTES: Final = 4 << 20


def check_auth(auth: Auth, listeners: Mapping[int, Listener], source: Source) -> Iterator[Problem]:
    """The problems of the `auth` block."""
    if auth.jwt is None and auth.tokens is None and auth.webhook is None:
        yield source.problem(("auth",), "nobody judges what browsers show", expected="jwt, tokens or webhook")
    if auth.jwt is not None:
        yield from _check_jwt(auth.jwt, source)
        yield from _check_place(auth, ("auth", "jwt", "jwks"), auth.jwt.jwks, source)
    if auth.webhook is not None:
        yield from _check_place(auth, ("auth", "webhook", "url"), auth.webhook.url, source)
    if auth.tokens is not None:
        yield from _check_tokens(auth.tokens, source)
    for at, place in enumerate(auth.from_):
        if place in auth.from_[:at]:
            yield source.problem(("auth", "from", at), "stands twice in the list", expected="each once")
    if any(place.startswith("cookie:") for place in auth.from_) or auth.webhook is not None:
        yield from _check_origins(listeners, source)


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
    data = _read(jwt.jwks, path, source)
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


def _check_tokens(file: str, source: Source) -> Iterator[Problem]:
    path: KeyPath = ("auth", "tokens")
    data = _read(file, path, source)
    if isinstance(data, Problem):
        yield data
        return
    try:
        parse_tokens(data.decode("ascii"))
    except TokensError as error:
        yield source.problem(path, f"{file}: {error}", expected="lines that `relayd token NAME` prints")
    except UnicodeDecodeError:
        yield source.problem(path, f"{file}: not ASCII", expected="lines that `relayd token NAME` prints")


def _check_origins(listeners: Mapping[int, Listener], source: Source) -> Iterator[Problem]:
    for at, listener in listeners.items():
        if "any" in listener.origins:
            what = "with `any` a page of a stranger could act with its visitor's cookies, so cookies never count here"
            expected = "the pages by name, or no cookie in auth.from and no webhook"
            yield source.problem(("listeners", at, "origins"), what, expected=expected)


def _read(file: str, path: KeyPath, source: Source) -> bytes | Problem:
    if "$" in file:
        return source.problem(path, "a placeholder stands only inside an upstream", expected="the path of a file")
    try:
        with open(file, "rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        return source.problem(path, f"{file} cannot be read: {reason}", expected="a file that this user may read")
    if len(data) > MAX_FILE_BYTES:
        return source.problem(path, f"{file} is larger than 4 MiB", expected="a smaller file")
    return data


def _is_here(host: str) -> bool:
    """Whether a host is this machine, whose network nobody else is on."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
