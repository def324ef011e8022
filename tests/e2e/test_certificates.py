"""Certificates with real clients: curl, Python's ssl, the websockets library; and an admin listener with a login."""

from __future__ import annotations

import json
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.support import certs
from tests.support.ports import free_port
from tests.support.require import command
from tests.support.waiting import eventually

CONFIG = """
listeners:
  - endpoint: "tcp:$PORT:interface=127.0.0.1"
    tls: {cert: cert.pem, key: key.pem, client_ca: ca.pem, client_crl: crl.pem}
routes:
  - {topic: press/$name/state, allow: {name: any}, access: {subscribe: {sub: $name}, publish: {sub: $name}}}
  - {topic: hall/$name, allow: {name: any}, access: {subscribe: {certificate.ou: $name}, publish: {sub: admin}}}
auth: {from: [certificate]}
admin: {endpoint: "tcp:ADMIN", tokens: tokens}
"""
REVOKED = certs.client("press-6")
REFUSED = {
    "none": None,
    "expired": certs.client("press-7", begins=-3 * certs.DAY, ends=-certs.DAY),
    "unknown": certs.client("press-7", issuer=certs.stranger()),
    "a server's": certs.good(),
    "revoked": REVOKED,
}


@pytest.fixture
def files(place: Path) -> Path:
    """Certificates of relayd's own, and the authority of its clients."""
    (place / "cert.pem").write_bytes(certs.good().pem)
    (place / "key.pem").write_bytes(certs.good().key_pem)
    (place / "ca.pem").write_bytes(certs.authority().pem)
    (place / "crl.pem").write_bytes(certs.revoke(REVOKED))
    return place


def write(folder: Path, shown: certs.Certificate) -> Path:
    """A client's certificate with its key."""
    path = folder / "client.pem"
    path.write_bytes(shown.pem + shown.key_pem)
    return path


def context(folder: Path, shown: certs.Certificate | None) -> ssl.SSLContext:
    """A client of Python's ssl."""
    made = ssl.create_default_context(cadata=certs.authority().pem.decode())
    if shown is not None:
        made.load_cert_chain(write(folder, shown))
    return made


def curl(*arguments: str | Path) -> tuple[int, str]:
    """Its exit status, and what it printed."""
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_certificates(relayd: Any, start: Any, files: Path) -> None:
    """Whom a certificate names has what is theirs; all others end in the handshake. A new certificate of relayd's is
    shown without a signal; metrics tell the days and want a token.
    """
    command("curl", "curl")
    made = subprocess.run([relayd.script("relayd"), "token", "prometheus"], capture_output=True, text=True, check=True)
    token = made.stderr.split()[1]
    (files / "tokens").write_text(made.stdout)
    admin_port = free_port()
    daemon = start(CONFIG.replace("ADMIN", str(admin_port)))
    url = f"https://localhost:{daemon.port}/topics"
    trust = ("--cacert", files / "ca.pem", "--resolve", f"localhost:{daemon.port}:127.0.0.1")

    for name, shown in REFUSED.items():
        status, said = curl(*trust, *(() if shown is None else ("--cert", write(files, shown))), url)
        assert status != 0 and "alert" in said.lower(), (name, said)
        with (
            pytest.raises((OSError, WebSocketException)),
            connect(f"wss://localhost:{daemon.port}/ws", ssl=context(files, shown)) as socket,
        ):
            socket.recv(timeout=10)

    press = certs.client("press-7", unit="hall-3")
    assert curl(*trust, "--cert", write(files, press), url) == (0, '{"topics":[]}')
    for path in ("sse?topics=press/press-8/state", "poll?topics=press/press-8/state", "topics/press/press-8/state"):
        _, said = curl(*trust, "--cert", write(files, press), f"https://localhost:{daemon.port}/{path}")
        assert '"forbidden"' in said, (path, said)  # and not "unauthorized": it is known who asks
    with connect(f"wss://localhost:{daemon.port}/ws", ssl=context(files, press)) as socket:
        topics = ["press/press-7/state", "hall/hall-3", "press/press-8/state", "hall/hall-4"]
        socket.send(json.dumps({"op": "subscribe", "id": 1, "topics": topics}))
        said = [json.loads(socket.recv(timeout=10)) for _ in range(4)]
        given = sorted(topic for one in said for topic in one.get("topics", ()))
        assert given == ["hall/hall-3", "press/press-7/state"]
        errors = {one["topic"]: one["code"] for one in said if one["op"] == "error"}
        assert errors == {"press/press-8/state": "forbidden", "hall/hall-4": "forbidden"}

    admin = f"http://127.0.0.1:{admin_port}"
    assert curl(f"{admin}/ready") == (0, '{"status":"ready"}')
    assert '"unauthorized"' in curl(f"{admin}/metrics")[1] and '"unauthorized"' in curl(f"{admin}/status")[1]
    assert "401" in curl("-i", "-H", "Authorization: Bearer rt_guess", f"{admin}/metrics")[1].splitlines()[0]
    _, metrics = curl("-u", f"prometheus:{token}", f"{admin}/metrics")
    [days] = [line for line in metrics.splitlines() if line.startswith("relayd_listener_certificate_days{")]
    assert 0.9 < float(days.split()[-1]) < 1.0
    assert curl("-H", f"Authorization: Bearer {token}", f"{admin}/status")[1].startswith("{")

    longer = certs.make("localhost", issuer=certs.authority(), hosts=certs.LOOPBACK, ends=9 * certs.DAY)
    (files / "cert.pem").write_bytes(longer.pem)
    (files / "key.pem").write_bytes(longer.key_pem)
    eventually(lambda: "the certificate was read anew" in daemon.output, "relayd reads the new certificate", 20)
    assert curl(*trust, "--cert", write(files, press), url)[0] == 0
    assert token not in daemon.output and "press-7" not in daemon.output
