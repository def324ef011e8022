"""Libraries that send to everybody: each with the loop its own documentation recommends, in a server of a page."""

from __future__ import annotations

from pathlib import Path

from bench import build
from bench.peers.base import Peer, Place, Start, installed, node_version, said

HERE = Path(__file__).parent


class _PythonLibrary(Peer):
    script: str

    def prepare(self) -> None:
        build.peers_venv()

    def start(self, place: Place) -> Start:
        return Start(
            [str(build.VENV_PYTHON), str(HERE / "servers" / self.script), str(place.port), str(place.publish_port)]
        )


class Websockets(_PythonLibrary):
    """`websockets`: broadcast() on uvloop."""

    name = "websockets"
    script = "websockets_server.py"

    def version(self) -> str:
        return f"{installed('websockets')}, uvloop {installed('uvloop')}"


class Picows(_PythonLibrary):
    """`picows` (Cython): send() in a loop on uvloop."""

    name = "picows"
    script = "picows_server.py"

    def version(self) -> str:
        return f"{installed('picows')}, uvloop {installed('uvloop')}"


class Autobahn(_PythonLibrary):
    """Autobahn on Twisted without relayd: one prepared message, sendPreparedMessage in a loop."""

    name = "autobahn"
    script = "autobahn_server.py"

    def version(self) -> str:
        return f"{installed('autobahn')}, Twisted {installed('Twisted')}"


class Ws(Peer):
    """`ws` on Node."""

    name = "ws"

    def prepare(self) -> None:
        node_version()
        build.node_modules()

    def version(self) -> str:
        return (
            said("node", "-p", f"require({str(build.NODE_MODULES / 'ws' / 'package.json')!r}).version")
            + ", node "
            + node_version()
        )

    def start(self, place: Place) -> Start:
        script = str(HERE / "servers" / "ws_server.js")
        return Start(["node", script, str(place.port), str(place.publish_port)], {"NODE_PATH": str(build.NODE_MODULES)})
