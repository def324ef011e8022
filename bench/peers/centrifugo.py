"""Centrifugo, built from its Go module; its own client protocol, publications by its HTTP API."""

from __future__ import annotations

import json

from bench import build
from bench.peers.base import Options, Peer, Place, Start, said

API_KEY = "bench"


class Centrifugo(Peer):
    """Memory engine, no history: cheaper than what relayd does."""

    name = "centrifugo"
    topics = True

    def prepare(self) -> None:
        build.centrifugo()

    def version(self) -> str:
        return said(str(build.CENTRIFUGO), "version").splitlines()[0]

    def start(self, place: Place) -> Start:
        config = place.folder / "centrifugo.json"
        config.write_text(
            json.dumps(
                {
                    "http_server": {
                        "address": "127.0.0.1",
                        "port": place.port,
                        "internal_address": "127.0.0.1",
                        "internal_port": str(place.publish_port),
                    },
                    "http_api": {"key": API_KEY},
                    "client": {"insecure": True, "connection_limit": 20000, "channel_limit": 1024},
                    "channel": {
                        "without_namespace": {"allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True}
                    },
                    "log": {"level": "error"},
                }
            )
        )
        return Start([str(build.CENTRIFUGO), "--config", str(config)], {"GOMAXPROCS": "1"})

    def load_options(self, place: Place) -> Options:
        return {
            "path": "/connection/websocket",
            "dialect": "lines",
            "subscribe-head": '{"id":1000000,"connect":{}}\n',
            "subscribe-each": '{"id":{n},"subscribe":{"channel":"{topic}"}}',
            "subscribe-between": "\n",
            "ready": f'{{"id":{min(place.workload.topics_each, place.workload.topics)},"subscribe":',
            "reply-to": "{}",
            "reply-with": "{}",
            "control0": '{"id":',
        }

    def publish_options(self, place: Place) -> Options:
        return {
            "dialect": "http",
            "port": place.publish_port,
            "path": "/api/publish",
            "head": f"X-API-Key: {API_KEY}\r\n",
            "body-head": '{"channel":"{topic}","data":',
            "body-tail": "}",
            "depth": 32,
        }
