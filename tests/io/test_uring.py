"""io_uring where its answers do not come as they should, and where there is none."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from errno import EAGAIN, EINVAL, ENOSYS, EPERM
from unittest.mock import Mock

import pytest

from relayd.io import uring as module
from relayd.io.uring import UNKNOWN, UringWay, _Ring
from tests.support.ways import Pair, opened


@pytest.fixture
def way() -> Iterator[UringWay]:
    one = opened(UringWay)
    yield one
    one.close()


@pytest.fixture
def ports(way: UringWay, pairs: list[Pair]) -> array[int]:
    return array("Q", [way.port(near.fileno()) for near, _ in pairs[:4]])


@pytest.fixture
def ring(way: UringWay) -> _Ring:
    assert way._ring is not None
    return way._ring


def hide_last_answer(ring: _Ring) -> None:
    """As if a send were still under way when the system call returns."""
    kernel = ring._syscall

    def call(*arguments: int) -> int:
        done: int = kernel(*arguments)
        ring._cq_tail[0] -= 1
        return done

    ring._syscall = call


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
        self, ring: _Ring, pairs: list[Pair], ports: array[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The kernel may stop in a volley. It is asked for the rest."""
        kernel = ring._syscall
        monkeypatch.setattr(ring, "_syscall", lambda number, of, count, *more: kernel(number, of, 1, *more))
        assert ring.fire(ports, b"hello") == [5] * 4
        assert [far.recv(100) for _, far in pairs[:4]] == [b"hello"] * 4

    def test_not_taken_in(
        self, ring: _Ring, pairs: list[Pair], ports: array[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing of it was sent, and nothing of it is sent with the next volley."""
        kernel = ring._syscall
        said = iter([2, 0])

        def call(number: int, of: int, count: int, *more: int) -> int:
            taken_in: int = kernel(number, of, next(said), *more)
            return taken_in or -1

        with monkeypatch.context() as patch:
            patch.setattr(ring, "_syscall", call)
            assert ring.fire(ports, b"hello") == [5, 5, -EAGAIN, -EAGAIN]
        assert ring.fire(ports, b", you") is None
        assert [far.recv(100) for _, far in pairs[:4]] == [b"hello, you"] * 2 + [b", you"] * 2

    def test_unknown_outcome(self, way: UringWay, ring: _Ring, pairs: list[Pair], ports: array[int]) -> None:
        """A connection whose bytes may be torn is broken; a late answer is nobody's, since the ring is another."""
        hide_last_answer(ring)
        assert way.fire(ports, b"hello") == [5, 5, 5, UNKNOWN]
        assert way._ring not in (None, ring)
        assert way.fire(ports, b", you") is None
        assert [far.recv(100) for _, far in pairs[:4]] == [b"hello, you"] * 4

    def test_no_ring_left(
        self, way: UringWay, ring: _Ring, pairs: list[Pair], ports: array[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where there is no other ring, everybody's own socket is left."""
        hide_last_answer(ring)
        monkeypatch.setattr(module, "_Ring", Mock(side_effect=OSError(EPERM, "Operation not permitted")))
        assert way.fire(ports, b"hello") == [5, 5, 5, UNKNOWN]
        assert way.fire(ports, b", you") == [-EAGAIN] * 4
        assert [far.recv(100) for _, far in pairs[:4]] == [b"hello"] * 4
