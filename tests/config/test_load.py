"""relay.yaml as text: everything that is wrong with it, in one run, each with its place."""

# Messages stand here as a person reads them: in one line.
# ruff: noqa: E501

from __future__ import annotations

import builtins
import importlib
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import relayd.config.load
from relayd.config.load import MAX_FILE_BYTES, Reader, load, loads
from relayd.config.model import Config
from relayd.core.errors import ConfigErrors, RelayError
from tests.support.relay_yaml import UPSTREAM, config, problems, relay_yaml

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "etc/relay.yaml"
FEEDS = sorted((ROOT / "tests/feeds").glob("*.yaml"))
ENVIRON = dict.fromkeys(
    (
        "CB_KEY",
        "CB_PASS",
        "CB_SECRET",
        "WAMP_TICKET",
        "NODE_KEY",
        "PB_TOKEN",
        "FINNHUB_KEY",
        "TOKEN",
        "HA_TOKEN",
        "KABU_PASSWORD",
        "PUSHER_KEY",
        "ALPACA_KEY",
        "ALPACA_SECRET",
        "TWITCH_ID",
        "TWITCH_TOKEN",
        "TWELVE_KEY",
        "TIINGO_TOKEN",
        "SIGNALR_ID",
    ),
    "s3cret-value",
)


def refused(path, environ=ENVIRON):
    """What is said of a file, without its name."""
    with pytest.raises(ConfigErrors) as caught:
        load(path, environ)
    return [str(error).removeprefix(f"{path}:") for error in caught.value.errors]


class FileTests:
    """Before there is a text."""

    def test_sample(self):
        """etc/relay.yaml is right as it stands, without any environment."""
        found = load(SAMPLE, {})
        assert isinstance(found, Config)
        assert [route.topic for route in found.routes] == [
            "market/ticker/$symbol",
            "market/matches/$symbol",
            "market/level2/$symbol",
        ]
        assert found.admin is not None

    @pytest.mark.parametrize("path", FEEDS, ids=lambda path: path.stem)
    def test_feeds(self, path):
        """Twenty-four real feeds."""
        assert len(load(path, ENVIRON).routes) >= 1

    def test_all_feeds_are_here(self):
        """None got lost on the way."""
        assert len(FEEDS) == 35

    def test_no_file(self, tmp_path):
        """There is a way to get one."""
        assert refused(tmp_path / "relay.yaml") == [
            "1:1: there is no such file (expected a relay.yaml; `relayd init` writes one)"
        ]

    def test_directory(self, tmp_path):
        """Not a file."""
        assert refused(tmp_path) == ["1:1: this is a directory (expected a file)"]

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (
                PermissionError(13, "Permission denied"),
                "the file may not be read by this user (expected read permission)",
            ),
            (OSError(5, "Input/output error"), "the file cannot be read: Input/output error"),
        ],
    )
    def test_unreadable(self, tmp_path, monkeypatch, error, said):
        """Why, and for whom."""

        def fail(*_args, **_kwargs):
            raise error

        monkeypatch.setattr(builtins, "open", fail)
        assert refused(tmp_path / "x") == [f"1:1: {said}"]

    def test_no_permission(self, tmp_path):
        """The same from a real file (root may read everything, so only its absence of an error differs)."""
        path = tmp_path / "relay.yaml"
        path.write_text(relay_yaml())
        path.chmod(0)
        if os.access(path, os.R_OK):
            assert isinstance(load(path, {}), Config)
        else:
            assert refused(path) == ["1:1: the file may not be read by this user (expected read permission)"]

    def test_nul_in_the_path(self):
        """Not even a path; the line can be printed all the same."""
        assert refused("a\0b") == ["a\\u0000b:1:1: the file cannot be read: embedded null byte"]

    def test_too_large(self, tmp_path):
        """At most 1 MiB, whatever is in it."""
        path = tmp_path / "relay.yaml"
        path.write_bytes(b"#" * MAX_FILE_BYTES)
        assert refused(path) == ["1:1: the file is empty (expected at least `upstreams` and `routes`)"]
        path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
        assert refused(path) == ["1:1: the file is larger than 1 MiB"]
        assert problems("#" * (MAX_FILE_BYTES + 1)) == ["1:1: the file is larger than 1 MiB"]

    @pytest.mark.parametrize(
        ("raw", "place"),
        [
            (b"a: 1\nb: \xff\n", "2:4"),
            (b"# caf\xe9", "1:6"),
            ("ä: \udcff".encode("utf-8", "surrogateescape"), "1:4"),
            ("a: 1".encode("utf-16"), "1:1"),
        ],
    )
    def test_not_utf8(self, tmp_path, raw, place):
        """Whatever the locale says; the place is the first byte that is none."""
        path = tmp_path / "relay.yaml"
        path.write_bytes(raw)
        assert refused(path) == [f"{place}: this is not UTF-8 (expected a file saved as UTF-8)"]

    def test_byte_order_mark(self, tmp_path):
        """Editors of Windows write one."""
        path = tmp_path / "relay.yaml"
        path.write_bytes(b"\xef\xbb\xbf" + relay_yaml().replace("\n", "\r\n").encode())
        assert isinstance(load(path, {}), Config)

    def test_errors_are_ours(self):
        """One base class for what relayd raises on purpose; the text is what a person reads."""
        with pytest.raises(RelayError) as caught:
            loads("", "x.yaml", {})
        assert str(caught.value) == "x.yaml:1:1: the file is empty (expected at least `upstreams` and `routes`)"

    def test_many_errors(self):
        """All are there, not all are printed."""
        with pytest.raises(ConfigErrors) as caught:
            loads(relay_yaml(top="\n".join(f"x{number}: 1" for number in range(60))), "x.yaml", {})
        assert len(caught.value.errors) == 60
        assert str(caught.value).split("\n")[-1] == "and 10 more"


