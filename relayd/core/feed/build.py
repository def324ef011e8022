"""From an upstream block to its dialect. The block has the file's keys; durations may be seconds already.

Shapes (unknown keys, types) are the file reader's affair. What is checked here is meaning: paths, placeholders, and
that what asking uses is what messages yield. All that is wrong is told at once, each with its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relayd.core.feed.build_asking import read_connect, read_variants
from relayd.core.feed.build_parts import (
    Reader,
    as_list,
    as_table,
    read_control,
    read_decode,
    read_fields,
    read_login,
    read_sequences,
    read_snapshots,
    read_topics,
)
from relayd.core.feed.build_specs import read_heartbeat, read_specs
from relayd.core.feed.dialect import Cursor, Dialect
from relayd.core.feed.errors import Malformed, Problems
from relayd.core.feed.extract import Wishes, compile_extractor
from relayd.core.feed.path import OUTER, SSE, Paths, parse_paths
from relayd.core.feed.usage import check_usage, identities_of

Block = Mapping[str, Any]


def build_dialect(block: Block) -> Dialect:
    """The dialect of an upstream block. Raises DialectError, which holds everything that is wrong."""
    problems = Problems()
    try:
        return _build(block, problems)
    except Malformed as error:
        # A part that is no table where one must be: what lies behind it cannot be read.
        problems.add((), str(error))
        raise problems.error() from None


def _build(block: Block, problems: Problems) -> Dialect:
    roots = ((OUTER,) if _splits(block) else ()) + ((SSE,) if block.get("transport") == "sse" else ())
    reader = Reader(problems, roots)
    topics = read_topics(reader, block.get("topics"))
    fields = read_fields(reader, as_table(block.get("topic")), topics)
    connect = read_connect(reader, as_table(block.get("connect")))
    subscribe = read_variants(reader, "subscribe", as_list(block.get("subscribe")), (), fields, connect)
    unsubscribe = read_variants(reader, "unsubscribe", as_list(block.get("unsubscribe")), subscribe, fields, connect)
    cursor_block = as_table(block.get("cursor"))
    cursor = None
    dedupe: Paths = ()
    payload: Paths = ()
    if cursor_block:
        with problems.at("cursor"):
            cursor = Cursor(parse_paths(cursor_block.get("at"), roots), float(cursor_block.get("rewind") or 0))
    with problems.at("dedupe"):
        dedupe = parse_paths(block["dedupe"], roots) if block.get("dedupe") is not None else ()
    with problems.at("payload"):
        payload = parse_paths(block["payload"], roots) if block.get("payload") is not None else ()
    beat, heartbeat = read_heartbeat(reader, block.get("heartbeat"))
    silence, reconnect, limits = read_specs(reader, block)
    parts: dict[str, Any] = {
        "connect": connect,
        "fields": fields,
        "decode": read_decode(reader, as_table(block.get("decode"))),
        "login": read_login(reader, as_list(block.get("login"))),
        "subscribe": subscribe,
        "unsubscribe": unsubscribe,
        "topics": topics,
        "payload": payload,
        "control": read_control(reader, as_list(block.get("control"))),
        "beat": beat,
        "sequences": read_sequences(reader, as_list(block.get("sequence"))),
        "snapshots": read_snapshots(reader, as_list(block.get("snapshot"))),
        "cursor": cursor,
        "dedupe": dedupe,
        "heartbeat": heartbeat,
        "silence": silence,
        "reconnect": reconnect,
        "limits": limits,
        "settle_s": max((variant.settle_s for variant in subscribe), default=0.0),
        "dial_at_start": block.get("dial") == "start" or (block.get("dial") is None and not subscribe),
    }
    problems.finish()
    draft = Dialect(**parts)
    secrets = check_usage(problems, draft)
    problems.finish()
    parts["secrets"] = secrets
    parts["identities"], parts["field_names"] = identities_of(draft)
    wishes = Wishes(
        fields=fields,
        decode=parts["decode"],
        payload=payload,
        sequences=parts["sequences"],
        snapshots=parts["snapshots"],
        cursor=() if cursor is None else cursor.at,
        dedupe=dedupe,
        rules=draft.rules,
    )
    return Dialect(**parts, extractor=compile_extractor(wishes))


def _splits(block: Block) -> bool:
    return as_table(block.get("decode")).get("split") is not None
