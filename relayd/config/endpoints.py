"""Where a listener listens and who may come: endpoints, origins, networks, the path before every resource."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema

from relayd.config.scalars import refuse

_ESCAPED_SPLIT: Final = re.compile(r"(?<!\\):")
_KEYS: Final = {
    "tcp": ("interface", "backlog"),
    "tcp6": ("interface", "backlog"),
    "unix": ("mode", "backlog"),
    "systemd": (),
}
_MODE: Final = re.compile(r"0?[0-7]{3}")
_ORIGIN: Final = re.compile(r"(https?)://(\*\.)?(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", re.ASCII)
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9._@-]+", re.ASCII)


def parse_endpoint(value: Any) -> str:
    """An endpoint string of Twisted's grammar (`\\:` is a colon inside a part), kept as it stands.

    Raises PydanticCustomError for another type, a bad port, an unknown or repeated argument.
    """
    expected = "tcp:8080, tcp6:8080, unix:/run/relayd.sock:mode=660 or systemd:NAME"
    if not isinstance(value, str) or not value:
        raise refuse("not an endpoint", expected)
    if "$" in value:
        raise refuse("a placeholder stands only inside an upstream", expected)
    kind, *parts = _ESCAPED_SPLIT.split(value)
    if kind in ("ssl", "tls", "haproxy"):
        raise refuse(
            f"`{kind}` is not an endpoint type here", "tcp:PORT, and `tls` or `proxy_protocol` beside `endpoint`"
        )
    if kind not in _KEYS:
        raise refuse(f"`{kind}` is not an endpoint type", expected)
    if not parts or not parts[0]:
        raise refuse("the endpoint names no place", expected)
    _check_place(kind, parts[0], expected)
    _check_arguments(kind, parts[1:], expected)
    return value


def _check_place(kind: str, place: str, expected: str) -> None:
    if kind in ("tcp", "tcp6"):
        if not (place.isascii() and place.isdigit() and len(place) <= 5 and int(place) <= 65_535):
            raise refuse(f"{place} is not a port", "a port from 1 to 65535, or 0 for any free one")
    elif kind == "unix":
        if "=" in place.split("/", 1)[0]:
            raise refuse("a unix endpoint starts with its path", expected)
        if len(place.encode()) > 107:
            raise refuse("the path of a unix socket has at most 107 bytes", "a shorter path, such as /run/relayd.sock")
    elif _NAME.fullmatch(place) is None:
        raise refuse(
            "not the name of a systemd socket", "the socket unit's FileDescriptorName=, such as systemd:relayd"
        )


def _check_arguments(kind: str, arguments: list[str], expected: str) -> None:
    seen: set[str] = set()
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or name not in _KEYS[kind]:
            known = " or ".join(f"{key}=" for key in _KEYS[kind]) or "nothing more"
            what = f"`{argument}` does not belong to a {kind} endpoint"
            raise refuse(what, f"{known}; a colon inside an address is written \\:")
        if name in seen:
            raise refuse(f"`{name}` stands twice", expected)
        seen.add(name)
        _check_argument(kind, name, value)


def _check_argument(kind: str, name: str, value: str) -> None:
    if name == "mode":
        if _MODE.fullmatch(value) is None:
            raise refuse(f"{value} is not a file mode", "three octal digits, such as mode=660")
    elif name == "backlog":
        if not (value.isascii() and value.isdigit() and 1 <= len(value) <= 5 and int(value) > 0):
            raise refuse(f"{value} is not a backlog", "a number from 1 to 99999")
    else:
        try:
            version = ipaddress.ip_address(value.replace("\\:", ":")).version
        except ValueError:
            what = f"{value} is not an address" if value else "no address: a colon inside one is written \\:"
            raise refuse(what, "interface=127.0.0.1, or interface=\\:\\:1 with tcp6") from None
        if (version == 6) != (kind == "tcp6"):
            raise refuse(
                f"{value} is an IPv{version} address", f"{'tcp6' if version == 6 else 'tcp'} in place of {kind}"
            )


def parse_origin(value: Any) -> str:
    """`same`, `any`, `null`, or scheme, host (`*.` = any subdomain) and port; lower case, without a path."""
    expected = "same, null, any, https://app.example.com or https://*.example.com"
    if value in ("same", "any", "null"):
        return str(value)
    if value is None:
        raise refuse("an empty value", 'same, or "null" in quotes for pages without an origin')
    if value == "*":
        raise refuse("`*` is not an origin", "any, if every page of the world may connect")
    if not isinstance(value, str):
        raise refuse("not an origin", expected)
    if "://" not in value:
        raise refuse("an origin starts with its scheme", expected)
    hit = _ORIGIN.fullmatch(value.lower())
    if hit is None:
        raise refuse("not an origin: it has no path, query or user", expected)
    if hit[4] and not 0 < int(hit[4][1:]) <= 65_535:
        raise refuse(f"{hit[4][1:]} is not a port", expected)
    return value.lower()


def parse_network(value: Any) -> str:
    """An address or network in CIDR form, made canonical (`10.0.0.1` -> `10.0.0.1/32`)."""
    expected = "an address or network such as 10.0.0.0/8 or fd00::/8"
    if not isinstance(value, str):
        raise refuse("not a network", expected)
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as problem:
        what = f"{value} has bits set after its prefix" if "host bits" in str(problem) else f"{value} is not a network"
        raise refuse(what, expected) from None


def parse_proxy(value: Any) -> str:
    """A network, or `unix` for whoever reaches a unix socket."""
    return "unix" if value == "unix" else parse_network(value)


def parse_prefix(value: Any) -> str:
    """A path such as `/live`, or nothing; no slash at its end."""
    if value == "" or (isinstance(value, str) and _PREFIX.fullmatch(value) and ".." not in value.split("/")):
        return str(value)
    raise refuse("not a path prefix", "a path such as /live: a slash before it, none behind")


Endpoint = Annotated[
    str, PlainValidator(parse_endpoint), WithJsonSchema({"type": "string", "pattern": "^(tcp|tcp6|unix|systemd):."})
]
"""A listening endpoint in Twisted's grammar."""
Origin = Annotated[str, PlainValidator(parse_origin), WithJsonSchema({"type": "string", "minLength": 1})]
"""A page that may connect."""
Network = Annotated[str, PlainValidator(parse_network), WithJsonSchema({"type": "string", "minLength": 1})]
"""A network in CIDR form."""
Proxy = Annotated[str, PlainValidator(parse_proxy), WithJsonSchema({"type": "string", "minLength": 1})]
"""A network in CIDR form, or `unix`."""
Prefix = Annotated[
    str, PlainValidator(parse_prefix), WithJsonSchema({"type": "string", "pattern": r"^((/[A-Za-z0-9._~-]+)+)?$"})
]
"""The path before every resource of a listener."""
