"""Under systemd, without one: a socket in place of its notification socket, and its own tool for passing sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
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


NOBODY = "65534"
#: As docs/operations.md says it: no root, no right; and the same with the one right that a low port needs.
DROP = ("--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--no-new-privs")
NO_RIGHT = (*DROP, "--inh-caps=-all", "--bounding-set=-all")
ONE_RIGHT = (
    *DROP,
    "--bounding-set=-all,+net_bind_service",
    "--inh-caps=-all,+net_bind_service",
    "--ambient-caps=-all,+net_bind_service",
)
NET_BIND_SERVICE = 1 << 10  # capabilities(7)


def low_port() -> int:
    """A free port below those that everybody may open."""
    if os.geteuid() != 0:
        require.missing("root", "run the tests as root, who may give a right away")
    least = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    for port in range(least - 1, least - 200, -1):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return require.missing("a free port below 1024", "end what listens there")


def right_of(pid: int) -> tuple[str, int]:
    """The user and the effective capabilities of a process."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return status["Uid"].split()[1], int(status["CapEff"], 16)


@pytest.fixture
def nobody(relayd: Installation, place: Path) -> Iterator[Callable[..., Program]]:
    """Runs `twistd` after `before`, as nobody where the tests run as root, else as who runs them."""
    setpriv = require.command("setpriv", "util-linux")
    is_root = os.geteuid() == 0
    place.chmod(0o755)
    reads = [setpriv, *NO_RIGHT, relayd.python, "-c", "import relayd"]
    if is_root and subprocess.run(reads, cwd=place, env=environment(), capture_output=True, timeout=20).returncode:
        require.missing("a Python that other users may read", "make the tree and its Python readable for all")
    with ExitStack() as stack:

        def begin(text: str, options: Sequence[str], *before: str, **env: str) -> Program:
            (place / "relay.yaml").write_text(text)
            drop = [setpriv, *options] if is_root else []
            command = [*before, *drop, relayd.script("twistd"), "-n", "--pidfile=", "relayd", "-c", "relay.yaml"]
            return stack.enter_context(Program(command, place, environment(**env)))

        yield begin


class LowPortTests:
    """Port 443 without root: the commands of docs/operations.md, on another low port."""

    def test_socket_of_systemd(self, nobody):
        """Root opens the port and hands it on; relayd has no right at all."""
        activate, port = require.command("systemd-socket-activate", "systemd"), low_port()
        before = (activate, f"--listen=127.0.0.1:{port}", "--fdname=relayd")
        running = nobody(config(endpoint="systemd:relayd"), NO_RIGHT, *before)
        eventually(lambda: request(port, "GET", "/topics")[0] == 200, "it serves", 20)
        assert right_of(running.pid) == (NOBODY, 0)
        assert running.stop() == 0

    def test_one_right(self, nobody):
        """relayd opens the port itself, with the one right that this needs."""
        port = low_port()
        running = nobody(config(endpoint=f"tcp:{port}:interface=127.0.0.1"), ONE_RIGHT)
        eventually(lambda: request(port, "GET", "/topics")[0] == 200, "it serves", 20)
        assert right_of(running.pid) == (NOBODY, NET_BIND_SERVICE)
        assert running.stop() == 0

    def test_no_right(self, nobody):
        """Without it the start fails, so the two above show something."""
        port = low_port()
        running = nobody(config(endpoint=f"tcp:{port}:interface=127.0.0.1"), NO_RIGHT)
        assert running.ends(20) == 1
        assert f"cannot listen on tcp:{port}" in running.output


class CredentialTests:
    """LoadCredential=: a folder of mode 0500 with files of mode 0400 that belong to relayd's own user."""

    def test_one_reaches_the_feed(self, nobody, place: Path):
        """Without its line break it is in the request; it is in no line of the log."""
        folder, port = place / "credentials", free_port()
        folder.mkdir()
        key = folder / "feed_token"
        key.write_text("s3cret-of-the-unit\n")
        for path, mode in ((key, 0o400), (folder, 0o500)):
            path.chmod(mode)
            if os.geteuid() == 0:
                os.chown(path, int(NOBODY), int(NOBODY))
        with socket.create_server(("127.0.0.1", 0)) as feed:
            feed.settimeout(20)
            url = f"ws://127.0.0.1:{feed.getsockname()[1]}/"
            text = config(url, f"tcp:{port}:interface=127.0.0.1").replace(
                f'{{url: "{url}"}}', f'{{url: "{url}", headers: {{X-Key: "${{file.{key}}}"}}}}'
            )
            running = nobody(text, NO_RIGHT, CREDENTIALS_DIRECTORY=str(folder))
            eventually(lambda: request(port, "GET", "/topics")[0] == 200, "it serves", 20)
            with connect(f"ws://127.0.0.1:{port}/ws?topics=market/ticker/BTC-USD"):
                dialled, _ = feed.accept()
                with dialled:
                    dialled.settimeout(10)
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += dialled.recv(4096)
        assert b"\r\nX-Key: s3cret-of-the-unit\r\n" in head
        assert running.stop() == 0
        assert "s3cret" not in running.output
        folder.chmod(0o700)  # so that whoever runs this can tidy up


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
        assert 1.5 < time.monotonic() - began < 20
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
