"""The load generator's proofs: that it sees every way in which a server can go wrong, and none where it does not."""

from __future__ import annotations

import socket
import struct
import threading
import time
from typing import Any

import pytest

from tests.bench.ticks import frame, hear_out, read_frame, server, shake, speaker, tick

CLEAN = {"late": 0, "doubled": 0, "stranger": 0, "corrupt": 0, "closed_readers": 0}


def account(sent: bytes, published: int, *, pieces: int = 0, **options: str | int) -> dict[str, Any]:
    """What one client says of a server that sends exactly `sent`, in segments of `pieces` bytes."""

    def script(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shake(connection)
        step = pieces or len(sent) or 1
        for at in range(0, len(sent), step):
            connection.sendall(sent[at : at + step])
        hear_out(connection)

    with server(script) as port, speaker("load", port=port, **options) as load:
        assert load.hear("ready")["connections"] == 1
        return load.ask(f"finish {published} 300", "final")


def faults(final: dict[str, Any]) -> dict[str, int]:
    """The counters of CLEAN."""
    return {name: final[name] for name in CLEAN}


class OrderTests:
    """Loss, doubling, order."""

    def test_all_in_order(self) -> None:
        """Nothing is wrong: nothing is counted."""
        final = account(b"".join(frame(tick(0, n)) for n in range(50)), 50)
        assert (final["expected"], final["delivered"], final["lost"], final["unfinished"]) == (50, 50, 0, 0)
        assert faults(final) == CLEAN

    def test_dropped(self) -> None:
        """One message in the middle is missing."""
        final = account(b"".join(frame(tick(0, n)) for n in range(50) if n != 20), 50)
        assert (final["delivered"], final["lost"], final["unfinished"]) == (49, 1, 0)
        assert faults(final) == CLEAN

    @pytest.mark.parametrize("kept", [range(1, 50), range(49)])
    def test_first_or_last_dropped(self, kept: range) -> None:
        """A hole at either end is loss as well."""
        final = account(b"".join(frame(tick(0, n)) for n in kept), 50)
        assert (final["delivered"], final["lost"]) == (49, 1)

    def test_nothing_arrived(self) -> None:
        """A topic of which nothing came at all."""
        final = account(b"", 7)
        assert (final["delivered"], final["lost"], final["unfinished"]) == (0, 7, 1)

    def test_doubled(self) -> None:
        """One message comes twice."""
        final = account(b"".join(frame(tick(0, n)) for n in [0, 1, 2, 2, 3]), 4)
        assert (final["delivered"], final["lost"], final["doubled"]) == (4, 0, 1)

    def test_doubled_later(self) -> None:
        """It comes again after others."""
        final = account(b"".join(frame(tick(0, n)) for n in [0, 1, 2, 3, 1]), 4)
        assert (final["lost"], final["doubled"], final["late"]) == (0, 1, 0)

    def test_reordered(self) -> None:
        """Two messages change places: nothing is lost, one is late."""
        final = account(b"".join(frame(tick(0, n)) for n in [0, 2, 1, 3]), 4)
        assert (final["delivered"], final["lost"], final["late"], final["doubled"]) == (4, 0, 1, 0)

    def test_late_into_a_wide_hole_then_doubled(self) -> None:
        """A hole closes piece by piece; what fills it a second time is doubled."""
        final = account(b"".join(frame(tick(0, n)) for n in [0, 6, 3, 1, 5, 2, 4, 3]), 7)
        assert (final["delivered"], final["lost"], final["late"], final["doubled"]) == (7, 0, 5, 1)

    def test_topics_are_numbered_apart(self) -> None:
        """Two topics, interleaved; the first has one more message in the round robin."""
        final = account(b"".join(frame(tick(n % 2, n // 2)) for n in range(9)), 9, topics=2, topics_each=2)
        assert (final["expected"], final["delivered"], final["lost"]) == (9, 9, 0)
        assert faults(final) == CLEAN

    def test_a_topic_nobody_asked_for(self) -> None:
        """It is a fault, not a delivery."""
        final = account(frame(tick(0, 0)) + frame(tick(5, 0)), 1)
        assert (final["delivered"], final["stranger"]) == (1, 1)


class ByteTests:
    """Wrong bytes, split and joined frames."""

    @pytest.mark.parametrize("at", [3, 12, 30, 50, 75, 100, 150, 199])
    def test_wrong_byte(self, at: int) -> None:
        """One changed byte anywhere in the payload is seen, and the message does not count as delivered."""
        wrong = bytearray(tick(0, 1))
        wrong[at] ^= 1
        final = account(frame(tick(0, 0)) + frame(bytes(wrong)) + frame(tick(0, 2)), 3)
        assert (final["delivered"], final["corrupt"], final["lost"]) == (2, 1, 1)

    def test_cut_short(self) -> None:
        """A payload that lacks its end."""
        final = account(frame(tick(0, 0)[:-1]), 1)
        assert (final["delivered"], final["corrupt"]) == (0, 1)

    def test_unknown_text(self) -> None:
        """A frame without a ticker that is no known control message."""
        final = account(frame(b'{"op":"surprise"}') + frame(tick(0, 0)), 1, control0='{"op":"welcome"')
        assert (final["delivered"], final["corrupt"], final["controls"]) == (1, 1, [0])

    def test_control_is_counted_by_kind(self) -> None:
        """Known control messages are no faults."""
        sent = frame(b'{"op":"welcome"}') + frame(b'{"op":"lost","count":3}') * 2 + frame(tick(0, 0))
        final = account(sent, 1, control0='{"op":"welcome"', control1='{"op":"lost"')
        assert final["controls"] == [1, 2]
        assert faults(final) == CLEAN

    @pytest.mark.parametrize("pieces", [1, 7, 205])
    def test_any_segmentation(self, pieces: int) -> None:
        """Frames cut anywhere by TCP, and frames of every header size."""
        padded = [b'{"pad":"' + b"x" * n + b'","data":' + tick(0, i) + b"}" for i, n in enumerate([0, 60, 70_00])]
        final = account(b"".join(map(frame, padded)), 3, pieces=pieces)
        assert (final["delivered"], final["lost"]) == (3, 0)
        assert faults(final) == CLEAN

    def test_an_illegal_frame(self) -> None:
        """A reserved opcode ends the connection: corrupt, and a reader lost."""
        final = account(frame(tick(0, 0)) + b"\x83\x00", 1)
        assert (final["corrupt"], final["closed_readers"]) == (1, 1)


class DialectTests:
    """What other servers put into frames."""

    def test_lines(self) -> None:
        """Several messages in a frame, a newline between them."""
        push = [b'{"push":{"data":' + tick(0, n) + b"}}" for n in range(3)]
        final = account(frame(b"\n".join(push) + b"\n"), 3, dialect="lines")
        assert (final["delivered"], final["lost"]) == (3, 0)
        assert faults(final) == CLEAN

    @pytest.mark.parametrize("cut", [1, 3, 60, 211, 500])
    def test_nats_stream(self, cut: int) -> None:
        """MSG blocks that mind no frame, cut anywhere."""
        stream = b"INFO {}\r\n" + b"".join(b"MSG s 1 200\r\n" + tick(0, n) + b"\r\n" for n in range(4))
        sent = b"".join(frame(stream[at : at + cut], 2) for at in range(0, len(stream), cut))
        final = account(sent, 4, dialect="nats", control0="INFO ")
        assert (final["delivered"], final["lost"], final["controls"]) == (4, 0, [1])
        assert faults(final) == CLEAN


class ConversationTests:
    """What it says itself."""

    def test_subscribe_ping_close(self) -> None:
        """It asks for its path, subscribes, is ready at the answer, answers pings, tells the close code."""
        said: list[Any] = []

        def script(connection: socket.socket) -> None:
            said.append(shake(connection).split("\r\n")[0])
            said.append(read_frame(connection))
            connection.sendall(frame(b'{"op":"subscribed"}') + frame(b"beat", 9))
            said.append(read_frame(connection))
            connection.sendall(frame(b'{"are":"you there"}'))
            said.append(read_frame(connection))
            connection.sendall(frame(b"\x03\xf4drain", 8))
            said.append(read_frame(connection))

        options: dict[str, str | int] = {
            "path": "/ws/{topic}", "subscribe_head": "[", "subscribe_each": '"a/{topic}"', "subscribe_tail": "]",
            "topics": 2, "topics_each": 2, "ready": "subscribed", "reply_to": '{"are"', "reply_with": "yes",
        }  # fmt: skip
        with server(script) as port, speaker("load", port=port, **options) as load:
            load.hear("ready")
            deadline = time.monotonic() + 5
            while (final := load.ask("finish 0 0", "final"))["closed_readers"] == 0:
                assert time.monotonic() < deadline
        assert said[0].startswith("GET /ws/t000000")
        assert said[1] in ((1, b'["a/t0000000","a/t0000001"]'), (1, b'["a/t0000001","a/t0000000"]'))
        assert said[2:] == [(10, b"beat"), (1, b"yes"), (8, b"\x03\xf4")]
        assert (final["close_codes"], final["pings"], final["corrupt"]) == ({"1012": 1}, 1, 0)

    def test_refused(self) -> None:
        """A refusal is counted, not waited for."""

        def script(connection: socket.socket) -> None:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        with server(script) as port, speaker("load", port=port) as load:
            answer = load.hear("ready")
        assert (answer["connections"], answer["failed"]) == (0, 1)

    def test_never_reader(self) -> None:
        """It takes what its small buffer takes and no more; its end is timed."""
        stalled: list[int] = []

        def script(connection: socket.socket) -> None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            shake(connection)
            time.sleep(0.2)
            connection.setblocking(False)
            sent = 0
            try:
                while sent < 1 << 20:
                    sent += connection.send(frame(tick(0, 0)))
            except BlockingIOError:
                pass
            stalled.append(sent)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # as an abort does

        with server(script) as port, speaker("load", port=port, never_permille=1000) as load:
            load.hear("ready")
            deadline = time.monotonic() + 5
            while (final := load.ask("finish 0 0", "final"))["closed_others"] == 0:
                assert time.monotonic() < deadline
        assert 0 < stalled[0] < 100_000
        assert final["last_other_closed_ns"] > 0
        assert (final["closed_readers"], final["delivered"]) == (0, 0)


class LatencyTests:
    """The clock of the payload."""

    def test_counts_from_the_schedule(self) -> None:
        """A message that was due 250 ms ago is 250 ms late, however fast it was sent; the window starts at zero."""

        first = threading.Event()

        def script(connection: socket.socket) -> None:
            shake(connection)
            connection.sendall(frame(tick(0, 0, time.monotonic_ns() - 900_000_000)))
            first.wait(5)
            connection.sendall(frame(tick(0, 1, time.monotonic_ns() - 250_000_000)))
            hear_out(connection)

        with server(script) as port, speaker("load", port=port) as load:
            load.hear("ready")
            assert load.ask("finish 1 5000", "final")["delivered"] == 1
            load.ask("begin", "begun")
            first.set()
            assert load.ask("finish 2 5000", "final")["delivered"] == 2
            window = load.ask("end", "window")
        assert window["delivered"] == 1
        [(top_ns, count)] = window["latency_ns"]
        assert count == 1
        assert 250_000_000 <= top_ns < 400_000_000
