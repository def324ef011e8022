"""Many sends in one system call, the best way that this kernel, or a sandbox, allows.

What is saved is the Python around each send, on CPython 3.11 some 0.5 us of 4 to 5, and by io_uring a little of the
kernel's own work (docs/design/fan-out.md). Containers and hardened kernels often have no io_uring; io_submit is almost
everywhere. Where there is neither, everybody is sent to one by one.

Each connection has a *port*, made once. It must be given back before its descriptor is closed: the number may be
another connection's next.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from errno import EAGAIN, ENOSYS
from typing import Final, Protocol

from relayd.core.volley import NO_PORT, FireEach
from relayd.io.aio import AioWay
from relayd.io.uring import UringWay

#: As many as one slice of a flush has members (core/flusher.py), rounded up to a power of two.
DEPTH: Final = 512

#: A volley is one or two system calls and some 5 us of preparation; a single send is 0.5 us of Python (measured,
#: docs/design/fan-out.md).
LEAST: Final = 12


class Way(Protocol):
    """One way to send to many sockets."""

    @property
    def name(self) -> str:
        """Of the system call."""
        ...

    def open(self) -> None:
        """Idempotent. Raises OSError where the kernel does not give it."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...

    def port(self, descriptor: int) -> int:
        """What stands for a non-blocking socket: any number but NO_PORT."""
        ...

    def free(self, port: int) -> None:
        """Take a port back."""
        ...

    def fire(self, ports: array[int], data: bytes) -> Sequence[int] | None:
        """As `core/volley.py` says."""
        ...

    @property
    def fire_each(self) -> FireEach | None:
        """As `core/volley.py` says."""
        ...


class KernelVolley:
    """The volley of one process (core/volley.py).

    `open` it in the process that will use it: the kernel's part does not go with a fork. Until then, and where the
    kernel or a sandbox has none to give, every port is NO_PORT and everybody is sent to one by one.
    """

    fire: Callable[[array[int], bytes], Sequence[int] | None]
    """That of the way which was opened, without a call between."""

    def __init__(self, ways: Sequence[Way] | None = None, least: int = LEAST) -> None:
        self.least = least
        self.fire_each: FireEach | None = None
        self._ways: Sequence[Way] = (UringWay(DEPTH), AioWay(DEPTH)) if ways is None else ways
        self._way: Way | None = None
        self.fire = _not_open

    @property
    def name(self) -> str:
        """Of the system call: `io_uring`, `io_submit`, or `send` where everybody is sent to one by one."""
        return "send" if self._way is None else self._way.name

    def open(self) -> None:
        """Open the first way that there is. Idempotent. Raises OSError, which says why, where there is none."""
        if self._way is not None:
            return
        refused: list[str] = []
        for way in self._ways:
            try:
                way.open()
            except OSError as error:
                refused.append(f"{way.name}: {error.strerror}")
            else:
                self._way, self.fire, self.fire_each = way, way.fire, way.fire_each
                return
        raise OSError(ENOSYS, "; ".join(refused))

    def close(self) -> None:
        """Give all back. Idempotent; from here on every port is NO_PORT, so all connections must be gone."""
        way, self._way, self.fire, self.fire_each = self._way, None, _not_open, None
        if way is not None:
            way.close()

    def port(self, descriptor: int) -> int:
        """The port of a non-blocking socket, NO_PORT while not open; to be given back before that socket is closed."""
        return NO_PORT if self._way is None else self._way.port(descriptor)

    def free(self, port: int) -> None:
        """Take a port back."""
        if self._way is not None:
            self._way.free(port)


def _not_open(ports: array[int], data: bytes) -> Sequence[int]:
    return [-EAGAIN] * len(ports)  # nothing was sent; nobody has a port
