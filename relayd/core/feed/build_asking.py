"""How `connect`, `subscribe` and `unsubscribe` are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from relayd.core.feed.build_parts import Block, Reader, as_table
from relayd.core.feed.connect import Connect, HttpStep, Refresh
from relayd.core.feed.errors import Malformed, Problems
from relayd.core.feed.fields import Fields
from relayd.core.feed.match import parse_for
from relayd.core.feed.sign import parse_sets
from relayd.core.feed.subscription import Variant
from relayd.core.feed.template import compile_node, parse_text
from relayd.core.feed.units import parse_duration
from relayd.core.feed.url import parse_headers, parse_http, parse_url

# Replies to HTTP requests are no messages: they have neither `outer` nor `sse`.
_PLAIN = Reader(Problems())

UNTIL_REFUSED = "until-refused"


def read_connect(reader: Reader, block: Block) -> Connect:
    """The `connect` block."""
    problems, parts = reader.problems, dict[str, Any](url=parse_url(""))
    with problems.at("connect"):
        parts["url"] = parse_url(block.get("url"), block.get("query"))
        parts["headers"] = parse_headers(block.get("headers"))
    before = []
    for at, step in enumerate(block.get("before") or ()):
        with problems.at("connect", "before", at):
            before.append(_step(as_table(step)))
    with problems.at("connect", "refresh"):
        refresh = as_table(block.get("refresh"))
        if refresh:
            http, save = parse_http(refresh.get("http")), _save(refresh)
            parts["refresh"] = Refresh(parse_duration(refresh.get("every")), http, save)
    with problems.at("connect", "max_age"):
        max_age = block.get("max_age")
        parts["max_age_s"] = None if max_age in (None, "off") else parse_duration(max_age)
    return Connect(
        protocols=tuple(map(str, block.get("protocols") or ())),
        hosts=tuple(map(str, block.get("hosts") or ())),
        before=tuple(before),
        **parts,
    )


def _step(step: Block) -> HttpStep:
    keep = step.get("keep")
    if keep not in (None, UNTIL_REFUSED):
        raise Malformed(f"keep: {keep!r} is not {UNTIL_REFUSED}")
    within_s = parse_duration(step.get("within", 10.0))
    return HttpStep(parse_http(step.get("http")), _save(step), keep is not None, within_s)


def _save(block: Block) -> Any:
    return _PLAIN.save(block.get("save"))


def read_variants(
    reader: Reader, key: str, blocks: Sequence[Block], models: Sequence[Variant], fields: Fields, connect: Connect
) -> tuple[Variant, ...]:
    """The `subscribe` or `unsubscribe` block. What an `unsubscribe` leaves out it has from `subscribe` (`models`)."""
    variants = []
    for at, block in enumerate(blocks):
        with reader.problems.at(key, at):
            variants.append(_variant(block, _model_of(block, models), fields, connect))
    return tuple(variants)


def _model_of(block: Block, models: Sequence[Variant]) -> Variant:
    applies = parse_for(block.get("for"))
    same = [model for model in models if model.applies == applies]
    return (same or [*models[-1:]] or [Variant()])[0]


def _variant(block: Block, model: Variant, fields: Fields, connect: Connect) -> Variant:
    ways = [way for way in ("send", "http", "in") if block.get(way) is not None]
    if len(ways) != 1:
        raise Malformed("write one of `send`, `http` and `in: url`")
    if block.get("in") not in (None, "url"):
        raise Malformed("`in` knows only `url`")
    verbs = tuple(block.get("verbs") or model.verbs)
    if len(verbs) != 2:
        raise Malformed("`verbs` are two: to subscribe, to unsubscribe")
    http = parse_http(block["http"]) if "http" in ways else None
    in_url = "in" in ways
    each = compile_node(block["each"]) if "each" in block else model.each
    if each is None and fields.name is not None:
        each = parse_text("$topic")
    within = block.get("within")
    fail = as_table(block.get("fail"))
    variant = Variant(
        applies=parse_for(block.get("for")),
        verbs=(str(verbs[0]), str(verbs[1])),
        sets=parse_sets(block.get("set")),
        each=each,
        join=block.get("join", model.join),
        batch=block.get("batch", model.batch),
        bytes=block.get("bytes", model.bytes),
        send=compile_node(block.get("send")),
        sends="send" in ways,
        http=http,
        in_url=in_url,
        whole=bool(block.get("whole", False)),
        bind=parse_text(block["bind"]) if block.get("bind") is not None else None,
        ack=_PLAIN.ack(block.get("ack")),
        text=_PLAIN.paths(fail.get("text")),
        within_s=None if within is None else parse_duration(within),
        settle_s=parse_duration(block.get("settle", 1.0)),
        outer_names=connect.names if in_url else frozenset(),
    )
    if variant.is_many:
        if variant.each is None:
            raise Malformed("this upstream has no feed names, so `each` must say what a member of $topics is")
        return variant
    if block.get("batch") is not None or block.get("join") is not None:
        raise Malformed("`batch` and `join` need a message that holds $topics")
    return replace(variant, batch=None, join=None)
