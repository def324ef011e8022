"""A client whose network dies without a word: no FIN, no RST, only silence. After how long has relayd let it go?

    python -m tests.attack.dead_peer

In a network namespace of its own relayd takes in a WebSocket and an event stream; then the namespace's only interface
goes down, which no process on either side is told of. What is left is asked for by the admin listener's unix socket.
Prints how long each lived on, and fails where that is longer than what pings and the kernel's timeout add up to. Where
the system permits no namespaces: SKIPPED, which is a failure with CI=true.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from relayd.core.heartbeat import SILENCE_S
from relayd.core.keepalive import ANSWER_WITHIN_S
from relayd.io.clients import CLOSE_WITHIN_S
from relayd.io.sse import UNACKNOWLEDGED_MS
from tests.attack.attacks import dial, handshake
from tests.support.require import in_ci

PORT: Final = 18080
PING_EVERY_S: Final = 25.0
#: A machine that is busy, and the steps in which pings, comments and this program look.
SLACK_S: Final = 5.0
#: A ping, its repeat, and what a close may take; a comment that nobody acknowledges.
WEBSOCKET_MOST_S: Final = PING_EVERY_S + 2 * ANSWER_WITHIN_S + CLOSE_WITHIN_S + SLACK_S
STREAM_MOST_S: Final = SILENCE_S + UNACKNOWLEDGED_MS / 1000 + SLACK_S
STARTS_WITHIN_S: Final = 30.0
LOOK_EVERY_S: Final = 0.25

CONFIG: Final = """\
listeners: [{{endpoint: "tcp:{port}:interface=127.0.0.1"}}]
routes: [{{topic: "log/$name", allow: {{name: any}}, access: {{publish: public}}}}]
admin: {{endpoint: "unix:{admin}"}}
"""


class Admin:
    """The metrics of relayd, by its unix socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open_connections(self) -> tuple[int, int]:
        """WebSockets and event streams that are open. Raises OSError where nobody listens."""
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self._path))
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        values = {one.name: one.value for family in text_string_to_metric_families(text) for one in family.samples}
        return int(values["relayd_clients_open"]), int(values["relayd_clients_streams_open"])


def link(state: str) -> None:
    """Set the namespace's interface `up` or `down`."""
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


def wait_for(admin: Admin, wanted: tuple[int, int], within_s: float) -> None:
    """Until so many are open. Raises TimeoutError."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            if admin.open_connections() == wanted:
                return
        except OSError:
            pass
        time.sleep(LOOK_EVERY_S)
    raise TimeoutError(f"not {wanted} connections within {within_s:.0f} s")


def lived_on(admin: Admin) -> tuple[float, float]:
    """For how many seconds the WebSocket and the stream are still there; infinity where they do not go."""
    began = time.monotonic()
    gone = [float("inf"), float("inf")]
    while time.monotonic() - began < max(WEBSOCKET_MOST_S, STREAM_MOST_S) + 10 and float("inf") in gone:
        for at, number in enumerate(admin.open_connections()):
            if not number:
                gone[at] = min(gone[at], time.monotonic() - began)
        time.sleep(LOOK_EVERY_S)
    return gone[0], gone[1]


def inside() -> int:
    """In the namespace."""
    link("up")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "relay.yaml").write_text(CONFIG.format(port=PORT, admin=place / "admin"))
        twistd = Path(sys.executable).parent / "twistd"
        with (place / "log").open("wb") as log:
            relayd = subprocess.Popen(
                [twistd, "-n", "--pidfile=", "relayd", "-c", place / "relay.yaml"], stdout=log, stderr=log
            )
        try:
            admin = Admin(place / "admin")
            wait_for(admin, (0, 0), STARTS_WITHIN_S)
            with handshake(PORT), dial(PORT) as stream:
                stream.sendall(b"GET /sse?topics=log/a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                wait_for(admin, (1, 1), STARTS_WITHIN_S)
                link("down")
                websocket_s, stream_s = lived_on(admin)
        except Exception:
            print((place / "log").read_text(errors="replace")[-2000:], file=sys.stderr)
            raise
        finally:
            relayd.terminate()
            relayd.wait(30)
    missed = False
    for what, took_s, most_s in (
        ("a WebSocket", websocket_s, WEBSOCKET_MOST_S), ("an event stream", stream_s, STREAM_MOST_S)
    ):  # fmt: skip
        is_late = took_s > most_s
        missed = missed or is_late
        print(f"{'MISS' if is_late else 'ok  '} {what} of a dead client is let go after {took_s:.1f} s, "
              f"expected {most_s:.0f} s at most", flush=True)  # fmt: skip
    return 1 if missed else 0


def main() -> int:
    """Enter a namespace and look; the exit status says whether both were let go in time."""
    if "--inside" in sys.argv:
        return inside()
    why = "unshare or ip is missing (apt-get install util-linux iproute2)"
    if shutil.which("unshare") and shutil.which("ip"):
        tried = subprocess.run(["unshare", "-rn", "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
        if tried.returncode == 0:
            return subprocess.run(
                ["unshare", "-rn", sys.executable, "-m", "tests.attack.dead_peer", "--inside"]
            ).returncode
        why = f"no network namespace: {tried.stderr.strip()}"
    print(f"SKIPPED deadpeer: {why}")
    return 1 if in_ci() else 0


if __name__ == "__main__":
    sys.exit(main())