# The YAML vectors: what a file may hold that a person did not mean, or an attacker did.
VECTORS = [
    ("", "1:1: the file is empty (expected at least `upstreams` and `routes`)"),
    ("\n\n# only a comment\n", "1:1: the file is empty (expected at least `upstreams` and `routes`)"),
    ("---\n", "2:1: the file is no table (expected keys such as upstreams: and routes:)"),
    ("- a\n", "1:1: the file is no table (expected keys such as upstreams: and routes:)"),
    ("hello\n", "1:1: the file is no table (expected keys such as upstreams: and routes:)"),
    ("a: 1\n---\nb: 2\n", "2:1: a second document starts here (expected one document, without `---` after it)"),
    ("log:\n\tformat: json\n", "2:1: a tab cannot indent: YAML indents with spaces"),
    ("log: |\n  a\n\tb\n", "3:1: a tab cannot indent: YAML indents with spaces"),
    ("log: {format: json\n", "1:6: this table is not closed with `}`, or a comma is missing in it"),
    ("log: [a, b\n", "1:6: this list is not closed with `]`, or a comma is missing in it"),
    ("log: [a, b}\n", "1:6: this list is not closed with `]`, or a comma is missing in it"),
    ("log: 'text\n", "1:6: this quote is not closed"),
    ('log: "text\n---\n', "1:6: this quote is not closed"),
    ('log: "a\\q"\n', "1:8: no escape of YAML stands behind the backslash: use single quotes, or \\\\"),
    ("log: a: b\n", "1:7: a colon where no key can stand: check indentation and quotes"),
    ("log: 1\n  format: json\n", "2:9: a colon where no key can stand: check indentation and quotes"),
    ("log: - a\n", "1:6: a `-` where no list can start: put it on a line of its own"),
    ("log: @x\n", "1:6: a value cannot start with @: put it in quotes"),
    ("log: `x`\n", "1:6: a value cannot start with `: put it in quotes"),
    ("log: %x\n", "1:6: a value cannot start with %: put it in quotes"),
    ("log:\n  a: 1\n b: 2\n", "3:2: a key was expected here: check indentation and quotes"),
    ('log: "a" b\n', "1:10: a key was expected here: check indentation and quotes"),
    ("log:\n- a\n- b\nc\n- d\n", "4:1: a line that is no `key: value`: check indentation and quotes"),
    ("log:\n  - a\n b: 1\n", "3:2: a key was expected here: check indentation and quotes"),
    ("log:\n - a\n - - b\n  - c\n", "4:3: a line that does not belong to the list around it: check its indentation"),
    ("log: {a:}\n", "1:8: a colon without a value: write a space and the value after it"),
    ("}\n", "1:1: a value is missing here"),
    ("log: & b\n", "1:7: a text that starts with `&` is an anchor: put it in quotes"),
    ("log: * b\n", "1:7: a text that starts with `*` is an alias: put it in quotes"),
    ("log: *-USD\n", "1:6: log: an alias: write the value out, or quote a text that starts with `*`"),
    ("%YAML 3.0\n---\nlog: 1\n", "1:1: only %YAML 1.1 and 1.2 are known"),
    ("log:\n  format: json\nplain words\n", "3:1: a line that is no `key: value`: check indentation and quotes"),
    ("log: a\0b\n", '1:7: a control character (U+0000) cannot stand in YAML (expected an escape such as "\\x1e" in double quotes)'),
    ("a: 1\nlog: \x1b[31m\n", '2:6: a control character (U+001B) cannot stand in YAML (expected an escape such as "\\x1e" in double quotes)'),
    ("log: \ud800\n", '1:6: a control character (U+D800) cannot stand in YAML (expected an escape such as "\\x1e" in double quotes)'),
    ("a: " + "[" * 900, "1:24: a: deeper than 20 levels"),
    ("x: " + "[" * 100_000, None),
    ("{a: " * 2000, "1:85: a: deeper than 20 levels"),
    ("- " * 2000, "1:1: the file is no table (expected keys such as upstreams: and routes:)"),
    ("? " * 900, '1:3: ["?"]: a list or a table where a key is meant'),
    ("&a [*a, *a]", "1:1: the file is no table (expected keys such as upstreams: and routes:)"),
]  # fmt: skip


