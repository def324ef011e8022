"""A relayd listener in a process that has hardly any descriptors, and twice as many clients as fit. Prints what it saw.

    python -m tests.security.out_of_descriptors

The clients are another process: their descriptors are their own.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.protocol import Factory, Protocol

from relayd.io.endpoints import listen

LEFT = 20
CLIENTS = 100
WAIT_S = 2.0

CROWD = f"""
import socket, sys
port = int(sys.argv[1])
crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range({CLIENTS})]
print("here", flush=True)
sys.stdin.readline()
for one in crowd[1:]:
    one.close()
first, again = crowd[0], socket.create_connection(("127.0.0.1", port), timeout=5)
for one in (first, again):
    one.settimeout(5)
    one.sendall(b"x")
print(first.recv(1) == b"x", again.recv(1) == b"x", flush=True)
"""


class Echo(Protocol):
    """Says what it hears."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


def main() -> None:
    """As above."""
    reactor: Any = global_reactor
    listening = listen(reactor, "tcp:0:interface=127.0.0.1", Factory.forProtocol(Echo))
    port = (listening if isinstance(listening, list) else [listening])[0]
    crowd = subprocess.Popen(
        [sys.executable, "-c", CROWD, str(port.getHost().port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + LEFT, used + LEFT))
    seen: dict[str, Any] = {"waited_s": WAIT_S}

    def begin() -> None:
        seen["cpu_s"] = -time.process_time()
        reactor.callLater(WAIT_S, release)

    def release() -> None:
        seen["cpu_s"] += time.process_time()
        assert crowd.stdin is not None and crowd.stdout is not None
        crowd.stdin.write("\n")
        crowd.stdin.flush()
        reactor.callInThread(hear)

    def hear() -> None:
        assert crowd.stdout is not None
        crowd.stdout.readline()
        first, again = crowd.stdout.readline().split()
        seen["kept"], seen["again"] = first == "True", again == "True"
        reactor.callFromThread(reactor.stop)

    reactor.callLater(0.5, begin)
    reactor.run()
    crowd.wait(10)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
