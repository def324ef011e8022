"""The measured payload written a second time, from its description in bench/load/tick.h; servers to send it by hand."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench import build

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
MASK = (1 << 64) - 1
WITHIN_S = 10.0


def tick(topic: int, sequence: int, due_ns: int | None = None) -> bytes:
    """200 bytes; due now if nothing is said."""
    due_ns = time.monotonic_ns() if due_ns is None else due_ns
    mix = (sequence * 0x9E3779B97F4A7C15 & MASK) ^ due_ns
    mix = ((mix ^ mix >> 29) * 0xBF58476D1CE4E5B9 + topic * 0x94D049BB133111EB) & MASK
    summed = (mix ^ mix >> 32) & 0xFFFFFFFF
    fill = (ALPHABET * 4)[(sequence * 7 + topic) % 64 :][:106]
    return (
        f'{{"tick":"t{topic:07}","seq":"{sequence:012}","ns":"{due_ns:019}","sum":"{summed:08x}","fill":"{fill}"}}'
    ).encode()


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """An unmasked RFC 6455 frame."""
    if len(payload) < 126:
        return bytes([0x80 | opcode, len(payload)]) + payload
    return bytes([0x80 | opcode, 126]) + struct.pack(">H", len(payload)) + payload


def read_frame(connection: socket.socket) -> tuple[int, bytes]:
    """(opcode, payload) of the next short masked frame of a client."""
    head = exactly(connection, 6)
    length = head[1] & 127
    assert head[1] & 128, "a client masks"
    if length == 126:
        head += exactly(connection, 2)
        length = struct.unpack(">H", head[2:4])[0]
    mask = head[-4:]
    payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(exactly(connection, length)))
    return head[0] & 15, payload


def exactly(connection: socket.socket, count: int) -> bytes:
    """So many bytes."""
    read = b""
    while len(read) < count:
        more = connection.recv(count - len(read))
        assert more, "the other side hung up"
        read += more
    return read


def shake(connection: socket.socket) -> str:
    """Answer a client's handshake; return its request."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += exactly(connection, 1)
    key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )
    return request.decode()


class Speaker:
    """bench/build/load or publish as a process: lines in, JSON lines out."""

    def __init__(self, program: str, **options: str | int) -> None:
        argv = [str(build.BUILD / program), "--life-s", "30"]
        for name, value in options.items():
            argv += [f"--{name.replace('_', '-')}", str(value)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def say(self, line: str) -> None:
        """A command."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self, event: str) -> dict[str, Any]:
        """The next answer, which must be `event`; that a script hung up is no answer. --life-s bounds the wait."""
        assert self.process.stdout is not None
        answer: dict[str, Any] = {"event": "disconnected"}
        while answer["event"] == "disconnected" != event:
            line = self.process.stdout.readline()
            assert line, "the program ended"
            answer = json.loads(line)
        assert answer["event"] == event, answer
        return answer

    def ask(self, line: str, event: str) -> dict[str, Any]:
        """Both."""
        self.say(line)
        return self.hear(event)

    def end(self) -> None:
        """Close its stdin, upon which it must end by itself."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            status = self.process.wait(WITHIN_S)
            assert status == 0, f"it ended with {status}"
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


@contextlib.contextmanager
def speaker(program: str, **options: str | int) -> Iterator[Speaker]:
    """A Speaker that is ended. conftest.py has compiled it."""
    one = Speaker(program, **options)
    try:
        yield one
    finally:
        one.end()


def hear_out(connection: socket.socket) -> None:
    """Read until the peer closes: a socket that is closed on unread bytes resets, and what it sent may be lost."""
    while connection.recv(1 << 16):
        pass


@contextlib.contextmanager
def server(script: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port whose one connection is handled by `script` in a thread; what it raises is raised here at the end."""
    raised: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WITHIN_S)

        def serve() -> None:
            try:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(WITHIN_S)
                    script(connection)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(WITHIN_S)
        assert not thread.is_alive(), "the server's script hangs"
    if raised:
        raise raised[0]
