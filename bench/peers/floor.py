"""The floor: `floor.c`, a plain send() loop."""

from __future__ import annotations

from bench import build
from bench.peers.base import Peer, Place, Start, said


class Floor(Peer):
    """The least a server can spend that gives each client its own send()."""

    name = "floor"

    def prepare(self) -> None:
        build.programs()

    def version(self) -> str:
        return "C send() loop, " + said("cc", "--version").splitlines()[0]

    def start(self, place: Place) -> Start:
        return Start([str(build.BUILD / "floor"), "--port", str(place.port), "--publish-port", str(place.publish_port)])
