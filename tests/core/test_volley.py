"""Who is sent to at once, who one by one, and what comes of it."""

from __future__ import annotations

from array import array
from errno import EAGAIN, ECONNRESET

from relayd.core.closecode import CloseCode
from relayd.core.publication import Encoding
from relayd.core.subscriber import PutWay, Subscriber
from relayd.core.volley import NO_PORT, offer


class Socket:
    """A sink that takes `room` bytes; its port is its number."""

    def __init__(self, port: int, room: int = 1000, broken: bool = False) -> None:
        self.port, self.room, self.broken = port, room, broken
        self.sends = 0
        self.failures: list[OSError] = []

    def bind(self, put: PutWay) -> None:
        put(self.send, self.port)

    def send(self, data: bytes) -> int:
        self.sends += 1
        if self.broken:
            raise ConnectionResetError(ECONNRESET, "reset")
        return min(self.room, len(data))

    def failed(self, error: OSError) -> None:
        self.failures.append(error)

    def write(self, data: bytes) -> None:
        raise AssertionError("nothing is buffered here")

    def buffered(self) -> int:
        return 0

    def pull(self, produce: object) -> None:
        raise AssertionError("nobody lags here")

    def unpull(self) -> None:
        raise AssertionError("nobody lags here")

    def close(self, close: CloseCode, retry_s: int | None = None) -> None:
        raise AssertionError("nobody is closed here")


class Kernel:
    """Answers what the test says, for the ports it says."""

    least = 3
    fire_each = None

    def __init__(self, answers: dict[int, int] | None = None) -> None:
        self.answers = answers
        self.fired: list[list[int]] = []

    def fire(self, ports: array[int], data: bytes) -> list[int] | None:
        self.fired.append(list(ports))
        if self.answers is None:
            return None
        return [self.answers.get(port, len(data)) for port in ports]


def members(*sockets: Socket) -> list[Subscriber]:
    return [Subscriber(socket, Encoding.V1) for socket in sockets]


class OfferTests:
    """The same answers, whichever way was taken."""

    def test_one_by_one(self) -> None:
        """Without a volley."""
        full, short, broken = Socket(1), Socket(2, room=3), Socket(3, broken=True)
        who = members(full, short, broken)
        assert offer(who, b"hello") == [(who[1], 3), (who[2], 0)]
        assert [type(error) for error in broken.failures] == [ConnectionResetError] and not short.failures

    def test_few(self) -> None:
        """Too few for a volley."""
        kernel = Kernel()
        who = members(Socket(1), Socket(2))
        assert offer(who, b"hello", kernel) == [] and not kernel.fired

    def test_at_once(self) -> None:
        """Everybody took it all."""
        kernel = Kernel()
        sockets = [Socket(1), Socket(2), Socket(3)]
        assert offer(members(*sockets), b"hello", kernel) == []
        assert kernel.fired == [[1, 2, 3]] and not any(socket.sends for socket in sockets)

    def test_some_took_less(self) -> None:
        """A part, nothing (a full socket is told as such), and a broken one."""
        kernel = Kernel({2: 3, 3: -EAGAIN, 4: -ECONNRESET})
        sockets = [Socket(1), Socket(2), Socket(3), Socket(4)]
        who = members(*sockets)
        assert offer(who, b"hello", kernel) == [(who[1], 3), (who[2], 0), (who[3], 0)]
        assert [type(error) for error in sockets[2].failures] == [BlockingIOError]
        assert [type(error) for error in sockets[3].failures] == [ConnectionResetError]
        assert not sockets[1].failures

    def test_some_have_no_port(self) -> None:
        """They are sent to one by one, the others at once."""
        kernel = Kernel({3: 1})
        sockets = [Socket(1), Socket(NO_PORT, room=2), Socket(3)]
        who = members(*sockets)
        assert sorted(offer(who, b"hello", kernel), key=lambda one: who.index(one[0])) == [(who[1], 2), (who[2], 1)]
        assert kernel.fired == [[1, 3]] and [socket.sends for socket in sockets] == [0, 1, 0]

    def test_none_has_a_port(self) -> None:
        """Then no volley is fired at all."""
        kernel = Kernel()
        assert offer(members(Socket(NO_PORT), Socket(NO_PORT), Socket(NO_PORT)), b"hello", kernel) == []
        assert not kernel.fired


class NetTests:
    """A member that raises what no socket raises."""

    def test_is_closed_and_counts_as_served(self) -> None:
        """The others are offered the data; the faulty one is not among those who fell short."""
        closed: list[CloseCode] = []

        class Faulty(Socket):
            def send(self, data: bytes) -> int:
                raise RuntimeError("no")

            def close(self, close: CloseCode, retry_s: int | None = None) -> None:
                closed.append(close)

        class Mute(Faulty):
            def send(self, data: bytes) -> int:
                raise ConnectionResetError(ECONNRESET, "reset")

            def failed(self, error: OSError) -> None:
                raise RuntimeError("no")

        sound = Socket(3)
        members = [Subscriber(sink, Encoding.V1) for sink in (Faulty(1), Mute(2), sound)]
        assert offer(members, b"data") == []
        assert sound.sends == 1
        assert [one.code for one in closed] == [1011, 1011]
