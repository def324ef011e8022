"""Files that are no good, as the people see it who wrote them: the place, the fault, the remedy, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from twisted.scripts.twistd import ServerOptions

from relayd.cli.main import main

GOOD = """\
listeners:
  - endpoint: tcp:$PORT:interface=127.0.0.1
upstreams:
  exchange:
    connect: {url: "ws://127.0.0.1:9/"}
    topic: {at: {channel: type, symbol: product_id}}
    subscribe: {send: {type: $verb, channels: [{name: $channel, product_ids: [$symbol]}]}}
routes:
  - topic: market/$channel/$symbol
    upstream: exchange
    allow: {channel: [ticker], symbol: "*-USD"}
"""


def but(old: str, new: str, text: str = GOOD) -> str:
    """The good file with one thing changed."""
    assert old in text
    return text.replace(old, new)


# case -> the file, and what must be said about it
BAD_FILES: dict[str, tuple[str | bytes, list[str]]] = {
    "empty": ("", ["upstreams", "routes"]),
    "only a comment": ("# nothing\n", ["upstreams"]),
    "broken YAML": (GOOD + "  - topic: [a\n", [":12:12: "]),
    "not UTF-8": (b"upstreams: \xff\n", [":1:12: ", "UTF-8"]),
    "an unknown upstream in a route": (
        but("upstream: exchange", "upstream: exchnage"),
        [":10:15: ", "exchnage", "did you mean exchange?"],
    ),
    "an unknown key": (but("listeners:", "listener:"), [":1:1: ", "listener", "did you mean listeners?"]),
    "a field that the upstream does not yield": (but("/$symbol", "/$pair"), [":9:12: ", "pair"]),
    "a field that nothing fixes": (but("$channel/$symbol", "$symbol", but("[ticker]", "any")), ["channel"]),
    "two errors": (but("tcp:$PORT", "tpc:80", but("upstream: exchange", "upstream: x")), [":2:15: ", ":10:15: "]),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`twistd relayd` and `relayd check` say the same, each error with its place; both end with status 1."""
    text, said = BAD_FILES[case]
    monkeypatch.chdir(tmp_path)
    Path("relay.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SystemExit) as end:
        ServerOptions().parseOptions(["relayd", "-c", "relay.yaml"])
    checked = CliRunner().invoke(main, ["check", "relay.yaml"])
    errors = str(end.value.code)
    assert checked.exit_code == 1
    assert checked.stderr.splitlines()[:-1] == errors.splitlines()
    assert all(line.startswith("relay.yaml:") for line in errors.splitlines())
    for words in said:
        assert words in errors
