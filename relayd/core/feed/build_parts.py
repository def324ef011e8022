"""How the blocks are read that speak of messages: topic, topics, decode, login, control, sequence, snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relayd.core.feed.control import AckRule, At, ControlRule, FailRule
from relayd.core.feed.decode import STEPS, Decode
from relayd.core.feed.dialect import FeedRow
from relayd.core.feed.errors import Malformed, Problems
from relayd.core.feed.feedname import WHOLE, FeedName, parse_feed_name
from relayd.core.feed.fields import Fields
from relayd.core.feed.login import LoginStep
from relayd.core.feed.match import ALWAYS, Match, parse_for, parse_match
from relayd.core.feed.path import Path, Paths, parse_path, parse_paths
from relayd.core.feed.sequence import Sequence as SequenceRule
from relayd.core.feed.sign import parse_sets
from relayd.core.feed.snapshot import Snapshot
from relayd.core.feed.template import compile_node
from relayd.core.feed.units import parse_duration
from relayd.core.feed.url import parse_http

Block = Mapping[str, Any]

TYPES = ("int", "float", "bool")
DO = ("beat", "drain", "reconnect", "resubscribe")
REPAIRS = ("mark", "resubscribe", "resync", "reconnect")


@dataclass(frozen=True, slots=True)
class Reader:
    """What every part needs to be read: where faults go, and which roots paths know."""

    problems: Problems
    roots: tuple[str, ...] = ()

    def path(self, value: object) -> Path | None:
        """A path that may be left out. Raises Malformed."""
        return None if value is None else parse_path(value, self.roots)

    def paths(self, value: object) -> Paths:
        """Paths that may be left out. Raises Malformed."""
        return () if value is None else parse_paths(value, self.roots)

    def match(self, value: object) -> Match | None:
        """A match that may be left out. Raises Malformed."""
        return None if value is None else parse_match(value, self.roots)

    def at(self, value: object) -> At | None:
        """Where subscriptions are named; may be left out. Raises Malformed."""
        if value is None:
            return None
        if isinstance(value, Mapping):
            return At(fields={str(name): parse_paths(paths, self.roots) for name, paths in value.items()})
        return At(name=parse_paths(value, self.roots))

    def save(self, value: object) -> dict[str, Paths]:
        """Name -> path. Raises Malformed."""
        return {str(name): parse_paths(path, self.roots) for name, path in as_table(value).items()}

    def ack(self, value: object) -> AckRule | None:
        """An `ack` block. Raises Malformed."""
        if value is None:
            return None
        block = as_table(value)
        return AckRule(
            id=self.path(block.get("id")),
            at=self.at(block.get("at")),
            all=self.path(block.get("all")),
            some=self.path(block.get("some")),
            but=self.path(block.get("not")),
            bind=self.path(block.get("bind")),
        )


def as_table(value: object) -> Block:
    """A table of the block; left out is empty. Raises Malformed."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Malformed("write a table, name: value")
    return value


def as_list(value: object) -> Sequence[Block]:
    """One block or a list of them; left out is empty."""
    if value is None:
        return ()
    return [as_table(one) for one in value] if isinstance(value, list | tuple) else [as_table(value)]


def read_topics(reader: Reader, block: object) -> Mapping[str, FeedRow] | None:
    """The `topics` block: a list of feed names, or a table with the values each brings."""
    if block is None:
        return None
    with reader.problems.at("topics"):
        if isinstance(block, list | tuple):
            return {str(name): FeedRow() for name in block}
        rows = {}
        for name, row in as_table(block).items():
            values = dict(as_table(row))
            answers_as = values.pop("as", None)
            rows[str(name)] = FeedRow(values, None if answers_as is None else str(answers_as))
        return rows
    return None


def read_fields(reader: Reader, block: Block, topics: Mapping[str, FeedRow] | None) -> Fields:
    """The `topic` block."""
    problems, at, name = reader.problems, block.get("at"), None
    table: dict[str, Paths] = {}
    name_at: Paths = ()
    with problems.at("topic", "at"):
        if isinstance(at, Mapping):
            table = {str(field): parse_paths(paths, reader.roots) for field, paths in at.items()}
        else:
            name_at = reader.paths(at)
    bound = when = unless = None
    with problems.at("topic", "bound"):
        bound = reader.path(block.get("bound"))
    with problems.at("topic", "when"):
        when = reader.match(block.get("when"))
    with problems.at("topic", "unless"):
        unless = reader.match(block.get("unless"))
    key_of = tuple(str(key) for key in block.get("key_of") or ())
    with problems.at("topic", "name"):
        name = _feed_name(block.get("name"), bool(table) and bound is None and not key_of, topics)
    types = {str(field): str(kind) for field, kind in as_table(block.get("types")).items()}
    for field, kind in types.items():
        if kind not in TYPES:
            problems.add(("topic", "types", field), f"{kind!r} is none of {', '.join(TYPES)}")
    maps = {
        str(field): {str(found): str(used) for found, used in as_table(rows).items()}
        for field, rows in as_table(block.get("map")).items()
    }
    prefix = block.get("prefix")
    if prefix is not None and (not name_at or not str(prefix).endswith('"')):
        problems.add(("topic", "prefix"), 'write all that stands before the feed name, such as {"ch":"')
    return Fields(table, name_at, key_of, bound, name, maps, types, when or ALWAYS, unless, prefix)


