"""Twisted's own tests of its transports, run against ours.

Whoever replaces a transport promises to keep what Twisted promises. So every server transport that Twisted's ports make
in these tests is a direct one, and every client transport too (many of Twisted's tests look at the client's side).
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.test import test_newtls as newtls_suite
from twisted.internet.test import test_tcp as tcp_suite
from twisted.internet.test import test_unix as unix_suite
from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.test import test_tcp as old_suite
from twisted.trial.unittest import SynchronousTestCase, TestCase

from relayd.io.transport import DirectServer, DirectTransport, DirectUnixServer, _took_nothing

made: list[type] = []


class CountedServer(DirectServer):
    """Proof that the tests met it."""

    def __init__(self, *args: Any) -> None:
        made.append(DirectServer)
        super().__init__(*args)


class CountedUnixServer(DirectUnixServer):
    """The same for unix sockets."""

    def __init__(self, *args: Any) -> None:
        made.append(DirectUnixServer)
        super().__init__(*args)


class DirectClient(DirectTransport, tcp.Client):
    """Only here: the direct way for connections that we dial."""

    def __init__(self, *args: Any) -> None:
        made.append(DirectClient)
        self._send = _took_nothing
        tcp.Client.__init__(self, *args)

    def _connectDone(self) -> None:
        self._send = self.socket.send
        super()._connectDone()


class Direct:
    """Mixed into a test case: the ports and connectors of its reactors make direct transports."""

    def setUp(self) -> Any:
        self.patch(tcp.Port, "transport", CountedServer)
        self.patch(unix.Port, "transport", CountedUnixServer)
        self.patch(
            tcp.Connector,
            "_makeTransport",
            lambda connector: DirectClient(
                connector.host, connector.port, connector.bindAddress, connector, connector.reactor
            ),
        )
        made.clear()
        return super().setUp()


def on_epoll(builder: type[ReactorBuilder], *, without: str = "") -> type[SynchronousTestCase]:
    """One of Twisted's families of tests, on the reactor of production; `without` names a test that is left out."""
    name = builder.__name__.removesuffix("Builder").removesuffix("Tests") + "OnDirectTests"
    members = {"reactorFactory": EPollReactor, "__module__": __name__, "__doc__": builder.__doc__}
    if without:
        assert callable(getattr(builder, without))
        members[without] = None
    return type(name, (Direct, builder, SynchronousTestCase), members)


TCPPortOnDirectTests = on_epoll(tcp_suite.TCPPortTestsBuilder)
TCPFDPortOnDirectTests = on_epoll(tcp_suite.TCPFDPortTestsBuilder)
TCP4ClientOnDirectTests = on_epoll(tcp_suite.TCP4ClientTestsBuilder)
TCPConnectionOnDirectTests = on_epoll(tcp_suite.TCPConnectionTestsBuilder)
# It wants a producer paused by bytes that the kernel takes at once: they never fill a buffer (test_transport.py has the
# same with a kernel that is full).
TCPTransportOnDirectTests = on_epoll(tcp_suite.TCPTransportTestsBuilder, without="test_streamingProducer")
AbortConnectionOnDirectTests = on_epoll(tcp_suite.AbortConnectionTests)
UNIXOnDirectTests = on_epoll(unix_suite.UNIXTestsBuilder)
UNIXPortOnDirectTests = on_epoll(unix_suite.UNIXPortTestsBuilder)
UNIXFDPortOnDirectTests = on_epoll(unix_suite.UNIXFDPortTestsBuilder)
TLSProducerOnDirectTests = on_epoll(newtls_suite.ProducerTestsMixin)


class LoopbackOnDirectTests(Direct, old_suite.LoopbackTests):
    """Closing in every order."""

    test_tcpNoDelay = None  # it wants Nagle's delay on at first, and here it is off from the start


class WriteDataOnDirectTests(Direct, old_suite.WriteDataTests):
    """What is written arrives, also after loseConnection."""


class ProperlyCloseFilesOnDirectTests(Direct, old_suite.ProperlyCloseFilesTests):
    """No descriptor stays open."""


class LargeBufferOnDirectTests(Direct, old_suite.LargeBufferTests):
    """Many megabytes at once."""


class HalfCloseOnDirectTests(Direct, old_suite.HalfCloseTests):
    """One direction ends, the other goes on."""


class HalfCloseBuggyOnDirectTests(Direct, old_suite.HalfCloseBuggyApplicationTests):
    """Exceptions in what half-close calls."""


class PauseProducingOnDirectTests(Direct, old_suite.PauseProducingTests):
    """Reading that is paused stays paused."""


class CallBackOrderOnDirectTests(Direct, old_suite.CallBackOrderTests):
    """The order of what a connection calls."""


class MadeTests(TestCase):
    """The tests above meet what they are for."""

    def test_abort_tests_are_met_by_direct_transports(self) -> None:
        """Running one of them makes a direct server and a direct client."""
        case = AbortConnectionOnDirectTests("test_serverAbortsConnectionTwice")
        result = case.defaultTestResult()
        case.run(result)
        assert result.wasSuccessful(), result.errors + result.failures
        assert result.testsRun == 1
        assert {DirectServer, DirectClient} <= set(made)
