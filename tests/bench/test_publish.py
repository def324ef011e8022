"""The publisher: every dialect byte by byte, the schedule, and the schedule against a server that does not take it."""

from __future__ import annotations

import socket
import threading
import time

from bench.workload import PAYLOAD_BYTES
from tests.bench.ticks import WITHIN_S, exactly, frame, hear_out, read_frame, server, speaker, tick


def due_ns(payload: bytes) -> int:
    """The scheduled time in a ticker."""
    return int(payload[46:65])


class LinesTests:
    """Raw lines: what is sent and when."""

    def test_schedule(self) -> None:
        """Twenty at 200 a second: right bytes, round robin over the topics, due every 5 ms, never early."""
        seen: list[tuple[bytes, int]] = []

        def script(connection: socket.socket) -> None:
            for _ in range(20):
                seen.append((exactly(connection, PAYLOAD_BYTES + 1), time.monotonic_ns()))

        with server(script) as port, speaker("publish", port=port, topics=3) as publish:
            publish.hear("connected")
            done = publish.ask("go 200 20 5000", "done")
        assert (done["published"], done["in_this_go"]) == (20, 20)
        first = due_ns(seen[0][0])
        for n, (line, arrived_ns) in enumerate(seen):
            assert line == tick(n % 3, n // 3, first + n * 5_000_000) + b"\n"
            assert arrived_ns >= due_ns(line)

    def test_goes_on_where_it_was(self) -> None:
        """A second go continues the numbers, and tells of itself alone."""
        seen: list[bytes] = []

        def script(connection: socket.socket) -> None:
            seen.extend(exactly(connection, PAYLOAD_BYTES + 1) for _ in range(6))

        with server(script) as port, speaker("publish", port=port) as publish:
            publish.hear("connected")
            publish.ask("go 1000 4 5000", "done")
            done = publish.ask("go 1000 2 5000", "done")
            assert publish.ask("count", "count")["published"] == 6
        assert (done["published"], done["in_this_go"]) == (6, 2)
        assert [int(line[26:38]) for line in seen] == list(range(6))

    def test_two_commands_at_once_are_two(self) -> None:
        """What is read in one piece is not taken for one line."""
        with (
            server(hear_out) as port,
            speaker("publish", port=port) as publish,
        ):
            publish.hear("connected")
            publish.say("go 1000 1 5000\ncount")
            assert publish.hear("count")["event"] == "count"
            assert publish.hear("done")["in_this_go"] == 1

    def test_a_server_that_waits_delays_no_schedule(self) -> None:
        """It reads nothing for a second: what it reads then carries the times it should have come at."""
        start, read = threading.Event(), threading.Event()
        seen: list[bytes] = []

        def script(connection: socket.socket) -> None:
            start.wait(WITHIN_S)
            size = PAYLOAD_BYTES + 1
            lines = exactly(connection, 60000 * size)
            seen.extend((lines[:size], lines[-size:]))
            read.set()

        with server(script) as port, speaker("publish", port=port) as publish:
            publish.hear("connected")
            publish.say("go 100000 60000 20000")
            time.sleep(1.0)
            held = publish.ask("count", "count")["published"]
            start.set()
            done = publish.hear("done")
            # "done" says that all is on the way; what ends before the last bytes have left takes them along.
            assert read.wait(WITHIN_S)
        assert held < 60000, "12 MB do not fit into the sockets"
        assert done["late_max_us"] > 400_000
        assert due_ns(seen[-1]) - due_ns(seen[0]) == 59999 * 10_000

    def test_full_speed_ends_in_time(self) -> None:
        """Rate 0: as fast as it is taken, for as long as was said."""
        with server(hear_out) as port, speaker("publish", port=port) as publish:
            publish.hear("connected")
            done = publish.ask("go 0 0 300", "done")
        assert done["published"] > 1000
        assert 0.3 <= done["seconds"] < 5.0


class DialectTests:
    """What each kind of server is sent."""

    def test_nats(self) -> None:
        """CONNECT after INFO, PUB with the subject, PONG to a PING."""
        said: list[bytes] = []

        def script(connection: socket.socket) -> None:
            connection.sendall(b'INFO {"version":"2"}\r\n')
            hello = b'CONNECT {"verbose":false,"pedantic":false,"name":"bench"}\r\nPING\r\n'
            assert exactly(connection, len(hello)) == hello
            connection.sendall(b"PONG\r\nPING\r\n")
            said.append(exactly(connection, 6))
            said.append(exactly(connection, len(b"PUB a.t0000000 200\r\n") + PAYLOAD_BYTES + 2))

        with server(script) as port, speaker("publish", port=port, dialect="nats", subject="a.{topic}") as publish:
            publish.hear("connected")
            publish.ask("go 100 1 5000", "done")
        assert said[0] == b"PONG\r\n"
        assert said[1].startswith(b'PUB a.t0000000 200\r\n{"tick":"t0000000"') and said[1].endswith(b'"}\r\n')

    def test_http(self) -> None:
        """POST with the body it was told to make; no more under way than --depth; refusals are counted."""
        requests: list[bytes] = []

        def script(connection: socket.socket) -> None:
            for reply in (
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
                b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n",
            ):
                request = b""
                while not request.endswith(b'"}}'):
                    request += exactly(connection, 1)
                requests.append(request)
                connection.setblocking(False)
                try:
                    early = connection.recv(1)
                except BlockingIOError:
                    early = b""
                assert not early, "a second request before the first was answered"
                connection.settimeout(5)
                connection.sendall(reply)
            connection.recv(1)

        options = {
            "path": "/pub/{topic}",
            "head": "X-Key: 1\r\n",
            "body_head": '{"data":',
            "body_tail": "}",
            "depth": 1,
        }
        with server(script) as port, speaker("publish", port=port, dialect="http", **options) as publish:
            publish.hear("connected")
            publish.ask("go 1000 2 5000", "done")
            deadline = time.monotonic() + 5
            while (count := publish.ask("count", "count"))["replies"] < 2:
                assert time.monotonic() < deadline
            done = publish.ask("go 1000 0 1", "done")
        head, _, body = requests[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /pub/t0000000 HTTP/1.1\r\n") and b"X-Key: 1" in head
        assert f"Content-Length: {len(body)}".encode() in head
        assert body.startswith(b'{"data":{"tick"')
        assert (count["replies"], done["refused"]) == (2, 1)

    def test_feed(self) -> None:
        """It listens, answers handshake and pings of the relay that dials it, sends frames; a relay may return."""
        with speaker("publish", dialect="feed") as publish:
            port = publish.hear("listening")["port"]
            for turn in range(2):
                with socket.create_connection(("127.0.0.1", port), timeout=5) as relay:
                    relay.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
                    answer = b""
                    while not answer.endswith(b"\r\n\r\n"):
                        answer += exactly(relay, 1)
                    assert (
                        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
                    )  # the example of RFC 6455
                    publish.hear("connected")
                    relay.sendall(b"\x89\x84\x00\x00\x00\x00beat")
                    assert exactly(relay, 6) == frame(b"beat", 10)
                    publish.ask("go 100 1 5000", "done")
                    head = exactly(relay, 4)
                    assert head == b"\x81\x7e\x00\xc8"
                    payload = exactly(relay, PAYLOAD_BYTES)
                    assert payload == tick(0, turn, due_ns(payload))
                publish.hear("disconnected")

    def test_what_a_client_masks_is_read_back(self) -> None:
        """The reader these tests use agrees with the frames the load generator writes: a ping of a known mask."""
        a, b = socket.socketpair()
        with a, b:
            a.sendall(b"\x81\x82\x01\x02\x03\x04\x69\x6b")
            assert read_frame(b) == (1, b"hi")
