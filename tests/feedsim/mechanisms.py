"""Every mechanism of an upstream block: which feeds use it, the test that shows it, and how to take it out of the code.

A mechanism is taken out as if it had never been written: the compiled dialect comes without it, or the function that
does it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

from relayd.core.feed.decode import Decode
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.match import ALWAYS, FOR_ALL
from relayd.core.feed.sign import NO_SETS

Change = Callable[[Dialect], Dialect]
FEEDS = "tests/feedsim/test_feeds.py::"
ASKING = "tests/feedsim/test_asking.py::"
BOOKS = "tests/feedsim/test_books.py::"
FAULTS = "tests/feedsim/test_faults.py::"
FLEET = "tests/feedsim/test_fleet.py::"


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One row of the matrix."""

    name: str
    """The keys of relay.yaml, `.` between levels; `=` a value, `=$` a placeholder."""
    does: str
    test: str
    disable: Callable[[], None]


def patch(place: str, replacement: Any) -> Callable[[], None]:
    """Puts something else in the place of `module:attribute` or `module:Class.attribute`."""

    def act() -> None:
        module, _, path = place.partition(":")
        owner: Any = import_module(module)
        *parents, name = path.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        assert hasattr(owner, name), place
        setattr(owner, name, replacement)

    return act


def without(change: Change) -> Callable[[], None]:
    """Every dialect that the program compiles is changed."""

    def act() -> None:
        import relayd.app.feeds as feeds

        compile_upstream = feeds.compile_upstream
        feeds.compile_upstream = lambda block: replace(change(compile_upstream(block)), extractor=None)

    return act


def nothing(*_: object, **__: object) -> None:
    """Does nothing."""


def no_fields(**parts: Any) -> Callable[[], None]:
    """The `topic` block without some of its parts."""
    return without(lambda dialect: replace(dialect, fields=replace(dialect.fields, **parts)))


def variants(**parts: Any) -> Callable[[], None]:
    """`subscribe` and `unsubscribe` without some of their parts."""

    def change(dialect: Dialect) -> Dialect:
        asks = tuple(replace(one, **parts) for one in dialect.subscribe)
        return replace(dialect, subscribe=asks, unsubscribe=tuple(replace(one, **parts) for one in dialect.unsubscribe))

    return without(change)


def rules(keep: Callable[[Any], bool] = lambda rule: True, change: Callable[[Any], Any] = lambda rule: rule) -> Any:
    """`control` without some of its rules, or with others."""
    return without(lambda one: replace(one, control=tuple(change(rule) for rule in one.control if keep(rule))))


def sequences(keep: Callable[[Any], bool]) -> Callable[[], None]:
    """`sequence` without some of its variants."""
    return without(lambda one: replace(one, sequences=tuple(rule for rule in one.sequences if keep(rule))))


def limits(**parts: Any) -> Callable[[], None]:
    """`limits` without some of its keys."""
    return without(lambda one: replace(one, limits=replace(one.limits, **parts)))


def _ack_without(part: str) -> Callable[[Any], Any]:
    return lambda rule: rule if rule.ack is None else replace(rule, ack=replace(rule.ack, **{part: None}))


def _no_keep(dialect: Dialect) -> Dialect:
    steps = tuple(replace(step, keep=False) for step in dialect.connect.before)
    return replace(dialect, connect=replace(dialect.connect, before=steps))


def _silence(**parts: Any) -> Callable[[], None]:
    return without(lambda one: replace(one, silence=replace(one.silence, **parts)))


def _heartbeat(**parts: Any) -> Callable[[], None]:
    return without(lambda one: replace(one, heartbeat=one.heartbeat and replace(one.heartbeat, **parts)))


def _connect(**parts: Any) -> Callable[[], None]:
    return without(lambda one: replace(one, connect=replace(one.connect, **parts)))


def _no_http_snapshot(dialect: Dialect) -> Dialect:
    return replace(dialect, snapshots=tuple(replace(one, http=None) for one in dialect.snapshots))


