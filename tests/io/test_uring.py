"""io_uring where its answers do not come as they should, and where there is none."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from errno import EAGAIN, EINVAL, ENOSYS, EPERM, EPIPE
from unittest.mock import Mock

import pytest

from relayd.io import uring as module
from relayd.io.uring import UNKNOWN, UringWay
from tests.support.ways import Pair, opened


@pytest.fixture
def way() -> Iterator[UringWay]:
    one = opened(UringWay)
    yield one
    one.close()


@pytest.fixture
def ports(way: UringWay, pairs: list[Pair]) -> array[int]:
    return array("Q", [way.port(near.fileno()) for near, _ in pairs[:4]])


def hide_last_answer(way: UringWay) -> None:
    """As if a send were still under way when the next system call returns."""
    kernel = way._syscall

    def call(*arguments: int) -> int:
        way._syscall = kernel
        done: int = kernel(*arguments)
        way._cq_tail[0] -= 1
        return done

    way._syscall = call


class OpenTests:
    """What is said where there is none."""

    def test_kernel_refuses(self) -> None:
        """A number of places that no kernel gives."""
        with pytest.raises(OSError) as raised:
            UringWay(depth=1 << 20).open()
        assert raised.value.errno in (EINVAL, ENOSYS, EPERM)

    def test_big_endian(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The words of an entry would lie otherwise."""
        monkeypatch.setattr("sys.byteorder", "big")
        with pytest.raises(OSError, match="no io_uring for linux, big-endian") as raised:
            UringWay(4).open()
        assert raised.value.errno == ENOSYS

    @pytest.mark.usefixtures("way")
    def test_old_kernels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Before Linux 5.4 the rings lie apart; before 5.6 there are rings, and no sends. Nothing stays open."""
        before = len(os.listdir("/proc/self/fd"))
        with monkeypatch.context() as patch:
            patch.setattr(module, "_ONE_MAPPING", 1 << 30)
            with pytest.raises(OSError, match="a kernel before Linux"):
                UringWay(4).open()
        monkeypatch.setattr(module, "_SEND", 255)
        with pytest.raises(OSError, match="does not send by it: Invalid argument"):
            UringWay(4).open()
        assert len(os.listdir("/proc/self/fd")) == before


class AnswerTests:
    """Answers that do not come as they should."""

    def test_taken_in_by_parts(
        self, way: UringWay, pairs: list[Pair], ports: array[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The kernel may stop in a volley. It is asked for the rest."""
        kernel = way._syscall
        monkeypatch.setattr(way, "_syscall", lambda number, of, count, *more: kernel(number, of, 1, *more))
        assert way.fire(ports, b"hello") == [5] * 4
        assert [far.recv(100) for _, far in pairs[:4]] == [b"hello"] * 4

    def test_not_taken_in(
        self, way: UringWay, pairs: list[Pair], ports: array[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing of it was sent, and nothing of it is sent with the next volley."""
        kernel = way._syscall
        said = iter([2, 0])

        def call(number: int, of: int, count: int, *more: int) -> int:
            taken_in: int = kernel(number, of, next(said), *more)
            return taken_in or -1

        with monkeypatch.context() as patch:
            patch.setattr(way, "_syscall", call)
            assert way.fire(ports, b"hello") == [5, 5, -EAGAIN, -EAGAIN]
        assert way.fire(ports, b", you") is None
        assert [far.recv(100) for _, far in pairs[:4]] == [b"hello, you"] * 2 + [b", you"] * 2

    def test_unknown_outcome(self, way: UringWay, pairs: list[Pair], ports: array[int]) -> None:
        """A connection whose bytes may be torn is broken; a late answer is nobody's, since the ring is another."""
        hide_last_answer(way)
        whose = way._whose
        assert way.fire(ports, b"hello") == [5, 5, 5, UNKNOWN]
        assert way._whose is not whose
        assert way.fire(ports, b", you") is None
        assert [far.recv(100) for _, far in pairs[:4]] == [b"hello, you"] * 4

    def test_no_ring_left(
        self, way: UringWay, pairs: list[Pair], ports: array[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where there is no other ring, everybody's own socket is left."""
        hide_last_answer(way)
        monkeypatch.setattr(way, "_set_up", Mock(side_effect=OSError(EPERM, "Operation not permitted")))
        assert way.fire(ports, b"hello") == [5, 5, 5, UNKNOWN]
        assert way.fire(ports, b", you") == [-EAGAIN] * 4
        assert [far.recv(100) for _, far in pairs[:4]] == [b"hello"] * 4


class EachTests:
    """A portion of its own for each."""

    def test_all_take_all(self, way: UringWay, pairs: list[Pair]) -> None:
        """More sockets than the ring has places; the rings go round, and what is for all goes to all afterwards."""
        ports = array("Q", [way.port(near.fileno()) for near, _ in pairs])
        portions = [b"%d" % number * (number + 1) for number in range(len(pairs))]
        for _ in range(5):
            assert way.fire_each(ports[:3], portions[:3]) is None
            assert way.fire(ports[:4], b"; ") is None
        assert way.fire_each(ports, portions) is None
        ends = [*[portion + b"; " for portion in portions[:3]], b"; "]
        said = [end * 5 for end in ends] + [b""] * (len(pairs) - 4)
        assert [far.recv(1000) for _, far in pairs] == [
            before + portion for before, portion in zip(said, portions, strict=True)
        ]

    def test_some_take_less(self, way: UringWay, pairs: list[Pair]) -> None:
        """A full socket and a broken one; the others are none the worse."""
        ports = array("Q", [way.port(near.fileno()) for near, _ in pairs])
        while pairs[1][0].send(bytes(300_000)) == 300_000:
            pass
        pairs[7][1].close()
        portions = [b"x" * (number + 1) for number in range(len(pairs))]
        answers = [*range(1, len(pairs) + 1)]
        answers[1], answers[7] = -EAGAIN, -EPIPE
        assert way.fire_each(ports, portions) == answers
        assert [pairs[n][1].recv(1000) for n in (0, 2, 6, 8)] == [portions[n] for n in (0, 2, 6, 8)]

    def test_unknown_outcome(self, way: UringWay, pairs: list[Pair], ports: array[int]) -> None:
        """As with the same bytes for all."""
        hide_last_answer(way)
        assert way.fire_each(ports, [b"a", b"bc", b"d", b"ef"]) == [1, 2, 1, UNKNOWN]
        assert way.fire_each(ports, [b"g", b"h", b"i", b"jk"]) is None
        assert [far.recv(100) for _, far in pairs[:4]] == [b"ag", b"bch", b"di", b"efjk"]

    def test_no_ring(self, way: UringWay, ports: array[int]) -> None:
        """Everybody's own socket is left."""
        way.close()
        assert way.fire_each(ports, [b"a"] * 4) == [-EAGAIN] * 4