class SyntaxTests:
    """Broken YAML: the parser's complaint in plain words. Nothing else is told then: who knows what is missing."""

    @pytest.mark.parametrize(("text", "said"), VECTORS, ids=[repr(text[:24]) for text, _ in VECTORS])
    def test_vector(self, text, said):
        """One problem, at the place where a person looks."""
        found = problems(text)
        assert len(found) == 1 if said is None else found == [said]

    @pytest.mark.parametrize(("text", "said"), VECTORS, ids=[repr(text[:24]) for text, _ in VECTORS])
    def test_without_libyaml(self, text, said, monkeypatch):
        """PyYAML's own parser is as strict; its places may differ by a column."""
        monkeypatch.delattr(yaml, "CSafeLoader")
        pure = importlib.reload(relayd.config.load)
        try:
            assert issubclass(pure.Reader, yaml.SafeLoader)
            with pytest.raises(ConfigErrors) as caught:
                pure.loads(text[:5000], "relay.yaml", {})
            assert len(caught.value.errors) >= 1
            assert "this is not YAML" not in str(caught.value)
        finally:
            monkeypatch.undo()
            importlib.reload(relayd.config.load)

    def test_with_libyaml(self):
        """The fast one is used where it is there."""
        assert issubclass(relayd.config.load.Reader, yaml.CSafeLoader)


def route(keys):
    """A whole file whose route has these keys, too."""
    return relay_yaml(
        route=f"- topic: m/$symbol\n  upstream: feed\n  allow: {{channel: [ticker], symbol: any}}\n  {keys}"
    )


