"""What systemd is told, on a socket that stands for its own."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from relayd.io.notify import STATUS_EVERY_S, NotifyService, NotifySocket, notify_socket, watchdog_timeout_s


class Manager:
    """Hears what a service says."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address[0] == "@" else address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """All datagrams since the last call."""
        found = []
        try:
            while True:
                found.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return found


class NotifyTestCase(SynchronousTestCase):
    """A manager, and a service whose clock and worries the test sets."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="relayd"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.now = 100.0
        self.lag_s = 0.0
        self.trouble: str | None = None
        self.status = "2 browsers"

    def manager(self, address: str = "") -> Manager:
        manager = Manager(address or str(self.folder / "notify"))
        self.addCleanup(manager.socket.close)
        return manager

    def service(self, **environ: str) -> NotifyService:
        service = NotifyService(
            {"NOTIFY_SOCKET": str(self.folder / "notify")} | environ,
            lambda: self.now,
            lag_s=lambda: self.lag_s,
            trouble=lambda: self.trouble,
            status=lambda: self.status,
            stop_within_s=12.0,
        )
        self.addCleanup(service.stopService)
        service.startService()
        return service

    def later(self, service: NotifyService, seconds: float) -> None:
        self.now += seconds
        if service.next_deadline() <= self.now:
            service.tick(self.now)


class SocketTests(NotifyTestCase):
    """The datagrams."""

    def test_abstract(self) -> None:
        """A name without a file, as systemd passes it inside a user's session."""
        name = f"@relayd-test-{os.getpid()}"
        manager = self.manager(name)
        sink = NotifySocket(name)
        self.addCleanup(sink.close)
        sink.send(READY="1", STATUS="well")
        assert manager.heard() == ["READY=1\nSTATUS=well"]

    def test_nobody_there(self) -> None:
        """Counted and said; nothing else happens."""
        sink = NotifySocket(str(self.folder / "none"))
        self.addCleanup(sink.close)
        sink.send(WATCHDOG="1")
        assert sink.failures == 1

    def test_a_manager_that_does_not_read(self) -> None:
        """Its full socket holds nobody up."""
        self.manager()
        sink = NotifySocket(str(self.folder / "notify"))
        self.addCleanup(sink.close)
        for _ in range(1000):
            sink.send(STATUS="x" * 1000)
        assert sink.failures > 0

    def test_which_socket(self) -> None:
        """A path or an abstract name; what else there may be is left alone."""
        assert notify_socket({}) is None
        assert notify_socket({"NOTIFY_SOCKET": "vsock:2:1234"}) is None

    def test_watchdog_time(self) -> None:
        """Of this process only."""
        assert watchdog_timeout_s({"WATCHDOG_USEC": "15000000"}, 7) == 15.0
        assert watchdog_timeout_s({"WATCHDOG_USEC": "15000000", "WATCHDOG_PID": "7"}, 7) == 15.0
        others = {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "8"}
        for environ in ({}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, others):
            assert watchdog_timeout_s(environ, 7) is None


class ServiceTests(NotifyTestCase):
    """What is said when."""

    def test_life(self) -> None:
        """Ready once, a new status when there is one, the stop with the time it takes, then nothing."""
        manager, service = self.manager(), self.service()
        assert manager.heard() == []
        service.ready()
        service.ready()
        assert manager.heard() == ["READY=1\nSTATUS=2 browsers"]
        self.later(service, STATUS_EVERY_S)
        assert manager.heard() == []
        self.status = "3 browsers"
        self.later(service, STATUS_EVERY_S)
        assert manager.heard() == ["STATUS=3 browsers"]
        service.stopping()
        assert manager.heard() == ["STOPPING=1\nEXTEND_TIMEOUT_USEC=22000000\nSTATUS=draining"]
        service.stopService()
        service.stopping()
        self.later(service, 60)
        assert manager.heard() == []

    def test_without_systemd(self) -> None:
        """Silence, and no deadline to wake for."""
        service = self.service(NOTIFY_SOCKET="", WATCHDOG_USEC="1000000")
        service.ready()
        service.stopping()
        service.tick(self.now)
        assert service.next_deadline() == float("inf")

    def beats(self, service: NotifyService, manager: Manager, seconds: float) -> int:
        found: list[str] = []
        for _ in range(round(seconds * 10)):
            self.later(service, 0.1)
            found += manager.heard()
        return found.count("WATCHDOG=1")

    def test_watchdog(self) -> None:
        """Fed from READY on, three times in its time, while all is well and no longer."""
        manager, service = self.manager(), self.service(WATCHDOG_USEC="3000000")
        assert self.beats(service, manager, 5) == 0
        service.ready()
        assert 9 <= self.beats(service, manager, 10) <= 11
        self.trouble = "the listener tcp:8080 takes nobody in"
        assert self.beats(service, manager, 10) == 0
        self.trouble = None
        assert self.beats(service, manager, 10) >= 9
        self.lag_s = 2.0
        assert self.beats(service, manager, 10) == 0
