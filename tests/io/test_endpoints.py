"""Opening endpoints, and the sentence that says why one cannot be opened."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from errno import EACCES
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from relayd.io.endpoints import ListenError, listen
from relayd.io.listener import place_of
from relayd.io.transport import DirectServer, DirectUnixServer

reactor: Any = global_reactor


class Greeter(Protocol):
    """Says of itself what transport it has, then hangs up."""

    def connectionMade(self) -> None:
        self.transport.write(type(self.transport).__name__.encode())
        self.transport.loseConnection()


class Hearer(Protocol):
    """Keeps what it hears until the end."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.heard)


class EndpointTestCase(TestCase):
    """Opens and closes."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="relayd"))
        self.addCleanup(shutil.rmtree, self.folder)

    def open(self, endpoint: str) -> Any:
        (port,) = listen(reactor, endpoint, Factory.forProtocol(Greeter))
        self.addCleanup(port.stopListening)
        return port

    async def greeting(self, place: str) -> bytes:
        hearer = await connectProtocol(clientFromString(reactor, place), Hearer())
        return await hearer.ended

    def refusal(self, endpoint: str) -> str:
        with self.assertRaises(ListenError) as caught:
            self.open(endpoint)
        assert caught.exception.endpoint == endpoint
        return str(caught.exception)


class ListenTests(EndpointTestCase):
    """Each kind of endpoint serves, with the transport that sends directly."""

    async def test_tcp(self) -> None:
        """IPv4."""
        port = self.open("tcp:0:interface=127.0.0.1")
        assert place_of(port) == f"127.0.0.1:{port.getHost().port}"
        assert await self.greeting(f"tcp:127.0.0.1:{port.getHost().port}") == DirectServer.__name__.encode()

    async def test_tcp6_serves_both_families(self) -> None:
        """One IPv6 port is there for IPv4 too, whatever the system's default is."""
        port = self.open("tcp6:0:backlog=7")
        number = port.getHost().port
        assert place_of(port) == f"[::]:{number}"
        assert await self.greeting(f"tcp:127.0.0.1:{number}") == DirectServer.__name__.encode()
        assert await self.greeting(f"tcp:\\:\\:1:{number}") == DirectServer.__name__.encode()

    async def test_tcp6_on_one_address(self) -> None:
        """A colon inside an address is escaped."""
        port = self.open("tcp6:0:interface=\\:\\:1")
        assert place_of(port) == f"[::1]:{port.getHost().port}"
        assert await self.greeting(f"tcp:\\:\\:1:{port.getHost().port}") == DirectServer.__name__.encode()

    async def test_unix(self) -> None:
        """A file with the mode that was asked for, 660 if none was."""
        for mode, argument in ((0o660, ""), (0o600, ":mode=600")):
            path = self.folder / f"{mode}"
            port = self.open(f"unix:{path}{argument}")
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert place_of(port) == str(path)
            assert await self.greeting(f"unix:{path}") == DirectUnixServer.__name__.encode()

    async def test_unix_after_a_crash(self) -> None:
        """A socket file that a dead process left is no obstacle."""
        path = self.folder / "s"
        pid = os.fork()
        if not pid:  # the child dies without tidying up
            listen(reactor, f"unix:{path}", Factory.forProtocol(Greeter))
            os._exit(0)
        os.waitpid(pid, 0)
        assert path.exists()
        self.open(f"unix:{path}")
        assert await self.greeting(f"unix:{path}") == DirectUnixServer.__name__.encode()

    def test_systemd(self) -> None:
        """A socket that systemd passes by its name is served, of either family, with the transport of its kind."""
        for family, place, kind in (
            (socket.AF_INET, ("127.0.0.1", 0), DirectServer),
            (socket.AF_UNIX, str(self.folder / "s"), DirectUnixServer),
        ):
            with socket.socket(family) as passed:
                passed.bind(place)
                passed.listen()
                child = self.serve_as_systemd_would(passed)
                with socket.socket(family) as client:
                    client.settimeout(10)
                    client.connect(passed.getsockname())
                    assert client.recv(100) == kind.__name__.encode()
                child.wait(10)
                assert child.returncode == 0

    def serve_as_systemd_would(self, passed: socket.socket) -> subprocess.Popen[bytes]:
        """Another process, with this socket as its descriptor 4, after one of another name."""
        program = """
import os, sys
os.dup2(int(sys.argv[1]), 4)
os.dup2(os.open(os.devnull, os.O_RDONLY), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="other:relayd")
from twisted.internet import reactor
from twisted.internet.protocol import Factory
from relayd.io.endpoints import listen
from tests.io.test_endpoints import Greeter

class Once(Greeter):
    def connectionLost(self, reason):
        reactor.stop()

listen(reactor, "systemd:relayd", Factory.forProtocol(Once))
reactor.callLater(20, sys.exit, 1)
reactor.run()
"""
        descriptor = passed.fileno()
        child = subprocess.Popen([sys.executable, "-c", program, str(descriptor)], pass_fds=[descriptor])
        self.addCleanup(child.kill)
        return child