class StrictnessTests:
    """Valid YAML that two readers, or two people, could read differently."""

    @pytest.mark.parametrize(
        ("keys", "said"),
        [
            ("lingr: 5s", "10:5: routes[0].lingr: unknown key; did you mean linger?"),
            ("linger: 5s\n  linger: 6s", "11:5: routes[0].linger: the key stands twice, first in line 10"),
            ("deliver: &d {stamp: true}", "10:14: routes[0].deliver: an anchor: there are no aliases that could use it"),
            ("deliver: *d", "10:14: routes[0].deliver: an alias: write the value out, or quote a text that starts with `*`"),
            ("deliver: !!map {}", "10:14: routes[0].deliver: a tag: types are known without"),
            ("linger: !!python/object/apply:os.system [id]", "10:13: routes[0].linger: a tag: types are known without"),
            ("linger: ! 5s", "10:13: routes[0].linger: a tag: types are known without"),
            ("<<: {linger: 5s}", '10:5: routes[0]["<<"]: `<<` is a merge of tables in YAML 1.1 and a key in YAML 1.2 (expected the keys written out)'),
            ("deliver: {stamp: on}", '10:22: routes[0].deliver.stamp: `on` is true in YAML 1.1 and text in YAML 1.2 (expected true or "on")'),
            ("deliver: {stamp: no}", '10:22: routes[0].deliver.stamp: `no` is false in YAML 1.1 and text in YAML 1.2 (expected false or "no")'),
            ("deliver: {max_hz: 0100}", "10:23: routes[0].deliver.max_hz: `0100` is 64 in YAML 1.1 and 100 in YAML 1.2 (expected quotes around it, or a number written plainly)"),
            ("deliver: {max_hz: 1_000}", "10:23: routes[0].deliver.max_hz: `1_000` is a number in YAML 1.1 and text in YAML 1.2 (expected quotes around it, or a number written plainly)"),
            ("linger: 12:30", "10:13: routes[0].linger: `12:30` is a number to the base of 60 in YAML 1.1 and text in YAML 1.2 (expected quotes around it, or a number written plainly)"),
            ("pin: [2026-01-31]", "10:11: routes[0].pin[0]: `2026-01-31` is a date in YAML 1.1 and text in YAML 1.2 (expected quotes around it, or a number written plainly)"),
            ("on: true", '10:5: routes[0].on: `on` is true in YAML 1.1 and text in YAML 1.2 (expected true or "on")'),
            ("off: true", '10:5: routes[0].off: `off` is false in YAML 1.1 and text in YAML 1.2 (expected "off")'),
            ("true: 1", '10:5: routes[0].true: a key is text (expected quotes: "true")'),
            ("1.5: 1", '10:5: routes[0]["1.5"]: a key is text (expected quotes: "1.5")'),
            ("~: 1", '10:5: routes[0]["~"]: a key is text (expected quotes: "~")'),
            ("? [a]\n  : 1", '10:7: routes[0]["?"]: a list or a table where a key is meant'),
            ("? {a: {b: [c]}}\n  : {d: e}", '10:7: routes[0]["?"]: a list or a table where a key is meant'),
            ("*x : 1", '10:5: routes[0]["?"]: an alias where a key is meant: write the key out'),
            ("&x linger: 5s", "10:5: routes[0].linger: a key with a tag or an anchor: write the key alone"),
            ("!!str linger: 5s", "10:5: routes[0].linger: a key with a tag or an anchor: write the key alone"),
            ("linger: off", "10:13: routes[0].linger: `off` is false in YAML 1.1 and text in YAML 1.2, and nothing can be switched off here (got off, expected a duration such as 500ms, 30s, 1m30s or 23h30m)"),
            ("linger:", "10:12: routes[0].linger: nothing stands here (got nothing, expected a duration such as 500ms, 30s, 1m30s or 23h30m)"),
            ("deliver: {max_hz: 12345678901234567890}", "10:23: routes[0].deliver.max_hz: a number of more than 18 digits (expected quotes around it)"),
        ],
    )  # fmt: skip
    def test_trap(self, keys, said):
        """One problem, with what to write instead."""
        assert problems(route(keys)) == [said]

    @pytest.mark.parametrize(
        "key", ["stale_after: off", 'stale_after: "off"', "deliver: {max_hz: off, max_lag: off, deflate: off}"]
    )
    def test_off_where_it_is_a_switch(self, key):
        """Plain or in quotes."""
        (found,) = config(route(key)).routes
        assert found.stale_after_s is None and found.deliver.max_hz is None

    @pytest.mark.parametrize("scalar", ["'on'", '"no"', "'0100'", '"12:30"', "'2026-01-31'", "'off'", "|-\n      no"])
    def test_quotes_make_text(self, scalar):
        """What is in quotes or a block is text for every reader."""
        block = UPSTREAM.replace("op: $verb", f"op: $verb, x: {scalar}") if "\n" not in scalar else None
        if block is None:
            block = UPSTREAM + f"login:\n  - send: {scalar}"
        assert problems(relay_yaml(block)) == []

    @pytest.mark.parametrize(
        "block",
        [
            "reconnect: {codes: {1008: 2m}, status: {429: wait}}",
            "payload: 1",
            "control: [{when: {0: 4, 1.0.0: x}, do: beat}]",
        ],
    )
    def test_integers_where_they_are_meant(self, block):
        """Paths, close codes and statuses."""
        assert problems(relay_yaml(UPSTREAM + block)) == []

    def test_same_key_as_number_and_text(self):
        """`1` and "1" are one path."""
        block = UPSTREAM + 'control: [{when: {1: a, "1": b}, do: beat}]'
        assert problems(relay_yaml(block)) == [
            "6:29: upstreams.feed.control[0].when.1: the key stands twice, first in line 6"
        ]

    def test_words_that_could_be_secret(self):
        """Nobody needs to see them to find them."""
        block = UPSTREAM + "login: [{send: {token: 0123456}}]"
        assert problems(relay_yaml(block)) == [
            "6:28: upstreams.feed.login[0].send.token: a word that YAML 1.1 and YAML 1.2 read differently (expected quotes around it)"
        ]

    def test_all_in_one_run(self):
        """In the order of the file, whoever found them."""
        text = relay_yaml(
            UPSTREAM + "silence: {any: 5, data: no}\nhartbeat: off",
            route="- topic: a/$symbl\n  upstream: fed\n- topic: b/$x/\n  upstream: feed\n  linger: 5\n- topic: c/$symbol\n  upstream: &f feed",
            top="workers: 4\nlog: {format: xml}\nadmin: {endpoint: 'tcp:8081:interface=127.0.0.1'}",
        )
        found = problems(text)
        places = [tuple(map(int, problem.split(":")[:2])) for problem in found]
        assert places == sorted(places)
        assert [problem.split(": ")[1] for problem in found] == [
            "upstreams.feed.silence.any",
            "upstreams.feed.silence.data",
            "upstreams.feed.hartbeat",
            "routes[0].upstream",
            "routes[1].linger",
            "routes[2].upstream",
            "workers",
            "log.format",
        ]

    def test_depth(self):
        """Twenty levels are enough for any feed."""
        deep = "[" * 13 + "]" * 13
        assert problems(relay_yaml(UPSTREAM.replace("op: $verb", f"op: $verb, x: {deep}"))) == []
        deep = "[" * 30 + "]" * 30
        (problem,) = problems(relay_yaml(UPSTREAM.replace("op: $verb", f"op: $verb, x: {deep}")))
        assert problem.endswith("upstreams: deeper than 20 levels")

    def test_alias_bomb(self):
        """Refused as it is read: nothing is ever expanded."""
        lines = ["a: &a [x, x]"] + [
            f"{chr(98 + at)}: &{chr(98 + at)} [*{chr(97 + at)}, *{chr(97 + at)}]" for at in range(9)
        ]
        assert all(
            "alias" in problem or "unknown key" in problem or "missing" in problem
            for problem in problems("\n".join(lines))
        )


