"""Routes out of the file."""

from __future__ import annotations

from relayd.config.compile import compile_routes
from relayd.config.load import loads
from relayd.core.auth.access import Access, Anyone, Claim, Literal, OfField
from relayd.core.routes import Form, Mode, Route

UPSTREAM = """
upstreams:
  up:
    connect: {url: "ws://127.0.0.1:1/"}
    topic: {at: {channel: type, symbol: product_id}}
    subscribe: {each: $symbol, send: {op: $verb, channel: $channel, symbols: $topics}}
    snapshot: {for: {channel: "book*"}, when: {type: snapshot}}
"""


def routes(text: str) -> list[Route]:
    """The compiled routes of a file with that block."""
    return compile_routes(loads(UPSTREAM + text, "relay.yaml", {}))


class CompileRoutesTests:
    """What the file leaves open is settled here."""

    def test_mode_follows_the_snapshot(self) -> None:
        """Lossless where deltas follow a snapshot, else a queue; conflation only where it is said."""
        compiled = routes("""
routes:
  - {topic: b/$symbol, upstream: up, allow: {channel: [book], symbol: [A]}}
  - {topic: t/$symbol, upstream: up, allow: {channel: [ticker], symbol: [A]}}
  - {topic: c/$symbol, upstream: up, allow: {channel: [trades], symbol: [A]}, deliver: {mode: conflate, max_hz: 5}}
""")
        assert [(route.delivery.mode, route.delivery.deltas, route.delivery.max_hz) for route in compiled] == [
            (Mode.LOSSLESS, True, None), (Mode.QUEUE, False, None), (Mode.CONFLATE, False, 5.0),
        ]  # fmt: skip

    def test_deltas_by_glob(self) -> None:
        """What `allow` lists as a glob is a state too, where the snapshot is for the same glob."""
        [route] = routes("""
routes:
  - {topic: b/$channel/$symbol, upstream: up, allow: {channel: "book*", symbol: [A]}}
""")
        assert route.delivery.deltas

    def test_delivery(self) -> None:
        """Every key arrives, in its unit."""
        [route] = routes("""
routes:
  - topic: t/$symbol
    upstream: up
    allow: {channel: [ticker], symbol: [A]}
    stale_after: 3s
    linger: 1m
    deliver: {mode: conflate, key: a.b, history: 7/2m/3KiB, max_lag: 4s, slow_after: 20s, as: text, stamp: true}
""")
        delivery = route.delivery
        assert (delivery.history_count, delivery.history_age_s, delivery.history_bytes) == (7, 120.0, 3072)
        assert (delivery.max_lag_s, delivery.slow_after_s, delivery.stamp) == (4.0, 20.0, True)
        assert (delivery.form, route.stale_after_s, route.linger_s) == (Form.TEXT, 3.0, 60.0)
        assert delivery.key_of is not None and delivery.key_of(b'{"a":{"b":5}}') == 5

    def test_pin(self) -> None:
        """`true` is every topic of finite lists; a list is itself; nothing is none."""
        compiled = routes("""
routes:
  - {topic: t/$symbol, upstream: up, allow: {channel: [ticker], symbol: [A, B]}, pin: true}
  - {topic: u/$symbol, upstream: up, allow: {channel: [other], symbol: "*"}, pin: [u/X]}
  - {topic: v/$symbol, upstream: up, allow: {channel: [third], symbol: [A]}}
""")
        assert [route.pin for route in compiled] == [("t/A", "t/B"), ("u/X",), ()]

    def test_local(self) -> None:
        """A route without an upstream."""
        [route] = routes("""
routes:
  - {topic: chat/$room, allow: {room: any}, access: {publish: public}}
""")
        assert (route.upstream, route.delivery.mode, route.delivery.deltas) == (None, Mode.QUEUE, False)
        assert route.access.publish is Anyone.PUBLIC

    def test_access(self) -> None:
        """Words and claims; `$name` is a field."""
        [first, second] = routes("""
auth: {webhook: {url: "https://a.example/"}}
routes:
  - {topic: t/$symbol, upstream: up, allow: {channel: [ticker], symbol: [A]}}
  - topic: u/$symbol
    upstream: up
    allow: {channel: [other], symbol: [A]}
    access: {subscribe: {sub: $symbol, role: [x, 5]}}
""")
        assert first.access == Access(Anyone.PUBLIC, Anyone.NOBODY)
        claims = (Claim("sub", (OfField("symbol"),)), Claim("role", (Literal("x"), Literal("5"))))
        assert second.access == Access(claims, Anyone.NOBODY)