class RefusalTests(EndpointTestCase):
    """What cannot be opened is named, with the reason and the remedy."""

    def test_port_in_use(self) -> None:
        """The port, and how to find who has it."""
        taken = self.open("tcp:0:interface=127.0.0.1").getHost().port
        text = self.refusal(f"tcp:{taken}:interface=127.0.0.1")
        assert text == (
            f"cannot listen on tcp:{taken}:interface=127.0.0.1: the port is in use; "
            f"stop who has it (`ss -ltnp sport = :{taken}` says who) or choose another port"
        )

    def test_port_in_use_on_ipv6(self) -> None:
        """The same where the socket is our own."""
        taken = self.open("tcp6:0").getHost().port
        assert f"cannot listen on tcp6:{taken}: the port is in use;" in self.refusal(f"tcp6:{taken}")

    def test_foreign_address(self) -> None:
        """An address that this machine has not (TEST-NET-1, RFC 5737)."""
        assert "this machine does not have that address; `ip address` lists" in self.refusal(
            "tcp:0:interface=192.0.2.1"
        )

    def test_privileged_port(self) -> None:
        """The system's refusal, and the ways to such a port."""

        def listenTCP(*_: Any, **__: Any) -> None:
            raise CannotListenError("", 443, PermissionError(EACCES, "Permission denied"))

        self.patch(reactor, "listenTCP", listenTCP)
        text = self.refusal("tcp:443")
        assert "no permission for this port; ports below 1024 need CAP_NET_BIND_SERVICE or a systemd socket" in text

    def test_anything_else(self) -> None:
        """The system's own words."""

        def listenTCP(*_: Any, **__: Any) -> None:
            raise CannotListenError("", 443, OSError(23, "Too many open files in system"))

        self.patch(reactor, "listenTCP", listenTCP)
        assert self.refusal("tcp:443").startswith("cannot listen on tcp:443: Too many open files in system; see")

    def test_unix_in_use(self) -> None:
        """Another process has the socket."""
        path = self.folder / "s"
        self.open(f"unix:{path}")
        assert f"cannot listen on unix:{path}: another process listens there;" in self.refusal(f"unix:{path}")

    def test_unix_where_a_file_stands(self) -> None:
        """What is no socket is not taken away."""
        path = self.folder / "s"
        path.write_text("notes")
        assert f"cannot listen on unix:{path}: a file that is no socket stands" in self.refusal(f"unix:{path}")
        assert path.read_text() == "notes"

    def test_unix_where_no_sockets_are(self) -> None:
        """The directory is there, and takes none."""
        assert "the file system of /proc takes no sockets" in self.refusal("unix:/proc/s")

    def test_unix_without_a_folder(self) -> None:
        """The folder is named."""
        text = self.refusal(f"unix:{self.folder}/none/s")
        assert f"the directory {self.folder}/none does not exist; create it" in text

    def test_systemd_passed_nothing(self) -> None:
        """The line that is missing in the unit."""
        text = self.refusal("systemd:relayd")
        assert text == (
            "cannot listen on systemd:relayd: systemd passed no socket of that name; "
            "write FileDescriptorName=relayd into the socket unit and start that unit"
        )
