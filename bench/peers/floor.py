"""The floor: `floor.c`, a plain send() loop."""

from __future__ import annotations

from bench import build
from bench.peers.base import Options, Peer, Place, Start, said


class Floor(Peer):
    """The least a server can spend that gives each client its own send()."""

    name = "floor"
    topics = True

    def prepare(self) -> None:
        build.programs()

    def version(self) -> str:
        return "C send() loop, " + said("cc", "--version").splitlines()[0]

    def start(self, place: Place) -> Start:
        ports = ["--port", str(place.port), "--publish-port", str(place.publish_port)]
        return Start([str(build.BUILD / "floor"), *ports, "--topics", str(place.workload.topics)])

    def load_options(self, place: Place) -> Options:
        if place.workload.topics == 1:
            return {}  # it sends everything to everybody
        return {"subscribe-each": "{topic}", "subscribe-between": " ", "ready": "ready", "control0": "ready"}
