"""Mutated heads: what relayd accepts, h11 and twisted.web accept too, and read the same.

    python -m tests.handshake.fuzz [--minutes 20] [--seed N]

Heads of the table and plain requests are mutated: bytes changed, cut out, doubled; lines swapped, repeated, taken
from another head; words that have confused parsers put in. Of each head is asserted:

* what the guard lets through, as a WebSocket or as a request, both oracles accept, with the same method, target and
fields;
* the clean head that goes on is accepted by both, and read as what was meant;
* portions do not change the answer; no exception; little is held, and never for long; a refusal holds nothing of
the head.

A head that breaks one of these is printed and ends the run with status 1; `--seed` repeats a run.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from relayd.core.guard import GuardSettings, Handshake, Plain, judge
from relayd.core.head import HeadLimits, HeadParser, RequestHead
from relayd.core.refusal import REFUSALS, HttpRefusal
from tests.handshake.oracles import Reading, by_h11, by_twisted, reading_of
from tests.handshake.table import CASES, KEY, OK
from tests.support.portions import portions_of

PLAIN: Final = (
    b"GET /topics?match=** HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
    b"HEAD / HTTP/1.0\r\nHost: a\r\n\r\n",
    b"OPTIONS /topics HTTP/1.1\r\nHost: a\r\nOrigin: https://b\r\nAccess-Control-Request-Method: POST\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Type: text/json\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
    b"POST /topics/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
)
SEEDS: Final = tuple(case.head for case in CASES if len(case.head) < 1500) + PLAIN * 10
ACCEPTED: Final = tuple(case.head for case in CASES if case.answer == OK and len(case.head) < 1500) + PLAIN
WORDS: Final = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\r\n ", b"\r\n\t", b"\n\r", b"\n\n", b" ", b"\t", b":", b": ", b" :", b",",
    b", ", b";", b'"', b"=",
    b"\x00", b"\x0b", b"\x0c", b"\x7f", b"\x80", b"\x85", b"\xa0", b"\xff", b"\xc2\xa0", b"\xe2\x80\xa8", b"%0d%0a",
    b"%00",
    b"Host: b\r\n", b"host:b\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Content-Length: +5\r\n",
    b"Content-Length: 0x5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding:\x0bchunked\r\n", b"Transfer-Encoding: identity\r\n",
    b"Transfer_Encoding: chunked\r\n",
    b"Connection: close\r\n", b"Upgrade: h2c\r\n", b"Upgrade: websocket\r\n", KEY.encode() + b"\r\n",
    b"Sec-WebSocket-Version: 13\r\n",
    b"GET / HTTP/1.1\r\n", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"http://a/", b"//", b"/../", b"*",
    b"#", b"?", b"\\", b"@",
    b"0\r\n\r\n", b"chunked", b"identity", b"GET", b"POST", b"CONNECT", b"1" * 30, b"a" * 300, b" " * 300, b"\t" * 50,
    b"[::1]", b":80",
)  # fmt: skip
SETTINGS: Final = GuardSettings()
LIMITS: Final = HeadLimits()
ANSWERS: Final = frozenset(refusal.render() for refusal in REFUSALS)
#: Beyond the limit of a head one portion may be held for a moment.
HELD_BYTES_MAX: Final = LIMITS.head_bytes
#: Fields that are not passed on, with what stands for them (core/guard.py): left out of the comparison of a clean head.
REWRITTEN: Final = frozenset(
    {"connection", "forwarded", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "upgrade"}
    | {"x-forwarded-for", "x-real-ip"}
)
#: Work for one head: a hundred times the usual, so that a busy machine does not matter and a quadratic loop does.
WITHIN_S: Final = 0.02


class Broken(AssertionError):
    """A head that breaks a promise; `str()` says which."""


@dataclass
class Tally:
    """What a run has seen."""

    heads: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0

    @property
    def accepted(self) -> int:
        """Heads that were let through."""
        return self.answers["websocket"] + self.answers["plain"]


def mutate(rng: random.Random) -> bytes:
    """A seed, changed in one to four places."""
    head = bytearray(rng.choice(ACCEPTED if rng.random() < 0.7 else SEEDS))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        at = rng.randrange(len(head) + 1)
        match rng.randrange(9):
            case 0:
                head[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                head[at:at] = rng.choice(WORDS)
            case 2:
                head[at : at + len(word)] = (word := rng.choice(WORDS))
            case 3:
                del head[at : at + rng.choice((1, 1, 2, 5, 20))]
            case 4:
                piece = head[at : at + rng.randrange(1, 40)]
                head[at:at] = piece * rng.choice((1, 1, 2, 30))
            case 5 | 6:
                lines = bytes(head).split(b"\r\n")
                first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
                if rng.random() < 0.5:
                    lines[first], lines[second] = lines[second], lines[first]
                else:
                    lines.insert(first, lines[second])
                head = bytearray(b"\r\n".join(lines))
            case 7:
                lines = bytes(head).split(b"\r\n")
                lines.insert(rng.randrange(1, len(lines) + 1), rng.choice(rng.choice(SEEDS).split(b"\r\n")))
                head = bytearray(b"\r\n".join(lines))
            case 8:
                end = at + rng.randrange(1, 30)
                head[at:end] = bytes(head[at:end]).swapcase()
    return bytes(head)


def check(head: bytes, tally: Tally, rng: random.Random) -> None:
    """Hold one head against all promises. Raises Broken."""
    started = time.process_time()
    parser = HeadParser(LIMITS)
    answer = parser.feed(head)
    purpose = judge(answer, SETTINGS) if isinstance(answer, RequestHead) else answer
    took_s = time.process_time() - started
    tally.heads += 1
    if took_s > WITHIN_S:
        took_s = min(_time_of(head) for _ in range(5))  # the first time a collection of garbage may have been in it
        if took_s > WITHIN_S:
            raise Broken(f"takes {took_s * 1000:.1f} ms")
    tally.slowest_s = max(tally.slowest_s, took_s)
    if isinstance(purpose, HttpRefusal):
        tally.answers[purpose.label] += 1
        if purpose.render() not in ANSWERS:
            raise Broken("the answer is none of the table")
        if parser.buffered_bytes and isinstance(answer, HttpRefusal):
            raise Broken("a refused head is kept")
    elif answer is None:
        tally.answers["incomplete"] += 1
        if parser.buffered_bytes > HELD_BYTES_MAX:
            raise Broken(f"{parser.buffered_bytes} bytes are held")
    else:
        assert isinstance(answer, RequestHead)
        own = head[: len(head) - len(parser.rest)]
        tally.answers["websocket" if isinstance(purpose, Handshake) else "plain"] += 1
        assert isinstance(purpose, Handshake | Plain)
        body = bytes(purpose.body_bytes) if isinstance(purpose, Plain) else b""
        _ask_oracles(own + body, reading_of(answer), "the head")
        _ask_oracles(purpose.clean + body, _expected(answer, purpose), "the clean head")
    if rng.random() < 0.1:
        _check_portions(head, answer, rng)


def _time_of(head: bytes) -> float:
    started = time.process_time()
    answer = HeadParser(LIMITS).feed(head)
    if isinstance(answer, RequestHead):
        judge(answer, SETTINGS)
    return time.process_time() - started


def _expected(head: RequestHead, purpose: Handshake | Plain) -> Reading:
    """What the clean head must mean."""
    if isinstance(purpose, Handshake):
        again = HeadParser(LIMITS).feed(purpose.clean)
        if not isinstance(again, RequestHead) or judge(again, SETTINGS) != purpose:
            raise Broken("the clean head is not read as itself")
        return reading_of(again)
    kept = [(name, value) for name, value in head.fields if name not in REWRITTEN]
    return Reading(head.method, head.target, tuple(sorted([*kept, ("connection", "close")])))


def _ask_oracles(head: bytes, ours: Reading, what: str) -> None:
    for name, oracle in (("h11", by_h11), ("twisted.web", by_twisted)):
        theirs = oracle(head)
        if theirs is None:
            raise Broken(f"{what} is accepted, and {name} refuses it")
        if theirs != ours:
            raise Broken(f"{what} is read as {ours}, and by {name} as {theirs}")


def _check_portions(head: bytes, whole: RequestHead | HttpRefusal | None, rng: random.Random) -> None:
    parser = HeadParser(LIMITS)
    for portion in portions_of(head, rng.choice((1, 2, 3, 17, 100))):
        answer = parser.feed(portion)
        if answer is not None:
            break
    else:
        answer = None
    if answer != whole:
        raise Broken(f"whole it is {whole}, in portions {answer}")


def run(seconds: float, seed: int) -> Tally:
    """Check mutated heads for so long. Raises Broken, its head as a note."""
    rng = random.Random(seed)
    tally = Tally()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for _ in range(100):
            head = mutate(rng)
            try:
                check(head, tally, rng)
            except Exception as fault:
                fault.add_note(f"head number {tally.heads} of seed {seed}: {head!r}")
                raise
    return tally


def main() -> int:
    """As above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    tally = run(options.minutes * 60, options.seed)
    result = {
        "heads": tally.heads,
        "accepted": tally.accepted,
        "accepted_that_an_oracle_refuses": 0,
        "slowest_ms": round(tally.slowest_s * 1000, 3),
        "seed": options.seed,
        "answers": dict(tally.answers.most_common()),
    }
    artifacts = Path(__file__).resolve().parent.parent.parent / "artifacts"
    artifacts.mkdir(exist_ok=True)
    (artifacts / "handshake.json").write_text(json.dumps(result, indent=1))
    seen = f"{tally.heads:,} mutated heads (seed {options.seed}), {tally.accepted:,} accepted"
    print(f"{seen}, none of them refused by h11 or twisted.web; the slowest took {tally.slowest_s * 1000:.2f} ms")
    print(", ".join(f"{answer} {count:,}" for answer, count in tally.answers.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
