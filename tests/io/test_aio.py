"""io_submit: control blocks, and answers that do not come as they should."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterator
from errno import EAGAIN, EINVAL, EIO, ENOSYS

import pytest

from relayd.io.aio import AioWay
from tests.support.ways import Pair, opened


@pytest.fixture
def way() -> Iterator[AioWay]:
    one = opened(AioWay)
    yield one
    one.close()


class PortTests:
    """Ports are addresses that are used again."""

    def test_used_again(self, way: AioWay, pairs: list[Pair]) -> None:
        """With another descriptor."""
        port = way.port(pairs[0][0].fileno())
        way.free(port)
        assert way.port(pairs[1][0].fileno()) == port
        assert way.fire(array("Q", [port]), b"hello") is None
        assert pairs[1][1].recv(100) == b"hello"

    def test_many(self, way: AioWay) -> None:
        """More than one block of them."""
        assert len({way.port(number) for number in range(3000)}) == 3000


class OpenTests:
    """What is said where there is none."""

    def test_other_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One whose numbers nobody has looked up."""
        monkeypatch.setattr("platform.machine", lambda: "vax")
        with pytest.raises(OSError, match="no io_submit for linux on vax") as raised:
            AioWay(4).open()
        assert raised.value.errno == ENOSYS

    def test_kernel_refuses(self) -> None:
        """It says why."""
        with pytest.raises(OSError) as raised:
            AioWay(depth=1 << 18).open()
        assert raised.value.errno in (EAGAIN, EINVAL)


class AnswerTests:
    """Answers that do not come as they should."""

    def test_unknown_outcome(self, way: AioWay, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
        """A connection whose bytes may be torn is broken; answers in another order are put right."""
        ports = array("Q", [way.port(near.fileno()) for near, _ in pairs[:3]])
        kernel = way._syscall

        def call(number: int, *arguments: int) -> int:
            done = kernel(number, *arguments)
            if number != way._numbers.getevents:
                return done
            events = way._events
            events[0:4], events[8:12] = events[8:12], events[0:4]  # the first and the third change places
            return 2

        monkeypatch.setattr(way, "_syscall", call)
        assert way.fire(ports, b"hello") == [-EIO, 5, 5]
        assert ctypes.sizeof(way._events) == 4 * 32
