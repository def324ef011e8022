"""What the blocks of an upstream say to each other."""

from __future__ import annotations

# Messages stand here as a person reads them: in one line.
# ruff: noqa: E501
import pytest

from tests.support.relay_yaml import ROUTE, UPSTREAM, problems, relay_yaml, told

PUSHED = "connect: {url: 'wss://a'}\ntopic: {at: {channel: type, symbol: s}}\n"


def about(upstream: str) -> list[str]:
    """What is said of an upstream, without its path."""
    return [one.removeprefix("upstreams.feed.") for one in told(relay_yaml(upstream)) if one.startswith("upstreams.")]


def url(text: str, keys: str = "") -> list[str]:
    """What is said of a URL."""
    return about(PUSHED.replace("{url: 'wss://a'}", f"{{url: '{text}'{keys}}}"))


class ConnectTests:
    """The URL and the authorities."""

    @pytest.mark.parametrize(
        "text", ["wss://a", "ws://127.0.0.1:9443/x", "ws://[::1]:1/", "${host}", "$host", "wss://${env.H:-a}/"]
    )
    def test_good(self, text):
        """A WebSocket's, or whatever was saved."""
        save = ", before: [{http: {url: 'https://b'}, save: {host: h}}]" if "host" in text else ""
        assert url(text, save) == []

    @pytest.mark.parametrize("text", ["https://a", "a", "//a", "WSS://a", "wss:a"])
    def test_scheme(self, text):
        """ws: or wss:."""
        assert url(text) == ["connect.url: not the URL of a WebSocket (expected ws://... or wss://...)"]

    @pytest.mark.parametrize("text", ["wss:///x", "wss://:443/"])
    def test_no_host(self, text):
        """A URL names its host."""
        assert url(text) == ["connect.url: the URL names no host (expected wss://host/path)"]

    @pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]"])
    def test_addresses_that_are_not_dialled(self, host):
        """Cloud metadata services answer there; who knows better names the network."""
        [problem] = url(f"ws://{host}/")
        assert problem.startswith(f"connect.url: {host.strip('[]')} is a link-local address, where clouds keep their metadata;")
        assert problem.endswith("connect.allow_addresses does not name it (expected another host, or its network there)")
        assert url(f"ws://{host}/", ", allow_addresses: [169.254.0.0/16, 'fe80::/10']") == []

    def test_authorities(self, tmp_path):
        """A file that is there."""
        assert url("wss://a", f", tls: {{ca: {tmp_path}/none}}") == [
            f"connect.tls.ca: {tmp_path}/none cannot be read: No such file or directory (expected a PEM file)"
        ]
        (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----")
        assert url("wss://a", f", tls: {{ca: {tmp_path}/ca.pem}}") == []


class LoginTests:
    """Steps of a login."""

    def test_nothing(self):
        """A step sends or expects."""
        assert about(PUSHED + "login: [{send: hi}, {expect: hi}, {within: 5s}]") == [
            "login[2]: a step that neither sends nor expects (expected `send`, `expect` or both)"
        ]

    @pytest.mark.parametrize(
        ("keys", "key"), [("fail: no", "fail"), ("save: {a: b}", "save"), ("fail: no, save: {a: b}", "fail")]
    )
    def test_no_answer(self, keys, key):
        """Nobody waits for what would be looked at."""
        assert about(PUSHED + f"login: [{{send: hi, {keys.replace(': no', ': nope')}}}]") == [
            f"login[0].{key}: no answer is waited for (expected `expect` in the same step)"
        ]


class TopicTests:
    """Where the fields come from."""

    def test_nowhere(self):
        """Something must say it, unless the feed pushes one thing unasked."""
        for topic in ("topic: {when: {a: 1}}", "dial: start"):
            pushed = f"connect: {{url: 'wss://a'}}\n{topic}"
            assert told(relay_yaml(pushed, "{topic: x, upstream: feed}")) == []
        asked = "connect: {url: 'wss://a'}\ntopic: {when: {a: 1}}\nsubscribe: {send: hi}"
        assert told(relay_yaml(asked, "{topic: x, upstream: feed}")) == [
            "upstreams.feed.topic: nothing says where the fields stand (expected `at`, `bound` or `key_of`)"
        ]

    def test_twice(self):
        """One source of the feed name."""
        text = relay_yaml("connect: {url: 'wss://a'}\ntopic: {at: x, key_of: [a]}", "{topic: x, upstream: feed}")
        assert told(text) == ["upstreams.feed.topic.key_of: two sources of the feed name (expected `at` or `key_of`)"]

    def test_bound_to_nothing(self):
        """Some message must tell the id."""
        upstream = "connect: {url: 'wss://a'}\ntopic: {bound: id}\nsubscribe: {send: {c: $channel, s: $symbol}}"
        assert about(upstream) == [
            "topic.bound: no message tells the id that is looked for here (expected `bind` in `subscribe`, or in an `ack`)"
        ]

    @pytest.mark.parametrize(
        "binds",
        [
            "subscribe: {send: {c: $channel, s: $symbol, id: $id}, bind: $id}",
            "subscribe: {send: {c: $channel, s: $symbol}}\ncontrol: {when: {a: 1}, ack: {id: i, bind: b}}",
            "subscribe: {http: {method: POST, url: 'https://a/$channel/$symbol'}, ack: {at: {symbol: s}, bind: b}}",
        ],
    )
    def test_bound(self, binds):
        """We chose it, or an ack told it."""
        assert about(f"connect: {{url: 'wss://a'}}\ntopic: {{bound: id}}\n{binds}") == []

    def test_bound_by_nobody(self):
        """An id that no message is looked up by."""
        assert about(
            UPSTREAM.replace("each:", "bind: $id, each:") + "control: [{when: {a: 1}, ack: {id: i, bind: b}}]"
        ) == [
            "subscribe.bind: an id that no message is looked up by (expected `bound` in `topic`)",
            "control[0].ack.bind: an id that no message is looked up by (expected `bound` in `topic`)",
        ]
        http = "subscribe: {http: {url: 'https://a/$channel/$symbol'}, ack: {at: {symbol: s}, bind: b}}"
        assert about(PUSHED + http) == [
            "subscribe.ack.bind: an id that no message is looked up by (expected `bound` in `topic`)"
        ]


class AskingTests:
    """Requests and replies."""

    @pytest.mark.parametrize("key", ["ack: {id: x}", "fail: {text: x}"])
    def test_reply_without_request(self, key):
        """Messages are `control`'s affair."""
        assert about(UPSTREAM.replace("each:", f"{key}, each:")) == [
            f"subscribe.{key.split(':')[0]}: only a reply to `http` is read here (expected a rule in `control` for messages)"
        ]

    def test_whole(self):
        """A message that replaces the set must hold it."""
        assert about(UPSTREAM.replace("each:", "whole: true, each:")) == []
        assert (
            about(
                PUSHED
                + "subscribe: {whole: true, http: {url: 'https://a', json: {s: $topics, c: $channel}}, each: $symbol}"
            )
            == []
        )
        assert about(PUSHED + "subscribe: [{whole: true, send: {c: $channel, s: $symbol}}]") == [
            "subscribe[0].whole: the message must hold the whole set (expected $topics in it)"
        ]


class ControlTests:
    """Rules for messages that hold no data."""

    @pytest.mark.parametrize(
        ("rule", "said"),
        [
            ("", ": a rule that does nothing (expected `ack`, `fail`, `send` or `do`)"),
            (", ack: {}", ".ack: it does not say what is confirmed (expected `id`, `at`, `all`, `some` or `not`)"),
            (
                ", ack: {all: a, some: b}",
                ".all: `all` is everything, `some` and `not` are parts (expected one of them)",
            ),
            (", ack: {all: a, not: b}", ".all: `all` is everything, `some` and `not` are parts (expected one of them)"),
            (", do: beat, id: a", ".id: `id` has a meaning only with `do: resubscribe`"),
            (", do: reconnect, at: a", ".at: `at` has a meaning only with `do: resubscribe`"),
            (", do: reconnect, url: a", ".url: `url` has a meaning only with `do: drain`"),
            (", do: resubscribe, id: a, at: b", ".at: the subscription is named twice (expected `id` or `at`)"),
        ],
    )
    def test_bad(self, rule, said):
        """What has no meaning is told."""
        place = "control[0].ack" if said.startswith(".all") else "control[0]"
        assert about(UPSTREAM + f"control: [{{when: {{a: 1}}{rule}}}]") == [place + said]

    @pytest.mark.parametrize(
        "rule",
        [", ack: {id: a}", ", ack: {at: a}", ", ack: {all: a}", ", ack: {some: a, not: b}", ", fail: {}", ", send: x", ", do: beat",
         ", do: resubscribe, id: a", ", do: resubscribe, at: a", ", do: drain, url: a"],
    )  # fmt: skip
    def test_good(self, rule):
        """Nothing to say."""
        assert about(UPSTREAM + f"control: [{{when: {{a: 1}}{rule}}}]") == []


class HealthTests:
    """Heartbeat, watchdogs, delays."""

    @pytest.mark.parametrize("key", ["send", "expect"])
    def test_companion(self, key):
        """It takes the place of a ping."""
        block = UPSTREAM + f"heartbeat: {{also: {{channel: beat, symbol: $symbol}}, {key}: x}}"
        assert about(block) == [
            f"heartbeat.{key}: a companion subscription (`also`) takes the place of a ping (expected `also`, or `send` and `expect`)"
        ]

    @pytest.mark.parametrize(
        "beat", ["off", "{also: {channel: beat, symbol: $symbol}}", "{send: ping, expect: pong}", "{}"]
    )
    def test_heartbeats(self, beat):
        """Nothing to say."""
        assert about(UPSTREAM + f"heartbeat: {beat}") == []

    def test_hours(self):
        """Without a watchdog nobody rests."""
        hours = 'hours: "09:00-15:30 Asia/Tokyo mon-fri"'
        assert about(UPSTREAM + f"silence: {{{hours}}}") == [
            "silence.hours: no watchdog rests at night: there is none (expected `any` or `data`)"
        ]
        assert about(UPSTREAM + f"silence: {{any: 5s, {hours}}}") == []
        assert about(UPSTREAM + f"silence: {{data: 5s, {hours}}}") == []

    def test_delays(self):
        """The first is not the longest."""
        assert about(UPSTREAM + "reconnect: {min: 2m}") == ["reconnect.min: more than `max` (expected 60s or less)"]


class StateTests:
    """Snapshots and sequences."""

    def test_snapshot(self):
        """Something says what it is."""
        assert about(UPSTREAM + "snapshot: {send: {get: $symbol}}") == [
            "snapshot: nothing says what a snapshot is (expected `when`, with `send` where it is asked for, or `http`)"
        ]
        assert about(UPSTREAM + "snapshot: [{when: {a: 1}, send: {get: $symbol}, http: {url: 'https://a'}}]") == [
            "snapshot[0].send: a snapshot is fetched or asked for (expected `http` or `send`)"
        ]

    def test_resync(self):
        """A snapshot that can be asked for."""
        assert about(UPSTREAM + "sequence: {at: seq, gap: resync}\nsnapshot: {when: {a: 1}}") == [
            "sequence.gap: no snapshot can be asked for (expected `resubscribe`, or a `snapshot` with `http` or `send`)"
        ]
        assert about(UPSTREAM + "sequence: {at: seq, gap: resync}\nsnapshot: {http: {url: 'https://a'}}") == []
        assert about(UPSTREAM + "sequence: {at: seq, gap: mark}") == []


class HiddenTests:
    """Variants that are never used."""

    @pytest.mark.parametrize(
        ("block", "place"),
        [
            ("sequence: [{at: a}, {for: {channel: x}, at: b}]", "sequence[1]"),
            ("snapshot: [{when: {a: 1}}, {when: {a: 2}}]", "snapshot[1]"),
            (
                "unsubscribe: [{each: $symbol, send: {c: $channel, s: $topics}}, {send: {c: $channel, s: $symbol}}]",
                "unsubscribe[1]",
            ),
        ],
    )
    def test_hidden(self, block, place):
        """The one before it applies to all."""
        assert about(UPSTREAM + block) == [
            f"{place}: never used: the variant before it has no `for` and applies to all (expected `for` there)"
        ]

    def test_last(self):
        """The last one may apply to all."""
        assert about(UPSTREAM + "sequence: [{for: {channel: x}, at: b}, {at: a}]") == []


class PlaceTests:
    """Where it stands in the file."""

    def test_alone_or_in_a_list(self):
        """A variant that stands alone has no position."""
        alone = UPSTREAM + "control:\n  when: {a: 1}"
        listed = UPSTREAM + "control:\n- when: {a: 1}"
        assert [one.split(": a rule")[0] for one in problems(relay_yaml(alone, ROUTE))] == [
            "7:7: upstreams.feed.control"
        ]
        assert [one.split(": a rule")[0] for one in problems(relay_yaml(listed, ROUTE))] == [
            "7:7: upstreams.feed.control[0]"
        ]
