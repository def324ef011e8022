"""What the suite and relayd said to each other in each short case, kept so that it can be said again without the suite.

A transcript holds both directions after the HTTP heads: `said` by the suite, `answered` by relayd. Masks are
random, so they are taken out: the key is left out and the payload unmasked, and put in again for a replay. The
files are JSON, compressed:

    tests/conformance/server.json.xz    relayd is the server
    tests/conformance/client.json.xz    relayd is the client
"""

from __future__ import annotations

import json
import lzma
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
_MASKED: Final = 0x80


@dataclass(frozen=True, slots=True)
class Transcript:
    """One case. Bytes after the HTTP heads, masks taken out."""

    case: str
    said: bytes
    answered: bytes


def save(role: str, transcripts: list[Transcript]) -> Path:
    """Write the transcripts of one role."""
    rows = [[each.case, each.said.hex(), each.answered.hex()] for each in transcripts]
    path = HERE / f"{role}.json.xz"
    path.write_bytes(lzma.compress(json.dumps(rows).encode(), preset=9 | lzma.PRESET_EXTREME))
    return path


def load(role: str) -> list[Transcript]:
    """Read the transcripts of one role."""
    rows = json.loads(lzma.decompress((HERE / f"{role}.json.xz").read_bytes()))
    return [Transcript(case, bytes.fromhex(said), bytes.fromhex(answered)) for case, said, answered in rows]


def without_masks(stream: bytes) -> bytes:
    """A stream of frames with every masking key left out and its payload unmasked; the mask bit stays."""
    return b"".join(
        header + _xor(rest[4:], rest[:4]) if masked else header + rest for header, masked, rest in _frames(stream, 4)
    )


def with_masks(stream: bytes, key: bytes) -> bytes:
    """The inverse: this masking key put into every frame whose mask bit is set."""
    return b"".join(
        header + key + _xor(rest, key) if masked else header + rest for header, masked, rest in _frames(stream, 0)
    )


def _frames(stream: bytes, key_bytes: int) -> Iterator[tuple[bytes, bool, bytes]]:
    """Of each frame: its header without key, whether it is masked, and the rest. The last frame may be cut anywhere."""
    at = 0
    while at < len(stream):
        second = stream[at + 1] if at + 1 < len(stream) else 0
        size = 2 + {126: 2, 127: 8}.get(second & 0x7F, 0)
        header = stream[at : at + size]
        masked = second & _MASKED != 0 and len(header) == size
        length = int.from_bytes(header[2:]) if size > 2 else second & 0x7F
        end = at + size + (key_bytes if masked else 0) + length
        yield header, masked, stream[at + size : end]
        at = end


def _xor(payload: bytes, key: bytes) -> bytes:
    if not payload:
        return b""
    stretched = (key * (len(payload) // len(key) + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(stretched)).to_bytes(len(payload))


@dataclass
class Recorded:
    """One connection through the recorder: what came from who opened it, and from the other side."""

    opened: bytearray = field(default_factory=bytearray)
    accepted: bytearray = field(default_factory=bytearray)


@contextmanager
def recorder(port: int) -> Iterator[tuple[int, list[Recorded]]]:
    """A TCP proxy before `port` of the loopback: its own port, and the connections that went through it, in order."""
    connections: list[Recorded] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    incoming, _ = listening.accept()
                    outgoing = socket.create_connection(("127.0.0.1", port))
                    recorded = Recorded()
                    connections.append(recorded)
                    for source, target, kept in (
                        (incoming, outgoing, recorded.opened),
                        (outgoing, incoming, recorded.accepted),
                    ):
                        threading.Thread(target=_copy, args=(source, target, kept), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1], connections


def _copy(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            kept += data
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def transcribe(role: str, connections: list[Recorded], cases: list[str]) -> list[Transcript]:
    """Transcripts of the connections that ran the cases, which came in this order."""
    transcripts = []
    for connection in connections:
        request, _, opened = bytes(connection.opened).partition(b"\r\n\r\n")
        _, _, accepted = bytes(connection.accepted).partition(b"\r\n\r\n")
        number = len(transcripts) + 1
        if role == "client":
            asked = re.match(rb"GET /runCase\?case=(\d+)&", request)
            if asked is None:
                continue  # the number of cases, the report
            number = int(asked[1])
        said, answered = (opened, accepted) if role == "server" else (accepted, opened)
        transcripts.append(Transcript(cases[number - 1], without_masks(said), without_masks(answered)))
    return transcripts
