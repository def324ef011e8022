"""Volleys on real sockets, by each way: every byte arrives as with `send`, whatever some sockets do."""

from __future__ import annotations

import os
import socket
from array import array
from collections.abc import Callable, Iterator
from errno import EAGAIN, EBADF, ENOSYS, EPIPE

import pytest

from relayd.core.volley import NO_PORT
from relayd.io.aio import AioWay
from relayd.io.uring import UringWay
from relayd.io.volley import KernelVolley, Way
from tests.support.ways import Pair, opened


@pytest.fixture(params=[UringWay, AioWay])
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    one = opened(request.param)
    yield one
    one.close()


class FireTests:
    """What a volley does to sockets."""

    def test_all_take_all(self, way: Way, pairs: list[Pair]) -> None:
        """More sockets than the kernel's part has places; a port serves again and again, and the rings go round."""
        ports = array("Q", [way.port(near.fileno()) for near, _ in pairs])
        assert len(set(ports)) == 10 and all(ports)
        said = [b"hello", b", ", b"you", b"!", b"x" * 1000]
        for data in said:
            assert way.fire(ports, data) is None
        assert [far.recv(2000) for _, far in pairs] == [b"".join(said)] * 10

    def test_full(self, way: Way, pairs: list[Pair]) -> None:
        """A socket takes nothing; the others are none the worse."""
        ports = array("Q", [way.port(near.fileno()) for near, _ in pairs[:3]])
        data = bytes(300_000)
        while pairs[1][0].send(data) == len(data):
            pass
        assert way.fire(ports, b"x" * 100) == [100, -EAGAIN, 100]
        assert pairs[0][1].recv(1000) == pairs[2][1].recv(1000) == b"x" * 100

    def test_part(self, way: Way) -> None:
        """What TCP takes of more than it has room for is what arrives."""
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as far:
            near, _ = server.accept()
            with near:
                near.setblocking(False)
                data = bytes(range(256)) * 64 * 1024
                answers = way.fire(array("Q", [way.port(near.fileno())]), data)
                assert answers is not None and 0 < answers[0] < len(data)
                near.shutdown(socket.SHUT_WR)
                arrived = bytearray()
                while part := far.recv(1 << 20):
                    arrived += part
                assert arrived == data[: answers[0]]

    def test_broken(self, way: Way, pairs: list[Pair]) -> None:
        """The error of one is its own."""
        ports = array("Q", [way.port(near.fileno()) for near, _ in pairs[:6]])
        pairs[2][1].close()
        assert way.fire(ports, b"hello") == [5, 5, -EPIPE, 5, 5, 5]
        assert way.fire(ports, b"again") == [5, 5, -EPIPE, 5, 5, 5]

    @pytest.mark.parametrize("closed", [0, 2, 5])
    def test_closed(self, way: Way, pairs: list[Pair], closed: int) -> None:
        """A descriptor that is none; those after it are served all the same."""
        ports = array("Q", [way.port(near.fileno()) for near, _ in pairs[:6]])
        pairs[closed][0].close()
        assert way.fire(ports, b"hello") == [-EBADF if n == closed else 5 for n in range(6)]

    def test_nobody(self, way: Way) -> None:
        """An empty list is a volley, too."""
        assert way.fire(array("Q"), b"hello") is None

    def test_number_of_another(self, way: Way, pairs: list[Pair]) -> None:
        """A port that was given back, and made anew with another descriptor."""
        way.free(way.port(pairs[0][0].fileno()))
        port = way.port(pairs[1][0].fileno())
        assert way.fire(array("Q", [port]), b"hello") is None
        assert pairs[1][1].recv(100) == b"hello"

    def test_opened_again(self, way: Way, pairs: list[Pair]) -> None:
        """Open and close are idempotent, and leave nothing behind."""
        way.open()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            way.close()
            way.close()
            way.open()
        assert len(os.listdir("/proc/self/fd")) == before
        assert way.fire(array("Q", [way.port(pairs[0][0].fileno())]), b"hello") is None


class Refusing:
    """A way that the kernel does not give."""

    def __init__(self, name: str) -> None:
        self.name = name

    def open(self) -> None:
        raise OSError(ENOSYS, "Function not implemented")

    close: Callable[[], None]
    port: Callable[[int], int]
    free: Callable[[int], None]
    fire: Callable[[array[int], bytes], None]
    fire_each = None


class KernelVolleyTests:
    """The best way that there is."""

    def test_first(self, pairs: list[Pair]) -> None:
        """Of those in the list, the first that the kernel gives; none of it before `open` and after `close`."""
        volley = KernelVolley([Refusing("first"), opened(AioWay)])
        near, far = pairs[0]
        assert volley.name == "send"
        assert volley.fire_each is None
        assert volley.port(near.fileno()) == NO_PORT
        volley.close()
        volley.open()
        volley.open()
        assert volley.name == "io_submit"
        port = volley.port(near.fileno())
        assert port != NO_PORT
        assert volley.fire(array("Q", [port]), b"hello") is None
        assert far.recv(100) == b"hello"
        volley.free(port)
        volley.close()
        volley.close()
        assert volley.name == "send"
        assert volley.port(near.fileno()) == NO_PORT
        volley.free(port)
        assert volley.fire(array("Q", [port]), b"hello") == [-EAGAIN]

    def test_each_its_own(self, pairs: list[Pair]) -> None:
        """By a way that can, from `open` to `close`."""
        volley = KernelVolley([opened(UringWay)])
        volley.open()
        assert volley.fire_each is not None
        ports = array("Q", [volley.port(near.fileno()) for near, _ in pairs[:2]])
        assert volley.fire_each(ports, [b"you", b"and you"]) is None
        assert [far.recv(100) for _, far in pairs[:2]] == [b"you", b"and you"]
        volley.close()
        assert volley.fire_each is None

    def test_none(self) -> None:
        """It says why, of each."""
        with pytest.raises(OSError, match="io_uring: Function not implemented; io_submit: Function") as raised:
            KernelVolley([Refusing("io_uring"), Refusing("io_submit")]).open()
        assert raised.value.errno == ENOSYS

    def test_usual(self) -> None:
        """What relayd uses: io_uring before io_submit."""
        assert [way.name for way in KernelVolley()._ways] == ["io_uring", "io_submit"]
