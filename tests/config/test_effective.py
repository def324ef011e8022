"""What a configuration means, written out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relayd.config.dump import dump
from relayd.config.effective import MASK, effective
from relayd.config.load import loads
from relayd.core.errors import ConfigErrors

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = [ROOT / "etc/relay.yaml", ROOT / "relayd/cli/starter.yaml", *sorted((ROOT / "tests/feeds").glob("*.yaml"))]

ALL_KINDS = """\
listeners:
  - endpoint: tcp:8080
    origins: [same]
upstreams:
  feed:
    connect:
      url: "wss://me:pw@feed.example/ws?api=sesame&sig=${env.SIG:-swordfish}"
      headers: {Authorization: Bearer open, x-token: "${env.TOKEN}", Accept: text/plain, Cookie: [a=b]}
    login: [{send: {op: auth, token: t0ps3cret, level: 1}, expect: {token: yes-it-is}, save: {token: data.token}}]
    topic: {name: $symbol@$stream, at: [a, b]}
    topics: {BTC@trade: {as: B@t, id: 7}}
    subscribe:
      - {for: {stream: book, symbol: [A, B]}, send: {books: [$topic]}}
      - send: {others: [$topic]}
    control: [{when: {type: [hi, ho], ok: true}, do: beat}]
    heartbeat: off
    silence: {data: 1m30s, hours: "09:00-15:30,22:00-02:00 Asia/Tokyo mon-wed,sat"}
    snapshot: {for: {stream: book}, when: {type: snapshot}}
    limits: {send: 5/1s}
    reconnect: {codes: {"1000": retry, 4000-4099: 2m}, status: {"429": wait}}
routes:
  - {topic: book/$symbol/$stream, upstream: feed, allow: {symbol: "*", stream: [book]}, deliver: {history: 10/1m/64KiB}}
  - {topic: other/$symbol/$stream, upstream: feed, allow: {symbol: {regex: "[AB]+"}, stream: [trade]}, linger: 500ms}
  - {topic: third/$symbol/$stream, upstream: feed, allow: {symbol: any, stream: [quote]}, deliver: {mode: conflate}}
"""


def written(text: str, name: str = "relay.yaml") -> dict:
    """The effective data of a file; every variable it names is set."""
    environ = dict.fromkeys(re.findall(r"env\.(\w+)", text), "value")
    return effective(loads(text, name, environ))


@pytest.fixture(scope="module")
def data() -> dict:
    """A file with a value of each kind."""
    return written(ALL_KINDS)


class AuthTests:
    """Who browsers are, without what nobody should see."""

    def test_auth(self):
        """It reads back as the same; what stands behind a URL's question mark is masked."""
        route = "{topic: a/$symbol, upstream: feed, access: {subscribe: {sub: $symbol, role: [x, 5]}}}"
        auth = 'auth: {webhook: {url: "https://a.example/x?key=hunter2"}, tokens: /dev/null, from: ["cookie:sid"]}'
        upstream = 'upstreams: {feed: {connect: {url: "wss://a.example"}, topic: {at: {symbol: s}}}}'
        data = written(f"{upstream}\nroutes: [{route}]\n{auth}\n")
        assert data["auth"] == {
            "tokens": "/dev/null",
            "webhook": {
                "url": f"https://a.example/x?key={MASK}", "timeout": "2s", "cache": "30s", "on_failure": "refuse",
            },
            "from": ["cookie:sid"],
            "within": "10s",
        }  # fmt: skip
        assert data["routes"][0]["access"] == {"subscribe": {"sub": "$symbol", "role": ["x", "5"]}, "publish": "nobody"}
        assert written(dump(data)) == data


