"""How the blocks are read that speak of time: heartbeat, silence, reconnect, limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from relayd.core.feed.build_parts import Block, Reader, as_table
from relayd.core.feed.dialect import Beat
from relayd.core.feed.errors import Malformed
from relayd.core.feed.spec import CodeRule, HeartbeatSpec, LimitsSpec, Reaction, ReconnectSpec, SilenceSpec
from relayd.core.feed.template import compile_node, parse_text
from relayd.core.feed.units import parse_duration, parse_rate
from relayd.core.hours import Hours, parse_hours

WORDS = ("stop", "retry", "wait", "forget-cursor")
EVERY_S = 20.0
"""Without `every`: under the 30 s after which common proxies and feeds cut."""

_CODES = re.compile(r"([0-9]{3,4})(?:-([0-9]{3,4}))?", re.ASCII)


def is_off(value: object) -> bool:
    """Whether a key is switched off: `off`, which YAML 1.1 reads as false."""
    return value is False or value == "off"


def read_heartbeat(reader: Reader, value: object) -> tuple[Beat | None, HeartbeatSpec | None]:
    """The `heartbeat` block; left out = a WebSocket ping, `off` = nothing."""
    if is_off(value):
        return None, None
    block, every = as_table(value), EVERY_S
    beat, within_s = Beat(), 10.0
    with reader.problems.at("heartbeat"):
        within_s = parse_duration(block.get("within", within_s))
        told = block.get("every", every)
        also = block.get("also")
        beat = Beat(
            every=parse_text(told) if isinstance(told, str) and "$" in told else parse_duration(told),
            send=compile_node(block.get("send")),
            sends=block.get("send") is not None,
            expect=reader.match(block.get("expect")),
            also=None if also is None else {str(name): parse_text(text) for name, text in as_table(also).items()},
        )
    companion = beat.also is not None
    return beat, HeartbeatSpec(within_s, not beat.sends and not companion, beat.expect is not None, companion)


def read_specs(reader: Reader, block: Block) -> tuple[SilenceSpec, ReconnectSpec, LimitsSpec]:
    """The `silence`, `reconnect` and `limits` blocks."""
    return _silence(reader, block), _reconnect(reader, block), _limits(reader, block)


def _silence(reader: Reader, whole: Block) -> SilenceSpec:
    with reader.problems.at("silence"):
        block = as_table(whole.get("silence"))
        return SilenceSpec(_watch(block.get("any")), _watch(block.get("data")), _hours(block.get("hours")))
    return SilenceSpec()


def _watch(value: object) -> float | None:
    return None if value is None or is_off(value) else parse_duration(value)


def _hours(value: Any) -> Hours | None:
    return value if value is None or isinstance(value, Hours) else parse_hours(str(value))


def _reconnect(reader: Reader, whole: Block) -> ReconnectSpec:
    with reader.problems.at("reconnect"):
        block = as_table(whole.get("reconnect"))
        return ReconnectSpec(_codes(as_table(block.get("codes"))), _codes(as_table(block.get("status"))))
    return ReconnectSpec()


def _codes(table: Mapping[Any, Any]) -> tuple[CodeRule, ...]:
    rules = []
    for codes, what in table.items():
        hit = _CODES.fullmatch(str(codes))
        if hit is None:
            raise Malformed(f"{codes!r} is neither a code nor a range such as 4400-4499")
        reaction: Reaction = what if what in WORDS else parse_duration(what)
        rules.append(CodeRule(int(hit[1]), int(hit[2] or hit[1]), reaction))
    return tuple(rules)


def _limits(reader: Reader, whole: Block) -> LimitsSpec:
    with reader.problems.at("limits"):
        block = as_table(whole.get("limits"))
        rates = {
            key: None if block.get(key) is None else parse_rate(block[key])
            for key in ("send", "connect", "subscribe", "http")
        }
        first = block.get("first_send")
        return LimitsSpec(
            topics=block.get("topics"),
            connections=block.get("connections"),
            first_send_s=None if first is None else parse_duration(first),
            **rates,
        )
    return LimitsSpec()
