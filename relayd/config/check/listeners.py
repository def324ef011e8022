"""Listeners: two at one place, and files that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from relayd.config.model import Admin, Listener
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
        if listener.tls is not None:
            files = {"cert": listener.tls.cert, "key": listener.tls.key, "client_ca": listener.tls.client_ca}
            for key, file in files.items():
                yield from check_file(file, ("listeners", at, "tls", key), source)


def check_file(file: str | None, path: KeyPath, source: Source) -> Iterator[Problem]:
    """A Problem where this file of the configuration cannot be read."""
    if file is None:
        return
    if "$" in file:
        yield source.problem(path, "a placeholder stands only inside an upstream", expected="the path of a file")
        return
    try:
        with open(file, "rb") as opened:
            opened.read(1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        yield source.problem(path, f"{file} cannot be read: {reason}", expected="a PEM file")


def _place(endpoint: str) -> str:
    """What two endpoints may not share: the port and its interface, the socket's path, the unit's socket."""
    kind, place, *arguments = endpoint.replace("\\:", "\0").split(":")
    interface = next((one for one in arguments if one.startswith("interface=")), "")
    return f"{interface}{kind}:{os.path.normpath(place) if kind == 'unix' else place}"