class EffectiveTests:
    """Everything that applies stands in it, in the keys and units of the file."""

    def test_defaults(self, data: dict):
        """What was left out is written out; `off` where something is off."""
        assert data["limits"]["ring_bytes"] == "512MiB"
        assert data["limits"]["handshakes"] == "500/1s"
        assert data["limits"]["per_address"] == "off"
        assert data["routes"][0]["linger"] == "5s"
        assert data["listeners"][0]["origins"] == ["same"]
        assert data["log"] == {"format": "text", "level": "info", "addresses": "full"}

    def test_what_follows_from_the_rest(self, data: dict):
        """The mode of a route and when an upstream is dialled are not left to be guessed."""
        assert [route["deliver"]["mode"] for route in data["routes"]] == ["lossless", "queue", "conflate"]
        assert data["upstreams"]["feed"]["dial"] == "demand"
        pushes = written(
            "upstreams: {f: {connect: {url: ws://f/}, topic: {at: {s: s}}}}\n"
            "routes: [{topic: $s, upstream: f, allow: {s: any}}]\n"
        )
        assert pushes["upstreams"]["f"]["dial"] == "start"

    def test_units(self, data: dict):
        """Durations, sizes, rates, histories, hours, close codes."""
        feed = data["upstreams"]["feed"]
        assert feed["silence"] == {
            "any": "off", "data": "1m30s", "hours": "09:00-15:30,22:00-02:00 Asia/Tokyo mon,tue,wed,sat",
        }  # fmt: skip
        assert feed["limits"] == {"send": "5/1s"}
        assert feed["reconnect"]["codes"] == {"1000": "retry", "4000-4099": "2m"}
        assert data["routes"][0]["deliver"]["history"] == "10/1m/64KiB"
        assert data["routes"][1]["linger"] == "500ms"

    def test_rules_and_matches(self, data: dict):
        """What is allowed, and what is compared; one alone is written without brackets where that is meant."""
        assert [route["allow"]["symbol"] for route in data["routes"]] == ["*", {"regex": "[AB]+"}, "any"]
        assert data["routes"][0]["allow"]["stream"] == ["book"]
        feed = data["upstreams"]["feed"]
        assert feed["control"] == [{"when": {"type": ["hi", "ho"], "ok": True}, "do": "beat"}]
        assert feed["subscribe"][0]["for"] == {"stream": "book", "symbol": ["A", "B"]}
        assert feed["topic"]["at"] == ["a", "b"]
        assert feed["topics"] == {"BTC@trade": {"as": "B@t", "id": 7}}

    def test_empty_blocks_are_left_out(self, data: dict):
        """A block in which nothing applies says nothing."""
        assert "decode" not in data["upstreams"]["feed"]
        assert "before" not in data["upstreams"]["feed"]["connect"]

    def test_unknown_kind(self, monkeypatch: pytest.MonkeyPatch):
        """A type of the model without a written form is a fault here, not a wrong file."""
        config = loads(ALL_KINDS, "relay.yaml", {"TOKEN": "x"})
        with pytest.raises(TypeError, match="object has no written form yet"):
            effective(config.model_copy(update={"log": object()}))


class SecretTests:
    """What must not be seen is not."""

    def test_masked(self):
        """Literal secrets, defaults of variables, users and arguments of URLs."""
        text = dump(written(ALL_KINDS))
        for secret in ("swordfish", "sesame", "me:pw", "t0ps3cret", "Bearer open", "a=b"):
            assert secret not in text

    def test_left(self):
        """Placeholders, names, what is compared, and what is no secret."""
        feed = written(ALL_KINDS)["upstreams"]["feed"]
        assert feed["connect"]["url"] == f"wss://{MASK}@feed.example/ws?api={MASK}&sig=${{env.SIG:-{MASK}}}"
        assert feed["connect"]["headers"] == {
            "Authorization": MASK, "x-token": "${env.TOKEN}", "Accept": "text/plain", "Cookie": [MASK],
        }  # fmt: skip
        (step,) = feed["login"]
        assert step["send"] == {"op": "auth", "token": MASK, "level": 1}
        assert step["expect"] == {"token": "yes-it-is"}
        assert step["save"] == {"token": "data.token"}


    def test_what_is_published(self):
        """What goes up with it may hold a secret, too; placeholders are none."""
        send = "{op: pub, token: s3cret, id: $id, args: $data}"
        more = f"allow: {{s: any}}, access: {{publish: public}}, publish: {{send: {send}}}"
        route = f"{{topic: a/$s, upstream: f, {more}}}"
        data = written(f"upstreams: {{f: {{connect: {{url: ws://f/}}, topic: {{at: {{s: s}}}}}}}}\nroutes: [{route}]\n")
        sent = data["routes"][0]["publish"]["send"]
        assert sent == {"op": "pub", "token": MASK, "id": "$id", "args": "$data"}


class RoundTripTests:
    """What comes out is a file again, and means the same."""

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
    def test_feeds(self, file: Path):
        """For every feed that is written out; one that is not spoken yet is refused for nothing else."""
        try:
            data = written(file.read_text("utf-8"), file.name)
        except ConfigErrors as errors:
            assert all("not available yet" in str(error) for error in errors.errors), errors
        else:
            assert written(dump(data), "effective") == data

    def test_local(self):
        """A route without an upstream says nothing of what only an upstream has, so that it can be read again."""
        text = "routes: [{topic: chat/$room, allow: {room: any}, access: {publish: public}}]\n"
        (route,) = written(text)["routes"]
        assert list(route) == ["topic", "allow", "access", "deliver", "stale_after"]
        assert route["deliver"]["mode"] == "queue"

    def test_exclusive(self):
        """Nor an exclusive one of what a hub keeps."""
        upstream = 'upstreams: {echo: {connect: {url: "wss://a.example"}}}'
        data = written(f"{upstream}\nroutes: [{{topic: echo, upstream: echo, exclusive: true}}]\n")
        assert list(data["routes"][0]) == ["topic", "upstream", "access", "exclusive"]
        assert written(dump(data), "effective") == data
