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
{more_routes}limits: {{connections: 19000, handshakes: 20000/1s, publish: 10000000/1s}}
"""

# Beside what the feed says, a topic that application servers publish to.
POSTED = """\
  - topic: posted/$name
    allow: {{name: any}}
    access: {{publish: public}}
    deliver: {{history: {history}, slow_after: {slow_after_ms}ms}}
"""


class Relayd(Peer):
    """Nothing is tuned for the benchmark but the limits that count connections, and the history of the workload."""

    name = "relayd"
    topics = True
    publisher_first = True
    more_routes = ""
    subscribe_each = '"bench/{topic}"'

    def version(self) -> str:
        return f"{relayd.__version__}, Twisted {importlib.metadata.version('Twisted')}"

    def start(self, place: Place) -> Start:
        config = place.folder / "relay.yaml"
        deliver = {
            "history": place.workload.history,
            "slow_after_ms": int(place.workload.slow_after_s * 1000),
        }
        config.write_text(
            CONFIG.format(
                port=place.port,
                publish_port=place.publish_port,
                more_routes=self.more_routes.format(**deliver),
                **deliver,
            )
        )
        twistd = Path(sys.executable).parent / "twistd"
        return Start([str(twistd), "--nodaemon", "--pidfile=", "relayd", "-c", str(config)], {"PYTHONPATH": str(TREE)})

    def load_options(self, place: Place) -> Options:
        return {
            "path": "/ws",
            "subscribe-head": '{"op":"subscribe","id":1,"topics":[',
            "subscribe-each": self.subscribe_each,
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


class RelaydPosts(Relayd):
    """relayd with a topic that is published over HTTP beside the feed's; its clients read that one only."""

    name = "relayd by HTTP"
    more_routes = POSTED
    subscribe_each = '"posted/{topic}"'
