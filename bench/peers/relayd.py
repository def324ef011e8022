"""relayd as a user runs it: `twistd relayd`, one file, envelope and ping on, the publisher as the feed it dials."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import relayd
from bench.peers.base import Options, Peer, Place, Start

TREE = Path(__file__).parents[2]  # what stands here is measured, not what happens to be installed

CONFIG = """\
listeners:
  - endpoint: "tcp:{port}:interface=127.0.0.1:backlog=4096"
upstreams:
  bench:
    connect: {{url: "ws://127.0.0.1:{publish_port}/"}}
    topic: {{at: {{symbol: tick}}}}
routes:
  - topic: bench/$symbol
    upstream: bench
    allow: {{symbol: any}}
    deliver: {{mode: queue, history: {history}, slow_after: {slow_after_ms}ms}}
limits: {{connections: 19000, handshakes: 20000/1s}}
"""


class Relayd(Peer):
    """Nothing is tuned for the benchmark but the limits that count connections, and the history of the workload."""

    name = "relayd"
    topics = True
    publisher_first = True

    def version(self) -> str:
        return f"{relayd.__version__}, Twisted {importlib.metadata.version('Twisted')}"

    def start(self, place: Place) -> Start:
        config = place.folder / "relay.yaml"
        config.write_text(
            CONFIG.format(
                port=place.port,
                publish_port=place.publish_port,
                history=place.workload.history,
                slow_after_ms=int(place.workload.slow_after_s * 1000),
            )
        )
        twistd = Path(sys.executable).parent / "twistd"
        return Start([str(twistd), "--nodaemon", "--pidfile=", "relayd", "-c", str(config)], {"PYTHONPATH": str(TREE)})

    def load_options(self, place: Place) -> Options:
        return {
            "path": "/ws",
            "subscribe-head": '{"op":"subscribe","id":1,"topics":[',
            "subscribe-each": '"bench/{topic}"',
            "subscribe-tail": "]}",
            "ready": '"op":"subscribed"',
            "control0": '{"op":"welcome"',
            "control1": '{"op":"subscribed"',
            "control2": '{"op":"state"',
            "control3": '{"op":"lost"',
            "control4": '{"op":"error"',
        }

    def publish_options(self, place: Place) -> Options:
        return {"dialect": "feed", "port": place.publish_port}
