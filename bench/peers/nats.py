"""The NATS server from Debian, with its own WebSocket listener."""

from __future__ import annotations

from bench.peers.base import Options, Peer, Place, Start, said

CONFIG = """\
listen: "127.0.0.1:{publish_port}"
max_connections: 64K
ping_interval: "25s"
websocket {{
  listen: "127.0.0.1:{port}"
  no_tls: true
  compression: false
}}
"""


class Nats(Peer):
    """Core NATS, no JetStream: no history, so cheaper than what relayd does."""

    name = "nats"
    topics = True

    def prepare(self) -> None:
        self.version()

    def version(self) -> str:
        return said("nats-server", "--version").rpartition(" ")[2]

    def start(self, place: Place) -> Start:
        config = place.folder / "nats.conf"
        config.write_text(CONFIG.format(port=place.port, publish_port=place.publish_port))
        return Start(["nats-server", "-c", str(config)], {"GOMAXPROCS": "1"})

    def load_options(self, place: Place) -> Options:
        return {
            "dialect": "nats",
            "binary": 1,
            "subscribe-head": 'CONNECT {"verbose":false,"pedantic":false,"protocol":1}\r\n',
            "subscribe-each": "SUB bench.{topic} {n}\r\n",
            "subscribe-between": "",
            "subscribe-tail": "PING\r\n",
            "ready": "PONG",
            "reply-to": "PING",
            "reply-with": "PONG\r\n",
            "control0": "INFO ",
            "control1": "PONG",
        }

    def publish_options(self, place: Place) -> Options:
        return {"dialect": "nats", "port": place.publish_port, "subject": "bench.{topic}"}
