"""Upstreams: what their blocks say to each other. Placeholders, paths and identities are `core.feed.build`'s affair."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from relayd.config.check.addresses import check_address
from relayd.config.check.files import check_pem
from relayd.config.check.streams import check_stream
from relayd.config.expressions import For
from relayd.config.model import Ack, Control, Upstream
from relayd.config.problem import KeyPath, Problem, Source

_SCHEME: Final = re.compile(r"([a-z]+)://(\[[0-9A-Fa-f:.]+\]|[^/:?#@]*)")


def check_upstream(name: str, upstream: Upstream, source: Source) -> Iterator[Problem]:
    """The problems of one upstream that its blocks have with each other."""
    check = _Check(("upstreams", name), upstream, source)
    yield from check.connect()
    yield from check.login()
    yield from check.topic()
    yield from check.asking()
    yield from check.control()
    yield from check.health()
    yield from check.state()
    yield from check_stream(upstream, check.path, source)
    for key in ("subscribe", "unsubscribe", "sequence", "snapshot"):
        yield from check.hidden(key, [variant.for_ for variant in getattr(upstream, key)])


class _Check:
    def __init__(self, path: KeyPath, upstream: Upstream, source: Source) -> None:
        self.path, self.upstream, self.source = path, upstream, source

    def connect(self) -> Iterator[Problem]:
        """The URL and the authorities."""
        connect = self.upstream.connect
        yield from check_pem(connect.tls.ca, (*self.path, "connect", "tls", "ca"), self.source)
        if connect.url.startswith("$"):
            return
        hit = _SCHEME.match(connect.url)
        is_stream = self.upstream.transport == "sse"
        plain, encrypted = ("http", "https") if is_stream else ("ws", "wss")
        if hit is None or hit[1] not in (plain, encrypted):
            what = f"not the URL of {'an event stream' if is_stream else 'a WebSocket'}"
            yield self._problem("connect", "url", what=what, expected=f"{plain}://... or {encrypted}://...")
        elif not hit[2]:
            yield self._problem("connect", "url", what="the URL names no host", expected=f"{encrypted}://host/path")
        elif what := check_address(hit[2].strip("[]"), connect.allow_addresses, "connect.allow_addresses"):
            yield self._problem("connect", "url", what=what, expected="another host, or its network there")

    def login(self) -> Iterator[Problem]:
        """Steps that say nothing, and answers that nobody waits for."""
        for at, step in enumerate(self.upstream.login):
            if step.send is None and step.expect is None:
                yield self._problem(
                    "login", at, what="a step that neither sends nor expects", expected="`send`, `expect` or both"
                )
            elif step.expect is None and (step.fail is not None or step.save):
                key = "fail" if step.fail is not None else "save"
                yield self._problem(
                    "login", at, key, what="no answer is waited for", expected="`expect` in the same step"
                )

    def topic(self) -> Iterator[Problem]:
        """Where the fields come from."""
        topic, binds = self.upstream.topic, list(self._binds())
        # A feed that pushes unasked may have no fields at all: everything it sends is for its routes' one topic.
        if topic.at is None and topic.bound is None and not topic.key_of and self.upstream.subscribe:
            yield self._problem(
                "topic", what="nothing says where the fields stand", expected="`at`, `bound` or `key_of`"
            )
        if topic.key_of and topic.at is not None:
            yield self._problem("topic", "key_of", what="two sources of the feed name", expected="`at` or `key_of`")
        if topic.bound is not None and not binds:
            what = "no message tells the id that is looked for here"
            yield self._problem("topic", "bound", what=what, expected="`bind` in `subscribe`, or in an `ack`")
        for place in binds if topic.bound is None else ():
            yield self._problem(*place, what="an id that no message is looked up by", expected="`bound` in `topic`")

    def _binds(self) -> Iterator[KeyPath]:
        for at, variant in enumerate(self.upstream.subscribe):
            if variant.bind is not None:
                yield ("subscribe", at, "bind")
            if variant.ack is not None and variant.ack.bind is not None:
                yield ("subscribe", at, "ack", "bind")
        for at, rule in enumerate(self.upstream.control):
            if rule.ack is not None and rule.ack.bind is not None:
                yield ("control", at, "ack", "bind")

    def asking(self) -> Iterator[Problem]:
        """Replies without a request, answers that confirm nothing."""
        for at, variant in enumerate(self.upstream.subscribe):
            for key, block in (("ack", variant.ack), ("fail", variant.fail)):
                if block is not None and variant.http is None:
                    what = "only a reply to `http` is read here"
                    yield self._problem("subscribe", at, key, what=what, expected="a rule in `control` for messages")
            if variant.whole and "$topics" not in str(variant.send) + str(variant.http):
                yield self._problem(
                    "subscribe", at, "whole", what="the message must hold the whole set", expected="$topics in it"
                )
            if variant.ack is not None:
                yield from self._ack(variant.ack, ("subscribe", at, "ack"))

    def control(self) -> Iterator[Problem]:
        """Rules that do nothing, and keys that belong to another `do`."""
        for at, rule in enumerate(self.upstream.control):
            place: KeyPath = ("control", at)
            if rule.ack is None and rule.fail is None and rule.send is None and rule.do is None:
                yield self._problem(*place, what="a rule that does nothing", expected="`ack`, `fail`, `send` or `do`")
            if rule.ack is not None:
                yield from self._ack(rule.ack, (*place, "ack"))
            yield from self._do(rule, place)

    def _do(self, rule: Control, place: KeyPath) -> Iterator[Problem]:
        for key, given, verb in (
            ("id", rule.id, "resubscribe"),
            ("at", rule.at, "resubscribe"),
            ("url", rule.url, "drain"),
        ):
            if given is not None and rule.do != verb:
                yield self._problem(*place, key, what=f"`{key}` has a meaning only with `do: {verb}`")
        if rule.id is not None and rule.at is not None:
            yield self._problem(*place, "at", what="the subscription is named twice", expected="`id` or `at`")

    def _ack(self, ack: Ack, place: KeyPath) -> Iterator[Problem]:
        if ack.id is None and ack.at is None and ack.all is None and ack.some is None and ack.not_ is None:
            yield self._problem(
                *place, what="it does not say what is confirmed", expected="`id`, `at`, `all`, `some` or `not`"
            )
        if ack.all is not None and (ack.some is not None or ack.not_ is not None):
            yield self._problem(
                *place, "all", what="`all` is everything, `some` and `not` are parts", expected="one of them"
            )

    def health(self) -> Iterator[Problem]:
        """Heartbeat, watchdogs, delays."""
        beat, silence, reconnect = self.upstream.heartbeat, self.upstream.silence, self.upstream.reconnect
        if beat is not None and beat.also is not None:
            for key, given in (("send", beat.send), ("expect", beat.expect)):
                if given is not None:
                    what = "a companion subscription (`also`) takes the place of a ping"
                    yield self._problem("heartbeat", key, what=what, expected="`also`, or `send` and `expect`")
        if silence.hours is not None and silence.any_s is None and silence.data_s is None:
            yield self._problem(
                "silence", "hours", what="no watchdog rests at night: there is none", expected="`any` or `data`"
            )
        if reconnect.min_s > reconnect.max_s:
            yield self._problem("reconnect", "min", what="more than `max`", expected=f"{reconnect.max_s:g}s or less")

    def state(self) -> Iterator[Problem]:
        """Snapshots and what asks for them."""
        fetched = any(one.http is not None or one.send is not None for one in self.upstream.snapshot)
        for at, snapshot in enumerate(self.upstream.snapshot):
            if snapshot.when is None and snapshot.http is None:
                what = "nothing says what a snapshot is"
                yield self._problem(
                    "snapshot", at, what=what, expected="`when`, with `send` where it is asked for, or `http`"
                )
            if snapshot.http is not None and snapshot.send is not None:
                yield self._problem(
                    "snapshot", at, "send", what="a snapshot is fetched or asked for", expected="`http` or `send`"
                )
        for at, sequence in enumerate(self.upstream.sequence):
            if sequence.gap == "resync" and not fetched:
                what = "no snapshot can be asked for"
                yield self._problem(
                    "sequence", at, "gap", what=what, expected="`resubscribe`, or a `snapshot` with `http` or `send`"
                )

    def hidden(self, key: str, variants: Sequence[For | None]) -> Iterator[Problem]:
        """Variants behind one that applies to everything."""
        for at in range(1, len(variants)):
            if variants[at - 1] is None:
                yield self._problem(
                    key,
                    at,
                    what="never used: the variant before it has no `for` and applies to all",
                    expected="`for` there",
                )

    def _problem(self, *place: str | int, what: str, expected: str = "") -> Problem:
        return self.source.problem(self.source.written(self.path, place), what, expected=expected)
