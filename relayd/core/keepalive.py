"""Is the client still there? Pings to all of them, swept in buckets; the answers, and what follows when there is none.

Every member is pinged once in 25 s. The revolution is divided into 100 buckets of 0.25 s, members are dealt out over
them by fifties and evenly (not by when they came, or a crowd that reconnects at once would be pinged at once for
ever), and no step sends more than 250 pings. A pong, or any other frame, is due in 10 s; then the ping is repeated
once; another 10 s later the member is dead. So a silent client is found within 46 s, and within 50 s when a bucket is
full.

All pings of a step are the same bytes, so that they go out in one volley. Their pongs are nearly all that clients who
only listen ever say: `answered` knows such a frame as it comes from the socket, and nobody else needs to read it.

The caller brings the time (monotonic seconds) and calls `tick` every 0.25 s; where `is_quiet` says that it would find
nothing to do, every second time. A stall of the process counts as at most one second: pongs that wait unread in the
kernel must not look like clients that are gone, and a machine that slept must not wake up to close everybody.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from struct import Struct
from typing import Final, Generic, TypeVar

from relayd.core.counters import ListenerCounters

T = TypeVar("T")

#: One ping per member and revolution: shorter than the 30-60 s after which proxies and NATs forget a silent connection.
INTERVAL_S: Final = 25.0
#: 0.25 s a bucket: at 10,000 members 100 pings a step. Shorter steps cost more, since a process that slept wakes with
#: its caches gone; longer ones hold up publications, since a step is one piece of work (docs/design/fan-out.md).
BUCKETS: Final = 100
#: 25,000 members in 25 s, above what the descriptors of one process allow; 250 pings take 1.2 ms (measured).
PINGS_PER_STEP: Final = 250
#: A pong or any other frame is due within this time after a ping; mobile radios wake up in 2-3 s.
ANSWER_WITHIN_S: Final = 10.0
#: What a longer pause between two ticks counts as.
STALL_COUNTS_S: Final = 1.0

#: How often `tick` is to be called.
STEP_S: Final = INTERVAL_S / BUCKETS
#: How often while it would find nothing to do, as nearly always with few members: a process of 500 that says nothing
#: wakes 3 times a second then, and not 5 times (measured).
QUIET_STEP_S: Final = 2 * STEP_S
#: Consecutive groups go to buckets 9.25 s apart: coprime to 100, so all are visited before any is visited twice.
_STRIDE: Final = 37
#: Half of what a step has for 10,000 members, so that those are spread evenly. 500 members dealt out one by one were
#: pinged by fives, one by one, and that was 3 % of what it costs to bring them 50 messages a second; by twelves, as few
#: as a volley takes, the process wakes 7.6 times a second while nothing is said, by fifties 5.4 times (measured).
GROUP: Final = 50

#: A whole pong that answers a ping of ours: FIN and opcode 10, masked, 4 bytes; the mask; those bytes (RFC 6455 5.2).
_PONG: Final = Struct(">HII")
_PONG_HEADER: Final = 0x8A84
#: How long it is: what has another length need not be shown to `answered`.
PONG_BYTES: Final = _PONG.size


class Pulse(Generic[T]):
    """One member of the sweep; `owner` is the caller's. What else it holds is the sweep's."""

    __slots__ = ("asked_at", "bucket", "index", "owner", "repeated", "rtt_s", "token")

    def __init__(self, owner: T, bucket: int, index: int) -> None:
        self.owner = owner
        self.bucket = bucket  # -1 once it has left
        self.index = index  # its place in the bucket, for a removal that moves only one other member
        self.token = 0  # the number of the ping it owes an answer to; 0 = none
        self.asked_at = 0.0  # when that ping went out, by the caller's clock
        self.repeated = False
        self.rtt_s: float | None = None  # the newest round-trip time


@dataclass(frozen=True, slots=True)
class Beat(Generic[T]):
    """What is due now: `payload` (4 bytes) goes as a ping to each of `ping`, and to each of `again`, who have left one
    without an answer; each of `dead` is closed with 4012.
    """

    payload: bytes
    ping: list[T]
    again: list[T]
    dead: list[T]


class PingSweep(Generic[T]):
    """All members of one process. `join`, `leave`, `heard` and `pong` are O(1); a tick costs what it sends."""

    def __init__(self, counters: ListenerCounters, now: float) -> None:
        self._counters = counters
        self._buckets: list[list[Pulse[T]]] = [[] for _ in range(BUCKETS)]
        self._dealt = 0
        self._next_bucket = 0
        self._last_tick = now
        self._elapsed_s = 0.0  # the sweep's own time: the caller's, with stalls cut short
        self._steps = 0  # buckets finished since the start
        self._hand: list[Pulse[T]] = []  # the members of the current bucket that are still to be pinged
        self._token = 0
        self._awaiting: deque[tuple[float, int, Pulse[T]]] = deque()  # (due, token, who), ascending by due

    def join(self, owner: T) -> Pulse[T]:
        """Start to watch `owner`; its first ping comes within one interval."""
        if self._dealt % GROUP == 0:
            self._next_bucket = (self._next_bucket + _STRIDE) % BUCKETS
        self._dealt += 1
        bucket = self._buckets[self._next_bucket]
        pulse = Pulse(owner, self._next_bucket, len(bucket))
        bucket.append(pulse)
        return pulse

    def leave(self, pulse: Pulse[T]) -> None:
        """Stop to watch; idempotent."""
        if pulse.bucket < 0:
            return
        bucket = self._buckets[pulse.bucket]
        last = bucket.pop()
        if last is not pulse:
            bucket[pulse.index] = last
            last.index = pulse.index
        pulse.bucket = -1
        pulse.token = 0

    def heard(self, pulse: Pulse[T]) -> None:
        """A frame came from the member: it is alive, whatever it owes."""
        pulse.token = 0

    def pong(self, pulse: Pulse[T], payload: bytes, now: float) -> None:
        """A pong came. It counts as a frame; if it answers the ping in flight, its round-trip time is recorded."""
        if pulse.token and payload == _payload(pulse.token):
            self._time(pulse, now)
        pulse.token = 0

    def answered(self, pulse: Pulse[T], portion: bytes, now: float) -> bool:
        """Whether `portion` is one whole frame, the masked pong to the ping in flight. If so it was heard, and is done
        with. It must begin where a frame can begin. No client can say it oftener than it is asked.
        """
        if len(portion) != PONG_BYTES:
            return False
        header, mask, masked = _PONG.unpack(portion)
        if header != _PONG_HEADER or mask ^ masked != pulse.token or not pulse.token:
            return False
        self._time(pulse, now)
        pulse.token = 0
        return True

    def _time(self, pulse: Pulse[T], now: float) -> None:
        """Its ping was answered at `now`."""
        self._counters.pongs += 1
        pulse.rtt_s = now - pulse.asked_at
        self._counters.rtt.observe(pulse.rtt_s)

    def tick(self, now: float) -> Beat[T]:
        """What is due at `now`: call it every `STEP_S`, or after `is_quiet` every `QUIET_STEP_S`."""
        self._elapsed_s += min(max(now - self._last_tick, 0.0), STALL_COUNTS_S)
        self._last_tick = now
        self._token = self._token % 0xFFFF_FFFF + 1
        dead: list[T] = []
        again = self._overdue(now, dead)
        return Beat(_payload(self._token), self._sweep(now), again, dead)

    @property
    def is_quiet(self) -> bool:
        """Whether the next step has nobody to ask and no answer to miss. Who joins it now is asked one step later."""
        answers_due = bool(self._awaiting) and self._awaiting[0][0] <= self._elapsed_s + STEP_S
        return not (answers_due or self._hand or self._buckets[self._steps % BUCKETS])

    def _overdue(self, now: float, dead: list[T]) -> list[T]:
        repeat: list[T] = []
        while self._awaiting:
            due, token, pulse = self._awaiting[0]
            is_answered = pulse.token != token  # or gone
            if due > self._elapsed_s and not is_answered:
                break
            self._awaiting.popleft()
            if is_answered:
                continue
            if pulse.repeated:
                pulse.token = 0
                dead.append(pulse.owner)
            else:
                self._counters.pings_repeated += 1
                repeat.append(self._ask(pulse, now, repeated=True))
        return repeat

    def _sweep(self, now: float) -> list[T]:
        ping: list[T] = []
        due_steps = int(self._elapsed_s / STEP_S + 1e-6)  # sums of floats: a step is not missed for a rounding
        self._steps = max(self._steps, due_steps - BUCKETS)  # more than a revolution behind: a member is asked once
        budget = PINGS_PER_STEP
        while budget:
            if not self._hand:
                if self._steps >= due_steps:
                    break
                self._hand = list(self._buckets[self._steps % BUCKETS])
                self._steps += 1
                continue
            pulse = self._hand.pop()
            if pulse.bucket >= 0 and not pulse.token:
                self._counters.pings += 1
                ping.append(self._ask(pulse, now, repeated=False))
                budget -= 1
        return ping

    def _ask(self, pulse: Pulse[T], now: float, *, repeated: bool) -> T:
        pulse.token = self._token
        pulse.asked_at = now
        pulse.repeated = repeated
        self._awaiting.append((self._elapsed_s + ANSWER_WITHIN_S, self._token, pulse))
        return pulse.owner


def _payload(token: int) -> bytes:
    return token.to_bytes(4, "big")
