"""Under systemd, without one: a socket in place of its notification socket, and its own tool for passing sockets."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect, unix_connect

from tests.support import require
from tests.support.daemon import Daemon, Exchange, Start, environment, request
from tests.support.ports import free_port
from tests.support.process import Program
from tests.support.waiting import eventually
from tests.support.wheel import Installation

CONFIG = """\
listeners: [{endpoint: "$ENDPOINT"}]
upstreams:
  exchange:
    connect: {url: "$FEED"}
    topic: {at: {channel: type, symbol: product_id}}
    subscribe: {each: $symbol, send: {type: $verb, channels: [{name: $channel, product_ids: $topics}]}}
    control: [{when: {type: subscriptions}, ack: {all: channels, at: {channel: name, symbol: product_ids}}}]
routes: [{topic: market/$channel/$symbol, upstream: exchange, allow: {channel: [ticker], symbol: "*-USD"}}]
admin: {endpoint: "tcp:$ADMIN:interface=127.0.0.1"}
"""
NO_FEED = "ws://127.0.0.1:9/"


def config(feed: str = NO_FEED, endpoint: str = "tcp:$PORT:interface=127.0.0.1", admin: int = 0, more: str = "") -> str:
    """A relay.yaml."""
    return CONFIG.replace("$ENDPOINT", endpoint).replace("$FEED", feed).replace("$ADMIN", str(admin)) + more


class Manager:
    """A notification socket, and all that was said on it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address[0] == "@" else address)
        self.socket.setblocking(False)
        self.said: list[str] = []

    def heard(self) -> list[str]:
        """Everything so far, line by line."""
        while True:
            try:
                self.said += self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.said


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, place: Path) -> Iterator[Manager]:
    """Of either kind."""
    found = Manager(str(place / "notify") if request.param == "path" else f"@relayd-e2e-{os.getpid()}")
    yield found
    found.socket.close()


class NotifyTests:
    """Type=notify and WatchdogSec=."""

    def test_life(self, start: Start, manager: Manager):
        """READY when it listens, a beat three times in its time, silence while it hangs, STOPPING at the end."""
        daemon = start(config(), wait=False, NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="1500000")
        eventually(lambda: "READY=1" in manager.heard(), "relayd is ready", 20)
        socket.create_connection(("127.0.0.1", daemon.port), timeout=1).close()  # at once, not soon
        assert "STATUS=0 browsers, 0 topics, 0 of 1 upstreams connected, load normal" in manager.heard()
        beats = manager.heard().count("WATCHDOG=1")
        eventually(lambda: manager.heard().count("WATCHDOG=1") >= beats + 3, "the watchdog is fed", 10)
        daemon.signal(signal.SIGSTOP)
        beats = manager.heard().count("WATCHDOG=1")
        time.sleep(1.6)
        assert manager.heard().count("WATCHDOG=1") <= beats + 1
        daemon.signal(signal.SIGCONT)
        eventually(lambda: manager.heard().count("WATCHDOG=1") >= beats + 3, "it is fed again", 10)
        assert daemon.stop() == 0
        assert manager.heard()[-3:] == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=22000000", "STATUS=draining"]
        assert "the watchdog of systemd is not fed" in daemon.output

    def test_not_ready_where_it_cannot_listen(self, start: Start, place: Path):
        """A relayd that does not start has said nothing."""
        manager = Manager(str(place / "notify"))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            daemon = start(config(endpoint=endpoint), wait=False, NOTIFY_SOCKET=manager.address)
            assert daemon.ends(20) == 1
        assert manager.heard() == []
        manager.socket.close()


@pytest.fixture
def activate(relayd: Installation, place: Path) -> Iterator[object]:
    """Starts relayd as a socket unit would, once somebody connects."""
    tool = require.command("systemd-socket-activate", "systemd")
    with ExitStack() as stack:

        def begin(text: str, *listen: str, names: str) -> Program:
            (place / "relay.yaml").write_text(text)
            options = [one if one[:2] == "--" else f"--listen={one}" for one in listen]
            command = [tool, *options, f"--fdname={names}", relayd.script("twistd"), "-n", "--pidfile=", "relayd"]
            return stack.enter_context(Program([*command, "-c", "relay.yaml"], place, environment()))

        yield begin