class SecretTests:
    """Values that may be secret stay out of errors and out of the model."""

    def test_placeholders_stay(self):
        """The model holds the name of a secret."""
        block = UPSTREAM + 'login: [{send: {token: "${env.TOKEN}"}}]'
        assert "s3cret" not in repr(config(relay_yaml(block), TOKEN="s3cret"))

    @pytest.mark.parametrize(
        "block",
        [
            "login: [{send: {token: s3cret}, within: 5}]",
            "login: [{send: {token: 5.5}, expect: s3cret, fial: x}]",
            "login: [{set: {k: {hmac: s3cret, key: s3cret, text: x}}, send: $k}]",
            'login: [{send: "s3cret$ x"}]',
            'login: [{send: "${s3cret}!${s3cret!}"}]',
            "login: s3cret",
            "login: [s3cret]",
            "control: [{when: {a: 1}, send: {b: off, c: s3cret}}]",
        ],
    )
    def test_not_in_errors(self, block):
        """Whatever else is wrong."""
        found = problems(relay_yaml(UPSTREAM + block))
        assert found
        assert not any("s3cret" in problem for problem in found)


class ReaderTests:
    """Places."""

    def test_places(self):
        """Line and column of every key and value, from 1."""
        source = Reader("a:\n  - b: 'x'\n    c: [1,\n      ä, {d: e}]\n", "f").read_source()
        assert source.data == {"a": [{"b": "x", "c": [1, "ä", {"d": "e"}]}]}
        places = {path: (place.line, place.column) for path, place in source.values.items()}
        assert places[("a", 0, "b")] == (2, 8)
        assert places[("a", 0, "c", 1)] == (4, 7)
        assert places[("a", 0, "c", 2, "d")] == (4, 14)
        assert (source.keys[("a", 0, "c")].line, source.keys[("a", 0, "c")].column) == (3, 5)


