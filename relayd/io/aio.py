"""A volley by Linux's native asynchronous I/O (io_submit(2)), which carries writes to sockets.

A write to a non-blocking socket is carried out inside io_submit, as send(2) would do it, and its outcome is there when
the call returns: nothing is asynchronous about it, and nothing is left in the kernel's hands.

A port is the address of a control block (struct iocb), made once and never changed. All blocks name one and the same
vector of bytes (struct iovec), so that a volley writes the address of the data once, and a list of addresses.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from array import array
from errno import EAGAIN, EIO, ENOSYS
from typing import Any, Final, NamedTuple


class _Numbers(NamedTuple):
    """System calls by number; the C library has no functions for them."""

    setup: int
    destroy: int
    getevents: int
    submit: int


#: Linux: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
_NUMBERS: Final = {"x86_64": _Numbers(206, 207, 208, 209), "aarch64": _Numbers(0, 1, 4, 2)}

#: struct iocb of linux/aio_abi.h, little-endian: data, key, rw_flags, opcode, reqprio, fildes, buf, nbytes, offset,
#: reserved, flags, resfd.
_IOCB: Final = struct.Struct("<QIiHhIQQqQII")
_PWRITEV: Final = 8  # IOCB_CMD_PWRITEV: buf is the address of a vector, nbytes its length
_EVENT_WORDS: Final = 4  # struct io_event: data, obj, res, res2, each 64 bits
_PORTS_PER_BLOCK: Final = 1024


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("bytes", ctypes.c_size_t))


class _Timespec(ctypes.Structure):
    _fields_ = (("s", ctypes.c_long), ("ns", ctypes.c_long))


class AioWay:
    """One context of io_submit: `depth` control blocks under way at once, which count against fs.aio-max-nr (65,536 for
    the whole machine by default)."""

    name: Final = "io_submit"

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._context = 0
        self._syscall: Any = None
        self._numbers = _Numbers(0, 0, 0, 0)
        self._iovec = _Iovec()
        self._events = (ctypes.c_int64 * (_EVENT_WORDS * depth))()
        words = memoryview(self._events).cast("B").cast("q")
        self._ports_answered = words[1::_EVENT_WORDS]
        self._answers = words[2::_EVENT_WORDS]
        self._at_once = _Timespec(0, 0)
        self._events_at, self._at_once_at = ctypes.addressof(self._events), ctypes.addressof(self._at_once)
        self._blocks: list[ctypes.Array[ctypes.c_char]] = []
        self._free: list[int] = []

    def open(self) -> None:
        """Get a context from the kernel. Idempotent. Raises OSError where there is none to be had."""
        if self._context:
            return
        numbers = _NUMBERS.get(platform.machine()) if sys.platform == "linux" and sys.byteorder == "little" else None
        if numbers is None:
            raise OSError(ENOSYS, f"no io_submit for {sys.platform} on {platform.machine()}")
        syscall = ctypes.CDLL(None, use_errno=True).syscall
        syscall.restype = ctypes.c_long
        syscall.argtypes = (ctypes.c_long, *(ctypes.c_ulong,) * 5)
        context = ctypes.c_ulong(0)
        if syscall(numbers.setup, self._depth, ctypes.addressof(context), 0, 0, 0):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._syscall, self._numbers, self._context = syscall, numbers, context.value

    def close(self) -> None:
        """Give the context back. Idempotent."""
        context, self._context = self._context, 0
        if context:
            self._syscall(self._numbers.destroy, context, 0, 0, 0, 0)

    def port(self, descriptor: int) -> int:
        """A control block for a non-blocking socket; to be given back before that socket is closed."""
        if not self._free:
            block = ctypes.create_string_buffer(_PORTS_PER_BLOCK * _IOCB.size)
            self._blocks.append(block)
            start = ctypes.addressof(block)
            self._free = list(range(start, start + len(block) - 1, _IOCB.size))
        port = self._free.pop()
        block_of = _IOCB.pack(0, 0, 0, _PWRITEV, 0, descriptor, ctypes.addressof(self._iovec), 1, 0, 0, 0, 0)
        ctypes.memmove(port, block_of, _IOCB.size)
        return port

    def free(self, port: int) -> None:
        """Take a port back."""
        self._free.append(port)

    @property
    def fire_each(self) -> None:
        """All control blocks name one piece of data."""

    def fire(self, ports: array[int], data: bytes) -> list[int] | None:
        """Offer `data` to each port's socket: None when each took all of it, else bytes or -errno, port by port."""
        self._iovec.base = data
        self._iovec.bytes = size = len(data)
        if len(ports) <= self._depth:
            answers = self._fire(ports, size)
        else:
            answers = []
            for start in range(0, len(ports), self._depth):
                answers += self._fire(ports[start : start + self._depth], size)
        return None if answers.count(size) == len(answers) else answers

    def _fire(self, ports: array[int], size: int) -> list[int]:
        """At most `depth` ports: their answers, in their order."""
        address, count = ports.buffer_info()
        done = self._syscall(self._numbers.submit, self._context, count, address, 0, 0)
        if done == count:
            return self._reap(ports, count, size)
        # The kernel stops at the first block it cannot take, and names the reason only when nothing came before it.
        if done > 0:
            return self._reap(ports[:done], done, size) + self._fire(ports[done:], size)
        return [-(ctypes.get_errno() or EAGAIN)] + (self._fire(ports[1:], size) if count > 1 else [])

    def _reap(self, ports: array[int], count: int, size: int) -> list[int]:
        """What became of those submitted. They are done: a socket that would block has said so."""
        have = self._syscall(self._numbers.getevents, self._context, count, count, self._events_at, self._at_once_at)
        # Where all took all of it nobody needs to know who was answered when; a volley seldom ends otherwise.
        if have == count and self._answers[:count].tobytes() == size.to_bytes(8, "little") * count:
            return [size] * count
        answers: list[int] = self._answers[: max(have, 0)].tolist()
        if have == count and self._ports_answered[:count].tolist() == ports.tolist():
            return answers
        # In another order, or too few: an unknown outcome is a broken connection, since its stream may be torn.
        by_port = dict(zip(self._ports_answered[: max(have, 0)].tolist(), answers, strict=True))
        return [by_port.get(port, -EIO) for port in ports]
