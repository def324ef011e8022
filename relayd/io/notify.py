"""Tells systemd how relayd is (sd_notify(3)): READY, STOPPING, STATUS, and WATCHDOG while the event loop is well.

The protocol is one datagram of `NAME=value` lines to the socket that `$NOTIFY_SOCKET` names, a path or, after `@`, an
abstract name. It is written here and not taken from a library: it is twenty lines, and the libraries for it either bind
libsystemd or block. A word that cannot be sent is counted and never waited for.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from math import inf
from typing import Final

from twisted.application.service import Service
from twisted.logger import Logger

from relayd.core.beat import next_beat
from relayd.core.watchdog import Watchdog

#: How often the status line is looked at. `systemctl status` is read by people.
STATUS_EVERY_S: Final = 5.0
#: What a stop takes on top of the drain: closing upstreams, writing what is kept (guess).
STOP_SPARE_S: Final = 10.0

log = Logger()


class NotifySocket:
    """Sends to one notification socket. `failures` counts what was not taken."""

    def __init__(self, address: str) -> None:
        self.failures = 0
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)

    def send(self, **values: str) -> None:
        """One datagram: all of it, or nothing."""
        text = "\n".join(f"{name}={value}" for name, value in values.items())
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError as error:
            self.failures += 1
            log.warn("systemd was not told: {why}", why=error.strerror, what=", ".join(values))

    def close(self) -> None:
        """No more words."""
        self._socket.close()


def notify_socket(environ: Mapping[str, str]) -> NotifySocket | None:
    """The socket that the environment names, None where it names none that can be used."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return None
    if address[0] not in "/@":  # vsock:, for the manager of a virtual machine
        log.warn("NOTIFY_SOCKET is neither a path nor an abstract name, and is left alone", address=address)
        return None
    return NotifySocket(address)


def watchdog_timeout_s(environ: Mapping[str, str], pid: int) -> float | None:
    """How long systemd waits for a word of this process (sd_watchdog_enabled(3)), None where it does not wait."""
    usec, of = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (usec.isascii() and usec.isdigit() and int(usec)) or (of and of != str(pid)):
        return None
    return int(usec) / 1e6


class NotifyService(Service):
    """relayd's words to systemd; without a socket it is silent. Woken by the ticker.

    Args:
        lag_s: the worst lag of the event loop since it was asked last, in seconds.
        trouble: why relayd is not well although the loop turns, or None.
        status: one line for `systemctl status`.
        stop_within_s: how long a stop may take, which systemd is asked for.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        monotonic: Callable[[], float],
        *,
        lag_s: Callable[[], float],
        trouble: Callable[[], str | None],
        status: Callable[[], str],
        stop_within_s: float,
    ) -> None:
        self.socket = notify_socket(environ)
        timeout_s = watchdog_timeout_s(environ, os.getpid())
        self.watchdog = Watchdog(timeout_s, monotonic()) if self.socket and timeout_s else None
        self._monotonic = monotonic
        self._lag_s = lag_s
        self._trouble = trouble
        self._status = status
        self._stop_within_s = stop_within_s
        self._is_ready = False
        self._said = ""
        self._look_at = inf
        self._ill: str | None = None

    def ready(self) -> None:
        """Everything is open. Later calls do nothing."""
        if self.socket is None or self._is_ready:
            return
        self._is_ready = True
        self._said = self._status()
        self.socket.send(READY="1", STATUS=self._said)
        self._look_at = self._monotonic() + STATUS_EVERY_S

    def stopping(self) -> None:
        """The stop has begun. It may take longer than TimeoutStopSec= says, and says how long."""
        if self.socket is not None:
            usec = round((self._stop_within_s + STOP_SPARE_S) * 1e6)
            self.socket.send(STOPPING="1", EXTEND_TIMEOUT_USEC=str(usec), STATUS="draining")

    def next_deadline(self) -> float:
        """When `tick` wants to be called."""
        if not self._is_ready:
            return inf
        return self._look_at if self.watchdog is None else min(self._look_at, self.watchdog.next_deadline)

    def tick(self, now: float) -> None:
        """The status where it has changed, and the watchdog's beat where all is well."""
        if self.socket is None:
            return
        if now >= self._look_at:
            self._look_at = next_beat(now, STATUS_EVERY_S)
            if (status := self._status()) != self._said:
                self._said = status
                self.socket.send(STATUS=status)
        if self.watchdog is not None and now >= self.watchdog.next_deadline:
            self._beat(self.watchdog, self.socket, now)

    def _beat(self, watchdog: Watchdog, sink: NotifySocket, now: float) -> None:
        why = watchdog.why_not(now, self._lag_s(), self._trouble())
        if why is None:
            sink.send(WATCHDOG="1")
        if (why is None) != (self._ill is None):
            if why is None:
                log.info("well again: the watchdog of systemd is fed")
            else:
                log.warn("not well: the watchdog of systemd is not fed, and will restart relayd: {why}", why=why)
        self._ill = why

    def stopService(self) -> None:
        super().stopService()
        self._is_ready = False
        if self.socket is not None:
            self.socket.close()
            self.socket = None