def _feed_name(text: object, has_table: bool, topics: object) -> FeedName | None:
    if has_table and text is not None:
        raise Malformed("`at` is a table, so there is no feed name to take apart; leave `name` out")
    if has_table and topics is not None:
        raise Malformed("`topics` lists feed names, and with a table `at` there are none")
    if has_table:
        return None
    return WHOLE if text is None else parse_feed_name(text)


def read_decode(reader: Reader, block: Block) -> Decode:
    """The `decode` block."""
    binary, split = tuple(str(step) for step in block.get("binary") or ()), block.get("split")
    for at, step in enumerate(binary):
        if step not in STEPS:
            reader.problems.add(("decode", "binary", at), f"{step!r} is none of {', '.join(STEPS)}")
    if isinstance(split, str) and split and all(char < " " for char in split):
        return Decode(binary, None, split)
    with reader.problems.at("decode", "split"):
        path = reader.path(split)
        if path is not None and (path.root or path.is_negative):
            raise Malformed("write the path of an array in the frame, `.` for the frame itself, or a line break")
        return Decode(binary, path)
    return Decode(binary)


def read_login(reader: Reader, blocks: Sequence[Block]) -> tuple[LoginStep, ...]:
    """The `login` block."""
    steps = []
    for at, block in enumerate(blocks):
        with reader.problems.at("login", at):
            steps.append(
                LoginStep(
                    send=compile_node(block.get("send")),
                    sends=block.get("send") is not None,
                    expect=reader.match(block.get("expect")),
                    fail=reader.match(block.get("fail")),
                    save=reader.save(block.get("save")),
                    sets=parse_sets(block.get("set")),
                    within_s=parse_duration(block.get("within", 10.0)),
                )
            )
    return tuple(steps)


def read_control(reader: Reader, blocks: Sequence[Block]) -> tuple[ControlRule, ...]:
    """The `control` block."""
    rules = []
    for at, block in enumerate(blocks):
        with reader.problems.at("control", at):
            fail = block.get("fail")
            do = block.get("do")
            if do is not None and do not in DO:
                raise Malformed(f"do: {do!r} is none of {', '.join(DO)}")
            rules.append(
                ControlRule(
                    when=reader.match(block.get("when")) or ALWAYS,
                    ack=reader.ack(block.get("ack")),
                    fail=None if fail is None else _fail(reader, as_table(fail)),
                    send=compile_node(block.get("send"), reader.roots),
                    sends=block.get("send") is not None,
                    do=do,
                    id=reader.path(block.get("id")),
                    at=reader.at(block.get("at")),
                    url=reader.path(block.get("url")),
                )
            )
    return tuple(rules)


def _fail(reader: Reader, block: Block) -> FailRule:
    return FailRule(reader.path(block.get("id")), reader.at(block.get("at")), reader.paths(block.get("text")))


def read_sequences(reader: Reader, blocks: Sequence[Block]) -> tuple[SequenceRule, ...]:
    """The `sequence` block."""
    rules = []
    for at, block in enumerate(blocks):
        with reader.problems.at("sequence", at):
            paths = {key: reader.path(block.get(key)) for key in ("at", "first", "last", "prev")}
            given = {key for key, path in paths.items() if path is not None}
            if given not in ({"at"}, {"first", "last"}, {"prev", "at"}):
                raise Malformed("write `at` (with `step`), `first` and `last`, or `prev` and `at`")
            per, repair = block.get("per", "topic"), block.get("gap", "mark")
            if per not in ("topic", "connection") or repair not in REPAIRS:
                raise Malformed(f"`per` is topic or connection, `gap` one of {', '.join(REPAIRS)}")
            rules.append(
                SequenceRule(
                    parse_for(block.get("for")),
                    step=block.get("step"),
                    per_connection=per == "connection",
                    repair=repair,
                    **paths,
                )
            )
    return tuple(rules)


def read_snapshots(reader: Reader, blocks: Sequence[Block]) -> tuple[Snapshot, ...]:
    """The `snapshot` block."""
    rules = []
    for at, block in enumerate(blocks):
        with reader.problems.at("snapshot", at):
            http = block.get("http")
            rules.append(
                Snapshot(
                    parse_for(block.get("for")),
                    when=reader.match(block.get("when")),
                    http=None if http is None else parse_http(http),
                    send=compile_node(block.get("send")),
                    sends=block.get("send") is not None,
                    last=reader.path(block.get("last")),
                )
            )
    return tuple(rules)