class SocketTests:
    """relayd.socket."""

    def test_all_of_one_name(self, activate, exchange: Exchange, place: Path):
        """A TCP and a unix socket of one unit are one listener; data flows on both, and both wait for the start."""
        port, path = free_port(), place / "web.sock"
        text = config(exchange.feed, "systemd:web")
        running = activate(text, f"127.0.0.1:{port}", str(path), names="web:web")
        eventually(path.exists, "systemd listens")
        with connect(f"ws://127.0.0.1:{port}/ws?topics=market/ticker/BTC-USD", open_timeout=20) as browser:
            assert '"welcome"' in str(browser.recv(10))
            with unix_connect(str(path), uri="ws://web/ws?topics=market/ticker/BTC-USD") as other:
                for one in (browser, other):
                    while '"data"' not in str(one.recv(10)):
                        pass
        assert running.output.count("listening") == 3  # and the admin listener
        assert running.stop() == 0

    def test_by_place(self, activate, place: Path):
        """Two units: one by its name, one by its place among all."""
        first, second = free_port(), free_port()
        text = config().replace(
            '[{endpoint: "tcp:$PORT:interface=127.0.0.1"}]', "[{endpoint: systemd:1}, {endpoint: systemd:a}]"
        )
        running = activate(text, f"127.0.0.1:{first}", f"127.0.0.1:{second}", names="a:b")
        for port in (first, second):
            eventually(lambda port=port: request(port, "GET", "/topics")[0] == 200, "it serves", 20)
        assert running.stop() == 0

    def test_wrong_name(self, activate):
        """Which names there are, in the sentence with which it ends."""
        port = free_port()
        running = activate(config(endpoint="systemd:web"), f"127.0.0.1:{port}", names="site")
        eventually(lambda: socket.create_connection(("127.0.0.1", port), timeout=5).close() or True, "systemd listens")
        assert running.ends(20) == 1
        assert (
            "cannot listen on systemd:web: systemd passed no socket of that name, but of these: site; "
            "write FileDescriptorName=web into the socket unit" in running.output
        )

    def test_no_stream(self, activate, place: Path):
        """A datagram socket is refused with the remedy."""
        path = place / "datagrams"
        running = activate(config(endpoint="systemd:0"), str(path), "--datagram", names="web")
        eventually(path.exists, "systemd listens")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.sendto(b"x", str(path))
        assert running.ends(20) == 1
        assert "no socket that listens for connections; the socket unit needs ListenStream=" in running.output


def close_of(browser) -> tuple[int, str]:
    """Reads until the close frame: its code and its reason."""
    try:
        while True:
            browser.recv(15)
    except ConnectionClosed as end:
        assert end.rcvd is not None
        return end.rcvd.code, end.rcvd.reason


class DrainTests:
    """SIGTERM."""

    def test_in_order(self, start: Start):
        """Not ready first, still serving; then nobody comes in and everybody gets 1012 with a hint; exit status 0."""
        admin = free_port()
        daemon = start(config(admin=admin, more="drain: {notice: 1s, over: 1s}\n"))
        browsers = [connect(daemon.url("/ws"), legacy=True) for _ in range(20)]
        assert request(admin, "GET", "/ready")[0] == 200
        daemon.signal(signal.SIGTERM)
        eventually(lambda: request(admin, "GET", "/ready")[0] == 503, "it is not ready")
        assert request(admin, "GET", "/ready")[1]["reasons"] == ["relayd is going down"]
        browsers.append(connect(daemon.url("/ws"), legacy=True))
        closes = [close_of(browser) for browser in browsers]
        assert {code for code, _ in closes} == {1012}
        assert {reason for _, reason in closes} <= {"restart; retry=2", "restart; retry=3"}
        assert daemon.ends() == 0
        assert "drained" in daemon.output
        assert "Traceback" not in daemon.output

    def test_hint(self, start: Start):
        """Nobody comes in meanwhile; everybody gets the hint that was configured."""
        daemon = start(config(more="drain: {over: 3s, retry: 7s}\n"))
        browsers = [connect(daemon.url("/ws"), legacy=True) for _ in range(60)]
        daemon.signal(signal.SIGTERM)
        assert close_of(browsers[0]) == (1012, "restart; retry=7")

        def refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", daemon.port), timeout=1).close()
            except ConnectionRefusedError:
                return True
            return False

        eventually(refused, "nobody comes in")
        assert {close_of(browser) for browser in browsers[1:]} == {(1012, "restart; retry=7")}
        assert daemon.ends() == 0

    def test_who_does_not_hang_up(self, start: Start):
        """Is cut 2 s after its close."""
        daemon = start(config(more="drain: {over: 0s}\n"))
        deaf = raw_client(daemon)
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        assert daemon.ends() == 0
        assert 1.5 < time.monotonic() - began < 8
        deaf.close()

    def test_second_signal(self, start: Start):
        """Cuts a long notice short; the browser still gets its close, and the status is 0."""
        daemon = start(config(more="drain: {notice: 60s}\n"))
        browser = connect(daemon.url("/ws"), legacy=True)
        daemon.signal(signal.SIGTERM)
        daemon.says("draining")
        daemon.signal(signal.SIGTERM)
        assert close_of(browser) == (1012, "restart; retry=2")
        assert daemon.ends() == 0

    def test_third_signal(self, start: Start):
        """Kills."""
        daemon = start(config(more="drain: {notice: 60s}\n"))
        deaf = raw_client(daemon)
        for word in ("draining", "draining faster"):
            daemon.signal(signal.SIGTERM)
            daemon.says(word)
        daemon.signal(signal.SIGTERM)
        assert daemon.ends() == -signal.SIGTERM
        deaf.close()


def raw_client(daemon: Daemon) -> socket.socket:
    """A WebSocket that answers nothing."""
    peer = socket.create_connection(("127.0.0.1", daemon.port), timeout=10)
    peer.sendall(
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert peer.recv(12) == b"HTTP/1.1 101"
    return peer