LONE = partial(patch, "relayd.core.upstream.connection:Connection._repair")

MECHANISMS = (
    Mechanism(
        "transport=sse", "server-sent events", FEEDS + "OtherFeedTests::test_wikimedia",
        patch("relayd.core.event_stream:EventStream.feed", lambda *_: []),
    ),
    Mechanism("connect.before", "HTTP steps at each dial", FEEDS + "ExchangeTests::test_kucoin", _connect(before=())),
    Mechanism(
        "connect.before.keep", "what is kept until refused", FEEDS + "OtherFeedTests::test_kabu", without(_no_keep)
    ),
    Mechanism(
        "connect.protocols", "subprotocols", FEEDS + "OtherFeedTests::test_graphql", _connect(protocols=())
    ),
    Mechanism("connect.max_age", "an end by age", ASKING + "AgeTests::test_max_age", _connect(max_age_s=None)),
    Mechanism(
        "login", "steps before anything else", FEEDS + "OtherFeedTests::test_homeassistant",
        without(lambda one: replace(one, login=())),
    ),
    Mechanism(
        "login.fail", "a refusal is no loss", FAULTS + "LoginTests::test_refused",
        without(lambda one: replace(one, login=tuple(replace(step, fail=None) for step in one.login))),
    ),
    Mechanism(
        "topics", "a table of feed names", FEEDS + "OtherFeedTests::test_graphql",
        without(lambda one: replace(one, topics=None)),
    ),
    Mechanism(
        "topic.at", "fields by path", FEEDS + "ExchangeTests::test_okx", no_fields(at={}, name_at=())
    ),
    Mechanism("topic.name", "a feed name taken apart", FEEDS + "ExchangeTests::test_htx", no_fields(name=None)),
    Mechanism("topic.key_of", "told by a key", FEEDS + "OtherFeedTests::test_mempool", no_fields(key_of=())),
    Mechanism("topic.map", "values renamed", FEEDS + "ExchangeTests::test_coinbase", no_fields(map={})),
    Mechanism("topic.types", "values that are no texts", FEEDS + "OtherFeedTests::test_kabu", no_fields(types={})),
    Mechanism("topic.when", "what is data", ASKING + "DataTests::test_when", no_fields(when=ALWAYS)),
    Mechanism("topic.unless", "what is no data", FEEDS + "ExchangeTests::test_okx", no_fields(unless=None)),
    Mechanism("topic.bound", "an id stands for the topic", FEEDS + "OtherFeedTests::test_wamp", no_fields(bound=None)),
    Mechanism(
        "control.ack.bind", "an id that the ack tells", FEEDS + "ExchangeTests::test_bitfinex",
        rules(change=_ack_without("bind")),
    ),
    Mechanism(
        "control.ack.bind", "data before its ack is held", FEEDS + "ExchangeTests::test_bitfinex",
        patch("relayd.core.feed.held:HeldMessages.hold", lambda *_: False),
    ),
    Mechanism(
        "subscribe.bind", "an id that we choose", FEEDS + "OtherFeedTests::test_homeassistant", variants(bind=None)
    ),
    Mechanism(
        "decode.binary", "gzip", FEEDS + "ExchangeTests::test_htx",
        without(lambda one: replace(one, decode=Decode())),
    ),
    Mechanism(
        "decode.split", "several messages in a frame", FEEDS + "OtherFeedTests::test_homeassistant",
        without(lambda one: replace(one, decode=Decode())),
    ),
    Mechanism(
        "dedupe", "said again, published once", FEEDS + "OtherFeedTests::test_twitch",
        without(lambda one: replace(one, dedupe=())),
    ),
    Mechanism(
        "payload", "a slice of the raw bytes", FEEDS + "ExchangeTests::test_binance",
        without(lambda one: replace(one, payload=())),
    ),
    Mechanism(
        "subscribe.for", "variants", FEEDS + "ExchangeTests::test_bitfinex", variants(applies=FOR_ALL)
    ),
    Mechanism("subscribe.set", "signatures", FEEDS + "ExchangeTests::test_coinbase", variants(sets=NO_SETS)),
    Mechanism(
        "subscribe.verbs", "the feed's own verbs", FEEDS + "ExchangeTests::test_htx",
        variants(verbs=("subscribe", "unsubscribe")),
    ),
    Mechanism("subscribe.each", "members of a batch", FEEDS + "ExchangeTests::test_okx", variants(each=None)),
    Mechanism("subscribe.join", "members in one text", FEEDS + "ExchangeTests::test_kucoin", variants(join=None)),
    Mechanism("subscribe.batch", "members at most", ASKING + "MessageTests::test_batch", variants(batch=None)),
    Mechanism("subscribe.bytes", "length at most", ASKING + "MessageTests::test_bytes", variants(bytes=None)),
    Mechanism("subscribe.whole", "all in one message", ASKING + "MessageTests::test_whole", variants(whole=False)),
    Mechanism("subscribe.http", "subscribed by HTTP", FEEDS + "OtherFeedTests::test_kabu", variants(http=None)),
    Mechanism("subscribe.in", "topics in the URL", FEEDS + "OtherFeedTests::test_jetstream", variants(in_url=False)),
    Mechanism(
        "subscribe.within", "no answer in time", FAULTS + "PartialFailureTests::test_no_ack_at_all",
        variants(within_s=None),
    ),
    Mechanism(
        "control.ack.id", "acks by id", ASKING + "AckTests::test_by_id",
        rules(lambda rule: rule.ack is None or rule.ack.id is None),
    ),
    Mechanism(
        "control.ack.at", "acks by fields", ASKING + "AckTests::test_by_fields",
        rules(lambda rule: rule.ack is None or rule.ack.at is None),
    ),
    Mechanism(
        "control.ack.all", "acks that state all", ASKING + "AckTests::test_by_the_whole_list",
        rules(lambda rule: rule.ack is None or rule.ack.all is None),
    ),
    Mechanism(
        "control.ack.some", "acks that list what was taken",
        ASKING + "AckTests::test_by_a_list_of_those_that_were_taken", rules(change=_ack_without("some")),
    ),
    Mechanism(
        "control.ack.not", "acks that list what was not taken",
        FAULTS + "PartialFailureTests::test_those_that_were_not_taken_are_listed", rules(change=_ack_without("but")),
    ),
    Mechanism(
        "subscribe.ack", "acks by an HTTP reply",
        FAULTS + "PartialFailureTests::test_a_reply_names_those_that_were_taken",
        variants(ack=None),
    ),
    Mechanism(
        "control.fail", "refusals, also of a part", FAULTS + "PartialFailureTests::test_one_of_a_batch_is_named",
        rules(lambda rule: rule.fail is None),
    ),
    Mechanism(
        "control.fail", "refusals after the ack", FAULTS + "PartialFailureTests::test_revoked_after_the_ack",
        rules(lambda rule: rule.fail is None),
    ),
    Mechanism(
        "control.fail.id", "halving until the culprit is alone",
        FAULTS + "PartialFailureTests::test_a_batch_fails_and_nobody_says_which",
        patch("relayd.core.upstream.suspects:Suspects.refused", nothing),
    ),
    Mechanism(
        "control.send", "answers", FEEDS + "OtherFeedTests::test_graphql", rules(lambda rule: not rule.sends)
    ),
    Mechanism(
        "control.do=beat", "known, and no data", FEEDS + "ExchangeTests::test_bitfinex",
        rules(lambda rule: rule.do != "beat"),
    ),
    Mechanism(
        "control.do=drain", "a planned close", FAULTS + "PlannedCloseTests::test_bitstamp",
        rules(lambda rule: rule.do != "drain"),
    ),
    Mechanism(
        "control.do=reconnect", "told to reconnect", FAULTS + "PlannedCloseTests::test_bitfinex",
        rules(lambda rule: rule.do != "reconnect"),
    ),
    Mechanism(
        "control.do=resubscribe", "ended by the feed", FEEDS + "OtherFeedTests::test_graphql",
        rules(lambda rule: rule.do != "resubscribe"),
    ),
    Mechanism(
        "heartbeat.send", "beats of ours", FAULTS + "SilenceTests::test_beats_are_no_data",
        without(lambda one: replace(one, beat=None)),
    ),
    Mechanism(
        "heartbeat.within", "beats without an answer", FAULTS + "SilenceTests::test_a_heartbeat_without_an_answer",
        _heartbeat(within_s=None),
    ),
    Mechanism(
        "heartbeat.every=$", "a pace that the feed tells", FEEDS + "ExchangeTests::test_kucoin",
        patch("relayd.core.feed.conversation:Conversation.heartbeat_every_s", nothing),
    ),
    Mechanism(
        "heartbeat.also", "a companion subscription", FEEDS + "ExchangeTests::test_coinbase",
        without(lambda one: replace(one, beat=one.beat and replace(one.beat, also=None))),
    ),
    Mechanism("silence.any", "no frame", FAULTS + "SilenceTests::test_nothing_at_all", _silence(any_s=None)),
    Mechanism("silence.data", "no data", FAULTS + "SilenceTests::test_beats_are_no_data", _silence(data_s=None)),
    Mechanism(
        "sequence.step", "numbers in steps", FAULTS + "GapTests::test_a_message_is_missing",
        sequences(lambda rule: rule.step is None or rule.prev is not None),
    ),
    Mechanism(
        "sequence.first", "ranges", BOOKS + "FetchedSnapshotTests::test_a_missing_delta",
        sequences(lambda rule: rule.first is None),
    ),
    Mechanism(
        "sequence.prev", "links", FAULTS + "GapTests::test_asked_for_anew", sequences(lambda rule: rule.prev is None)
    ),
    Mechanism(
        "sequence.per", "a counter of the connection", FAULTS + "GapTests::test_a_counter_of_the_connection",
        patch("relayd.core.feed.sequence:ConnectionCounter.count", nothing),
    ),
    Mechanism("sequence.gap=resubscribe", "asked for anew", FAULTS + "GapTests::test_asked_for_anew", LONE(nothing)),
    Mechanism(
        "sequence.gap=resubscribe", "at most three repairs", FAULTS + "GapTests::test_asked_for_anew",
        patch("relayd.core.upstream.connection:Connection._allowed", lambda self, subjects, *_: list(subjects)),
    ),
    Mechanism(
        "sequence.gap=resync", "a new snapshot", BOOKS + "FetchedSnapshotTests::test_a_missing_delta", LONE(nothing)
    ),
    Mechanism(
        "sequence.gap=reconnect", "a new connection", FAULTS + "GapTests::test_a_counter_of_the_connection",
        LONE(nothing),
    ),
    Mechanism(
        "snapshot.when", "the state for whoever comes later", BOOKS + "SecondBrowserTests::test_kraken",
        without(lambda one: replace(one, snapshots=())),
    ),
    Mechanism(
        "snapshot.http", "a snapshot that is fetched", BOOKS + "FetchedSnapshotTests::test_inside_the_deltas",
        without(_no_http_snapshot),
    ),
    Mechanism(
        "snapshot.last", "joined to its deltas", BOOKS + "FetchedSnapshotTests::test_older_than_the_deltas",
        patch("relayd.core.feed.snapshot:Joining.join", lambda self, snapshot: tuple(self._waiting)),
    ),
    Mechanism(
        "limits.send", "frames, pongs among them", FAULTS + "LimitTests::test_no_window_of_frames_holds_more",
        limits(send=None),
    ),
    Mechanism("limits.connect", "dials", ASKING + "PaceTests::test_connects", limits(connect=None)),
    Mechanism("limits.subscribe", "subscribe messages", ASKING + "PaceTests::test_subscribes", limits(subscribe=None)),
    Mechanism("limits.http", "HTTP requests", ASKING + "PaceTests::test_requests", limits(http=None)),
    Mechanism(
        "limits.topics", "subscriptions at most", FAULTS + "PartialFailureTests::test_more_than_the_feed_takes",
        limits(topics=None),
    ),
    Mechanism(
        "limits.connections", "connections at most", FLEET + "ManyTopicsTests::test_as_many_as_are_allowed",
        limits(connections=None),
    ),
    Mechanism(
        "limits.topics", "more connections for more topics", FLEET + "ManyTopicsTests::test_sixty_over_three",
        patch("relayd.core.upstream.fleet:UNTOLD_MOST", 1),
    ),
    Mechanism(
        "control.do=drain", "without a gap", FLEET + "DrainTests::test_okx",
        patch("relayd.core.upstream.fleet:Fleet._renew", nothing),
    ),
    Mechanism(
        "connect.max_age", "without a gap", FLEET + "DrainTests::test_by_age",
        patch("relayd.core.upstream.fleet:Fleet._renew", nothing),
    ),
    Mechanism(
        "subscribe.in", "other topics without a gap", FLEET + "UrlTests::test_one_topic_more",
        patch("relayd.core.upstream.fleet:Fleet._renew", nothing),
    ),
    Mechanism(
        "control.url", "to another address", FLEET + "DrainTests::test_to_another_address",
        rules(change=lambda rule: replace(rule, url=None)),
    ),
    Mechanism(
        "reconnect.codes", "close codes that decide", FAULTS + "LoginTests::test_a_close_code_that_says_stop",
        patch("relayd.core.feed.spec:ReconnectSpec.after_code", nothing),
    ),
    Mechanism(
        "reconnect.status", "HTTP statuses that decide", FAULTS + "CursorTests::test_a_point_that_is_too_old",
        patch("relayd.core.feed.spec:ReconnectSpec.after_status", nothing),
    ),
    Mechanism(
        "cursor", "a point to resume from", FEEDS + "OtherFeedTests::test_jetstream",
        patch("relayd.core.feed.resume:Resume.connected", nothing),
    ),
    Mechanism(
        "cursor", "an id that goes back as it came", FEEDS + "OtherFeedTests::test_wikimedia",
        patch("relayd.core.feed.resume:Resume.connected", nothing),
    ),
    Mechanism(
        "cursor", "taken over from a connection that is lost", FLEET + "CursorTests::test_the_old_one_is_cut_first",
        patch("relayd.core.feed.resume:Resume.adopt", nothing),
    ),
    Mechanism(
        "limits.connections", "the last slot is held by a takeover",
        FLEET + "ManyTopicsTests::test_while_one_takes_over",
        patch("relayd.core.upstream.seating:Seating._may_add", nothing),
    ),
    Mechanism(
        "snapshot", "asked for anew where it is retained no more",
        BOOKS + "RefreshedSnapshotTests::test_who_joins_during_the_refresh",
        patch("relayd.core.upstream.fleet:Fleet.refresh", nothing),
    ),
    Mechanism(
        "cursor.rewind", "what is replayed is dropped", FEEDS + "OtherFeedTests::test_jetstream",
        patch("relayd.core.feed.resume:Resume.replayed", lambda self, point, payload: setattr(self, "cursor", point)),
    ),
)  # fmt: skip


def uses(block: Mapping[str, Any], name: str) -> bool:
    """Whether an upstream block uses a mechanism."""
    return _has(block, name.split("."))


def _has(value: Any, path: list[str]) -> bool:
    if isinstance(value, list):
        return any(_has(one, path) for one in value)
    first, *rest = path
    key, _, wanted = first.partition("=")
    if not isinstance(value, Mapping) or key not in value:
        return False
    if wanted:
        return wanted in str(value[key]) if wanted == "$" else value[key] == wanted
    return not rest or _has(value[key], rest)
