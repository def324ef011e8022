"""`relayd check --topics`: what would be sent, and how what comes would be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relayd.cli.main import main

FILE = """\
upstreams:
  feed:
    connect: {url: "wss://feed.example/?key=${env.FEED_KEY}"}
    topic: {at: {kind: type, symbol: id}}
    subscribe: {each: $symbol, send: {op: $verb, kind: $kind, ids: $topics}}
    control: [{when: {type: ok}, do: beat}]
  other:
    connect: {url: "wss://other.example/"}
    topic: {at: {symbol: id}}
    subscribe: {send: {op: $verb, id: $symbol}}
routes:
  - {topic: m/$kind/$symbol, upstream: feed, allow: {kind: [price], symbol: "*-USD"}}
  - {topic: o/$symbol, upstream: other, allow: {symbol: any}}
  - {topic: chat/$room, allow: {room: any}, access: {publish: public}}
"""
MESSAGES = """\
{"type":"price","id":"A-USD","n":1}
{"type":"price","id":"B-USD"}
{"type":"ok"}
"""


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs `relayd check relay.yaml ...`."""
    monkeypatch.chdir(tmp_path)
    Path("relay.yaml").write_text(FILE)
    Path("sample.jsonl").write_text(MESSAGES)

    def run(*args: str) -> Result:
        return CliRunner().invoke(main, ["check", "relay.yaml", *args], env={"FEED_KEY": "hunter2"})

    return run


STREAM = """\
upstreams:
  feed:
    transport: sse
    connect: {url: "https://feed.example/$topics"}
    topic: {at: s}
    subscribe: {in: url, join: ","}
routes:
  - {topic: e/$name, upstream: feed, allow: {name: any}}
"""
SAVED = b'\xef\xbb\xbf: ok\n\nid: 1\ndata: {"s": "a",\ndata:  "n": 1}\n\ndata: {"t": 2}\n\ndata: {"s":"a"}'


class StreamTests:
    """Event streams."""

    def test_as_curl_saves_them(self, check):
        """An event for each, the last one although nothing ends it."""
        Path("relay.yaml").write_text(STREAM)
        Path("saved.txt").write_bytes(SAVED)
        done = check("-t", "e/a", "--replay", "saved.txt")
        assert done.exit_code == 1
        assert [line.split()[:2] for line in done.output.splitlines()[3:]] == [
            ["2", "unknown"],
            ["1", "data"],
            ["3", "data"],
        ]

    def test_a_value_a_line(self, check):
        """As for any other feed."""
        Path("relay.yaml").write_text(STREAM)
        Path("saved.txt").write_text('{"s":"a"}\n')
        done = check("-t", "e/a", "--replay", "saved.txt")
        assert done.exit_code == 0, done.output


class ExplainTests:
    """Without a network."""

    def test_what_is_sent(self, check):
        """The URL with its placeholders, and the messages; the secret is nowhere."""
        done = check("--topics", "m/price/A-USD,m/price/B-USD")
        assert done.exit_code == 0, done.output
        assert "wss://feed.example/?key=${env.FEED_KEY}" in done.output
        assert '{"op":"subscribe","kind":"price","ids":["A-USD","B-USD"]}' in done.output
        assert "hunter2" not in done.output

    def test_how_messages_are_read(self, check):
        """A line for each; what nobody asked for stands first."""
        done = check("-t", "m/price/A-USD", "--replay", "sample.jsonl")
        assert done.exit_code == 0, done.output
        *_, first, second, third = [line.split() for line in done.output.splitlines()]
        assert first[:2] == ["2", "unrouted"]
        assert second[:3] == ["1", "data", "m/price/A-USD"]
        assert third[:2] == ["3", "beat"]

    def test_a_long_message(self, check):
        """It leaves the other columns their room."""
        Path("long.jsonl").write_text('{"type":"price","id":"A-USD","n":"' + "x" * 5000 + '"}\n')
        done = check("-t", "m/price/A-USD", "-r", "long.jsonl")
        assert done.output.splitlines()[-1].split()[:3] == ["1", "data", "m/price/A-USD"]
        assert max(map(len, done.output.splitlines())) <= 160

    def test_unknown_message(self, check):
        """The exit status is 1, so that a script sees it; control characters do no harm."""
        Path("odd.jsonl").write_text('{"type":"ok"}\n\n{"\x1b[31m":1}\n')
        done = check("-u", "feed", "-r", "odd.jsonl")
        assert done.exit_code == 1
        assert [line.split()[:2] for line in done.output.splitlines()[-2:]] == [
            ["3", "unknown"], ["1", "beat"],
        ]  # fmt: skip
        assert "\x1b" not in done.output

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (["-t", "nowhere"], "nowhere: no route has this topic"),
            (["-t", "m/price/A-EUR"], "allow.symbol"),
            (["-u", "fed"], "there is no upstream fed; there are: feed, other"),
            (["-t", "chat/a"], "chat/a: no upstream is asked for it, clients publish all there is"),
            (["-u", "feed", "-t", "o/x"], "not a topic of the upstream feed: o/x"),
            (["-r", "sample.jsonl"], "which upstream? --upstream is one of: feed, other"),
            (["-u", "feed", "-r", "no.jsonl"], "no.jsonl cannot be read: No such file or directory"),
        ],
    )
    def test_cannot_be_meant(self, check, args: list[str], said: str):
        """One sentence, exit status 1."""
        done = check(*args)
        assert done.exit_code == 1
        assert done.stderr.startswith("Error: ")
        assert said in done.stderr

    def test_not_text(self, check):
        """Binary frames cannot stand in a file of lines."""
        Path("odd.jsonl").write_bytes(b'{"type":"ok"}\n\xff\n')
        done = check("-u", "feed", "-r", "odd.jsonl")
        assert done.exit_code == 1
        assert "odd.jsonl:2: this is not UTF-8" in done.stderr

    def test_too_large(self, check, monkeypatch: pytest.MonkeyPatch):
        """What is held in memory has a bound."""
        monkeypatch.setattr("relayd.cli.explain.REPLAY_BYTES", 10)
        done = check("-u", "feed", "-r", "sample.jsonl")
        assert done.exit_code == 1
        assert "sample.jsonl is larger than" in done.stderr

    def test_no_upstream(self, check):
        """A file of local routes has no conversation to show."""
        Path("relay.yaml").write_text("routes: [{topic: chat, access: {publish: public}}]\n")
        done = check("-r", "sample.jsonl")
        assert done.exit_code == 1
        assert "there is no upstream in this file" in done.stderr
