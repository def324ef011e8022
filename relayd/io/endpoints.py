"""Opens what relay.yaml calls an endpoint, or says in one sentence why that cannot be.

    tcp:8080   tcp:8080:interface=127.0.0.1   tcp6:8080 (IPv6 and IPv4 on one port)
    unix:/run/relayd/relayd.sock:mode=660     systemd:NAME   systemd:0

NAME is FileDescriptorName= of a socket unit, or the name of the unit itself. One with several ListenStream= lines
passes them all under one name, and all are served. A number is a position among all that was passed.

Connections get the transport that sends directly. A listener that cannot listen is fatal: a relay that silently serves
one port of two is worse than one that does not start.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure

from relayd.io.transport import Backlog, transport_for
from relayd.io.volley import KernelVolley

#: A crowd that reconnects at once waits here for its accept; the kernel cuts it to net.core.somaxconn (4096 on Linux).
BACKLOG: Final = 4096
#: Whoever is in the group of the socket file may connect, such as the proxy before relayd; nobody else.
UNIX_MODE: Final = "660"

_UNESCAPED_COLON: Final = re.compile(r"(?<!\\):")


class ListenError(Exception):
    """An endpoint that cannot be opened; `str()` names it, the reason and the remedy."""

    def __init__(self, endpoint: str, why: str, remedy: str) -> None:
        super().__init__(f"cannot listen on {endpoint}: {why}; {remedy}")
        self.endpoint = endpoint


def listen(
    reactor: Any,
    endpoint: str,
    factory: IProtocolFactory,
    volley: KernelVolley | None = None,
    backlog: Backlog | None = None,
) -> list[IListeningPort]:
    """Open `endpoint` now: one port, or as many as systemd passed under its name. Raises ListenError.

    Their connections may be sent to by `volley`, and what they have not taken is counted in `backlog`.
    """
    kind, *parts = _UNESCAPED_COLON.split(endpoint)
    arguments = dict(part.split("=", 1) for part in parts[1:])
    arguments.setdefault("backlog", str(BACKLOG))
    try:
        if kind == "tcp6":
            ports = [_listen_on_both_families(reactor, int(parts[0]), arguments, factory)]
        elif kind == "systemd":
            ports = _adopt(reactor, endpoint, parts[0], factory)
        else:
            if kind == "unix":
                arguments.setdefault("mode", UNIX_MODE)
            text = ":".join([kind, parts[0], *(f"{name}={value}" for name, value in arguments.items())])
            ports = [_result(serverFromString(reactor, text).listen(factory))]
    except CannotListenError as error:
        raise ListenError(endpoint, *_explain(kind, parts[0], error.socketError)) from None
    except OSError as error:
        raise ListenError(endpoint, *_explain(kind, parts[0], error)) from None
    for port in ports:
        port.transport = transport_for(port, volley, backlog)
    return ports


def _listen_on_both_families(reactor: Any, number: int, arguments: dict[str, str], factory: IProtocolFactory) -> Any:
    """One IPv6 socket that takes IPv4 too, whatever the system's bindv6only says."""
    listening = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind((arguments.get("interface", "::").replace("\\:", ":"), number))
        listening.listen(int(arguments["backlog"]))
        return _adopt_descriptor(reactor, listening.fileno(), factory)
    finally:
        listening.close()


def _adopt(reactor: Any, endpoint: str, name: str, factory: IProtocolFactory) -> list[Any]:
    descriptors = _passed(reactor, name)
    if not descriptors:
        names = os.environ.get("LISTEN_FDNAMES", "")
        raise ListenError(
            endpoint,
            f"systemd passed no socket of that name{f', but of these: {names}' if names else ''}",
            f"write FileDescriptorName={name} into the socket unit and start that unit",
        )
    for descriptor in descriptors:
        with socket.socket(fileno=os.dup(descriptor)) as passed:
            is_stream = passed.type == socket.SOCK_STREAM
            if not (is_stream and passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)):
                raise ListenError(
                    endpoint,
                    "what systemd passed is no socket that listens for connections",
                    "the socket unit needs ListenStream= and Accept=no",
                )
    return [_adopt_descriptor(reactor, descriptor, factory) for descriptor in descriptors]


def _passed(reactor: Any, name: str) -> list[int]:
    """The descriptors that systemd passed under a name, or at an index.

    Twisted has read the environment when its endpoints were imported, and took out everything but the names
    (sd_listen_fds(3)): one a descriptor, in order. By the name alone it finds one of several.
    """
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    if name in names:
        indices = [index for index, one in enumerate(names) if one == name]
    elif name.isascii() and name.isdigit():
        indices = [int(name)]
    else:
        return []
    try:
        # The family that its grammar wants is not known yet.
        return [serverFromString(reactor, f"systemd:domain=INET:index={index}").fileno for index in indices]
    except IndexError:  # nothing was passed, or to another process
        return []


def _adopt_descriptor(reactor: Any, descriptor: int, factory: IProtocolFactory) -> Any:
    duplicate = os.dup(descriptor)
    family = socket.socket(fileno=os.dup(descriptor))
    with family:
        return _result(AdoptedStreamServerEndpoint(reactor, duplicate, family.family).listen(factory))


def _result(listening: Deferred[Any]) -> Any:
    """What a Deferred holds that has fired; listening on these endpoints never waits."""
    outcome: list[Any] = []
    listening.addBoth(outcome.append)
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    return outcome[0]


def _explain(kind: str, place: str, error: BaseException | str) -> tuple[str, str]:
    number = error.errno if isinstance(error, OSError) else None
    if kind == "unix":
        folder = os.path.dirname(place) or "."
        if (number is None or number == errno.EADDRINUSE) and not _is_socket(place):
            return "a file that is no socket stands there", "name another path, or take it away"
        if number is None or number == errno.EADDRINUSE:
            return "another process listens there", "stop it, or name another path"
        if number in (errno.ENOENT, errno.ENOTDIR):
            if os.path.isdir(folder):
                return f"the file system of {folder} takes no sockets", "name another path, such as /run/relayd/NAME"
            return f"the directory {folder} does not exist", "create it, or name another path"
        if number in (errno.EACCES, errno.EPERM):
            return f"no permission to write in {folder}", "change its owner or name another path"
    if number == errno.EADDRINUSE:
        return "the port is in use", f"stop who has it (`ss -ltnp sport = :{place}` says who) or choose another port"
    if number in (errno.EACCES, errno.EPERM):
        return (
            "no permission for this port",
            "ports below 1024 need CAP_NET_BIND_SERVICE or a systemd socket; any other will do behind a proxy",
        )
    if number in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return "this machine does not have that address", "`ip address` lists those it has"
    return (os.strerror(number) if number else str(error)), "see the listener's `endpoint` in relay.yaml"


def _is_socket(path: str) -> bool:
    """Also where nobody may look."""
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return True
