"""A volley by Linux's io_uring(7): the sends of all members stand in a ring, and one system call carries them out.

Each send says that it must not wait (MSG_DONTWAIT), so that it is carried out inside io_uring_enter, as send(2) would
do it, and its outcome is there when the call returns: nothing is left in the kernel's hands, no thread of the kernel
has a part in it, and what the two rings hold is read and written by this thread alone.

A port is the first word of a member's entry (struct io_uring_sqe): the operation and the descriptor. So a volley writes
three words for each member, the port, the address of the data and its length, by three assignments of C. A port needs
no memory of its own.

It is 0.3 us a send less than io_submit and some 0.1 us less than send(2) itself (measured, docs/design/fan-out.md).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from errno import EAGAIN, EIO, ENOSYS
from itertools import accumulate, islice
from typing import Final

#: The same numbers on every machine: include/uapi/asm-generic/unistd.h.
_SETUP: Final = 425
_ENTER: Final = 426

#: struct io_uring_params of linux/io_uring.h: sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features,
#: wq_fd, resv[3]; where the parts of the submission ring lie (head, tail, mask, entries, flags, dropped, array, resv,
#: user_addr); where those of the completion ring lie (head, tail, mask, entries, overflow, cqes, flags, resv,
#: user_addr).
_PARAMS: Final = struct.Struct("<10I8IQ8IQ")
_FEATURES, _SQ_HEAD, _SQ_TAIL, _SQ_ARRAY, _CQ_HEAD, _CQ_TAIL, _CQES = 5, 10, 11, 16, 19, 20, 24
_ONE_MAPPING: Final = 1  # IORING_FEAT_SINGLE_MMAP, Linux 5.4: both rings in one piece of memory
_SQES_AT: Final = 0x1000_0000  # IORING_OFF_SQES

#: struct io_uring_sqe, as words of 64 bits: opcode, flags, ioprio and fd; off; addr; len and msg_flags; user_data; ...
_SQE_BYTES: Final = 64
_SQE_WORDS: Final = 8
_ADDRESS, _LENGTH, _USER_DATA = 2, 3, 4
_SEND: Final = 26  # IORING_OP_SEND, Linux 5.6
_FLAGS: Final = (socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) << 32

#: struct io_uring_cqe: user_data of 64 bits, res and flags of 32.
_CQE_BYTES: Final = 16
_CQE_HALVES: Final = 4
_U32: Final = 0xFFFF_FFFF

#: For the data of a volley, at first: most are a few publications. It grows to twice the longest flush at most
#: (core/cohort.py bounds it).
_ROOM_BYTES: Final = 1 << 16

#: The answer of one whose outcome the kernel did not tell: a broken connection, since its stream may be torn.
UNKNOWN: Final = -EIO


class UringWay:
    """One ring for `depth` sends (rounded up to a power of two by the kernel), and views of its memory.

    Whatever a volley does is done cold where publications are seldom, so it does little: the data is copied to where
    all entries say that it lies, and the system call is one that converts nothing (13 of 30 us cold; measured).
    """

    name: Final = "io_uring"

    def __init__(self, depth: int) -> None:
        self._wanted = depth
        self._places = 0
        """Sends that fit; 0: there is no ring."""
        self._number = -1
        self._laid: array[int] | None = None
        """Whose ports stand in the entries."""
        # Its arguments and its answer are integers of 32 bits, which ctypes passes as they are; no error is told apart.
        # It waits for nothing, so the interpreter's lock is kept: to give that up and take it again is cold as well.
        self._syscall: Callable[..., int] = ctypes.PyDLL(None).syscall

    def open(self) -> None:
        """Get a ring from the kernel, and try it. Idempotent. Raises OSError where there is none to be had."""
        if self._places:
            return
        if sys.platform != "linux" or sys.byteorder != "little":
            raise OSError(ENOSYS, f"no io_uring for {sys.platform}, {sys.byteorder}-endian")
        self._set_up()
        # A kernel before Linux 5.6 has rings, and no sends.
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            answers = self.fire(array("Q", (self.port(near.fileno()),)), b"?")
        if answers is not None:
            self.close()
            raise OSError(-answers[0], f"a kernel that does not send by it: {os.strerror(-answers[0])}")

    def close(self) -> None:
        """Give the ring back. Idempotent."""
        if self._places:
            self._places = 0
            os.close(self._number)  # the memory goes with the last view of it

    def port(self, descriptor: int) -> int:
        """The first word of a send to this socket."""
        return _SEND | descriptor << 32

    def free(self, port: int) -> None:
        """A port has nothing to give back."""

    def _set_up(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        said = ctypes.create_string_buffer(_PARAMS.size)
        self._number = libc.syscall(_SETUP, self._wanted, ctypes.byref(said))
        if self._number < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        try:
            self._map(_PARAMS.unpack(said.raw))
        except OSError:
            os.close(self._number)
            raise
        self._lay_out(_ROOM_BYTES)

    def _map(self, params: tuple[int, ...]) -> None:
        """Each word of the entries has a view of its own, all entries in it."""
        if not params[_FEATURES] & _ONE_MAPPING:
            raise OSError(ENOSYS, "a kernel before Linux 5.4")
        places, self._answers = params[:2]
        size = max(params[_SQ_ARRAY] + 4 * places, params[_CQES] + _CQE_BYTES * self._answers)
        shared = mmap.MAP_SHARED | mmap.MAP_POPULATE
        rings = memoryview(mmap.mmap(self._number, size, shared))
        entries = memoryview(mmap.mmap(self._number, _SQE_BYTES * places, shared, offset=_SQES_AT)).cast("Q")

        def words(place: int, count: int = 1) -> memoryview:
            return rings[place : place + 4 * count].cast("I")

        self._sq_head, self._sq_tail = words(params[_SQ_HEAD]), words(params[_SQ_TAIL])
        self._cq_head, self._cq_tail = words(params[_CQ_HEAD]), words(params[_CQ_TAIL])
        # Which entry is whose turn. The ring turns, and the entries should not: the first member's is always the first.
        self._turns = words(params[_SQ_ARRAY], places)
        self._turned = memoryview(array("I", [*range(places)] * 2))
        self._ports, self._addresses = entries[::_SQE_WORDS], entries[_ADDRESS::_SQE_WORDS]
        self._lengths = entries[_LENGTH::_SQE_WORDS]
        entries[_USER_DATA::_SQE_WORDS] = array("Q", range(places))
        completions = rings[params[_CQES] : params[_CQES] + _CQE_BYTES * self._answers]
        self._whose = completions.cast("Q")[::2]
        self._laid = None
        self._results = completions.cast("i")[2::_CQE_HALVES]
        self._places = places

    def _lay_out(self, room_bytes: int) -> None:
        """Where the data lies, and that in all entries."""
        self._room = (ctypes.c_char * room_bytes)()
        self._data = memoryview(self._room).cast("B")
        self._here = array("Q", (ctypes.addressof(self._room),)) * self._places
        self._addresses[:] = self._here

    def fire(self, ports: array[int], data: bytes) -> list[int] | None:
        """Offer `data` to each port's socket: None when each took all of it, else bytes or -errno, port by port."""
        count, size = len(ports), len(data)
        if count > self._places:
            return self._in_parts(ports, [data] * count)
        if size > len(self._data):
            self._lay_out(1 << size.bit_length())
        self._data[:size] = data
        self._lengths[:count] = array("Q", (size | _FLAGS,)) * count
        return self._enter(ports, size.to_bytes(4, "little") * count)

    def fire_each(self, ports: array[int], portions: Sequence[bytes]) -> list[int] | None:
        """Offer each port's socket a portion of its own, with the same answers."""
        count = len(ports)
        if count > self._places:
            return self._in_parts(ports, portions)
        data = ctypes.c_char_p(b"".join(portions))
        sizes = array("i", map(len, portions))
        starts = accumulate(sizes, initial=ctypes.cast(data, ctypes.c_void_p).value)
        self._addresses[:count] = array("Q", islice(starts, count))
        self._lengths[:count] = array("Q", map(_FLAGS.__or__, sizes))
        try:
            return self._enter(ports, sizes.tobytes())
        finally:
            self._addresses[:count] = self._here[:count]

    def _in_parts(self, ports: array[int], portions: Sequence[bytes]) -> list[int] | None:
        """More than fit, or there is no ring: then nothing is sent, and each has its own socket left."""
        sizes = [*map(len, portions)]
        answers: list[int] = []
        while self._places and len(answers) < len(ports):
            part = slice(len(answers), len(answers) + self._places)
            answers += self.fire_each(ports[part], portions[part]) or sizes[part]
        answers += [-EAGAIN] * (len(ports) - len(answers))
        return None if answers == sizes else answers

    def _enter(self, ports: array[int], whole: bytes) -> list[int] | None:
        """Have the kernel carry out what stands in the entries. `whole`: the answers of sockets that take all of it."""
        count = len(ports)
        tail = self._sq_tail[0]
        turn = -tail % self._places
        self._turns[:] = self._turned[turn : turn + self._places]
        if ports is not self._laid:  # a cohort's stay the same as long as nobody comes or goes
            self._ports[:count] = self._laid = ports
        self._sq_tail[0] = tail + count & _U32
        syscall = self._syscall
        done = syscall(_ENTER, self._number, count, 0, 0, 0, 0)
        head = self._cq_head[0]
        place = head % self._answers
        # Who was answered when need not be known: no answer is more than what was offered, so the same sizes in
        # whatever order mean that each took all. A volley seldom ends otherwise.
        if done == count == self._cq_tail[0] - head & _U32:
            results = self._results[place : place + count].tobytes()
            if (over := place + count - self._answers) > 0:  # the ring has an end
                results += self._results[:over].tobytes()
            if results == whole:
                self._cq_head[0] = head + count & _U32
                return None
        return self._sort_out(count, done)

    def _sort_out(self, count: int, done: int) -> list[int]:
        """The answers of a volley of `count` that did not go as it should: the kernel took in `done`, or none (-1)."""
        taken_in = max(done, 0)
        while done > 0 and taken_in < count:
            done = self._syscall(_ENTER, self._number, count - taken_in, 0, 0, 0, 0)
            taken_in += max(done, 0)
        # What the kernel would not take in was not sent. It goes the way of what a full socket does not take.
        self._sq_tail[0] = self._sq_head[0]
        answers = [UNKNOWN] * taken_in + [-EAGAIN] * (count - taken_in)
        head, tail = self._cq_head[0], self._cq_tail[0]
        while head != tail:
            place = head % self._answers
            answers[self._whose[place]] = self._results[place]
            head = head + 1 & _U32
        self._cq_head[0] = tail
        if UNKNOWN in answers:
            # That answer must not be taken for another's, should it come late: from here on by another ring.
            self.close()
            with suppress(OSError):
                self._set_up()
        return answers