SAMPLE_TEXT = SAMPLE.read_text("utf-8")
SNIPPETS = [
    "no", "off", "0100", "12:30", "~", "[", "]", "{", "}", ":", "- ", "&a ", "*a", "!!str ", "'", '"', "\t", "\0", "\n", "\n\n  ", "#", "|", ">",
    "? ", "---\n", "%YAML 1.1\n", "${env.X}", "$", "$$", "*", "[]", "{}", "1e5", "é", "\u2028", "\ufeff", "9" * 400, "routes:", "topic: a/$b/",
    "<<: ", "{regex: '('}", "any", "true", "null", "tcp:1", "wss://x", "5/1s", "1/1s/1B", "exclusive: true", "preset: x", "http: {url: $x}",
    "for: {channel: [x]}", "bound: 0", "$topics", "in: url", "each: 5",
]  # fmt: skip


class FuzzTests:
    """Whatever a text holds: a Config, or ConfigErrors."""

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def test_mutated_sample(self, data):
        """Words, lines and characters of the sample are put elsewhere, doubled, dropped, or replaced by traps."""
        text = SAMPLE_TEXT
        for _ in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.integers(0, len(text)))
            end = min(len(text), start + data.draw(st.sampled_from([0, 0, 1, 2, 5, 20, 80])))
            other = data.draw(st.integers(0, max(0, len(text) - 1)))
            piece = data.draw(
                st.sampled_from([*SNIPPETS, "", text[other : other + 10], text[other : other + 60]])
                | st.text(max_size=3)
            )
            text = text[:start] + piece + text[end:]
        self.only_documented_errors(text)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.sampled_from(SNIPPETS) | st.sampled_from(SAMPLE_TEXT.split()), max_size=30).map(" ".join))
    def test_words(self, text):
        """Words in any order."""
        self.only_documented_errors(text)

    @settings(max_examples=100, deadline=None)
    @given(st.data())
    def test_mutated_values(self, data):
        """Valid YAML with any value anywhere."""
        tree = yaml.safe_load(SAMPLE_TEXT)
        node, trail = tree, []
        while isinstance(node, dict | list) and node and data.draw(st.integers(0, 5)):
            key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
            trail.append((node, key))
            node = node[key]
        if trail:
            parent, key = trail[-1]
            scalars = (
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats()
                | st.text(max_size=5)
                | st.sampled_from(SNIPPETS)
            )
            parent[key] = data.draw(
                st.recursive(
                    scalars,
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
                    max_leaves=5,
                )
            )
        self.only_documented_errors(yaml.safe_dump(tree, allow_unicode=True))

    def only_documented_errors(self, text):
        """Nothing else may come out, and every line of an error can be printed."""
        try:
            loads(text, "relay.yaml", {})
        except ConfigErrors as errors:
            assert errors.errors
            for error in errors.errors:
                line = str(error)
                assert line.startswith("relay.yaml:")
                assert line.isprintable(), repr(line)
