"""What README.md and the pages of docs/ show and name: files that relayd takes, keys, counters, commands that exist.

What the tutorials print is tested where it is run: tests/feedsim/test_tutorial.py, tests/clients/test_pages.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from relayd.cli.main import main
from relayd.clienttest.scenarios import BY_NAME
from relayd.config.load import loads
from relayd.config.model import Block, Config
from relayd.config.schema import blocks_of
from relayd.core.auth.door import AuthCounters
from relayd.core.counters import (
    BridgeCounters,
    HubCounters,
    ListenerCounters,
    StateCounters,
    UpstreamCounters,
)
from relayd.core.guard import GuardCounters
from relayd.core.mishap import MishapCounters
from relayd.core.overload import OverloadCounters
from relayd.io.admin import AdminSources, CountersCollector
from relayd.io.logs import LogCounters
from tests.support import certs, signing
from tests.support.wheel import ROOT

PLACES = ("*.md", "docs/**/*.md", "examples/*/*.md", "clients/*/README.md")
PAGES = sorted(page.relative_to(ROOT) for pattern in PLACES for page in ROOT.glob(pattern))
SECTION = re.compile(r"^## ", re.MULTILINE)
YAML_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")


def text_of(page: Path) -> str:
    return (ROOT / page).read_text("utf-8")


# -- relay.yaml in pieces ---------------------------------------------------------------------------------------------


def files_of(page: Path) -> Iterator[str]:
    """Each snippet as a whole file. A piece of an upstream or a route goes into the whole file that stands before it,
    together with the other pieces of its section; what a snippet leaves out is completed.
    """
    base: dict[str, Any] = {}
    for section in SECTION.split(text_of(page)):
        has_pieces = False
        for snippet in YAML_BLOCK.findall(section):
            data = yaml.safe_load(snippet)
            if isinstance(data, list):
                base["routes"] = data
                has_pieces = True
            elif snippet.startswith(" "):
                [name] = base["upstreams"]
                base["upstreams"][name] |= data
                has_pieces = True
            else:
                yield snippet + complement(data)
                if {"routes", "upstreams"} <= set(data):
                    base = data
        if has_pieces:
            yield written(base)


def complement(data: dict[str, Any]) -> str:
    """What a snippet that speaks of one thing leaves out: a route, or the upstreams that its routes name."""
    missing: dict[str, Any] = {}
    if "routes" not in data:
        names = list(data.get("upstreams", {"feed": ...}))
        missing["routes"] = [{"topic": "t/$name", "upstream": names[0], "allow": {"name": "any"}}]
    if "upstreams" not in data:
        routes = [route for route in data.get("routes") or missing["routes"] if "upstream" in route]
        fields = {route["upstream"]: dict[str, str]() for route in routes}
        for route in routes:
            fields[route["upstream"]] |= {name: name for name in re.findall(r"\$(\w+)", route["topic"])}
        missing["upstreams"] = {
            name: {"connect": {"url": "wss://feed.example.com/"}, "topic": {"at": at}, "subscribe": {"send": at}}
            for name, at in fields.items()
        }
    return written({key: value for key, value in missing.items() if value})


def written(data: dict[str, Any]) -> str:
    """A file of this data: JSON is YAML, with every text in quotes."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in data.items())


SNIPPETS = [(page, text) for page in PAGES for text in files_of(page)]


@pytest.fixture(scope="module")
def etc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages have in /etc/relayd."""
    folder = tmp_path_factory.mktemp("relayd")
    good = certs.good()
    (folder / "tls").mkdir()
    (folder / "tls/fullchain.pem").write_bytes(good.pem)
    (folder / "tls/key.pem").write_bytes(good.key_pem)
    (folder / "clients.pem").write_bytes(certs.authority().pem)
    (folder / "clients.crl").write_bytes(certs.revoke())
    (folder / "jwks.json").write_bytes(signing.jwks(signing.jwk("ES256")))
    (folder / "admin-tokens").write_text(f"sha256:{'0' * 64}  prometheus  {{}}\n")
    return folder


class SnippetTests:
    """Whoever copies one has a file that works."""

    @pytest.mark.parametrize(("page", "text"), SNIPPETS, ids=[str(page) for page, _ in SNIPPETS])
    def test_is_good(self, page: Path, text: str, etc: Path) -> None:
        """relayd takes it as it stands, or in the file of which the page says that it is a piece."""
        secrets = {"ACME_KEY": "k", "ACME_SECRET": "s"}
        assert loads(text.replace("/etc/relayd", str(etc)), str(page), secrets).routes

    def test_all_are_found(self) -> None:
        """No page has lost its snippets to another fence."""
        assert {"README.md", "docs/authentication.md", "docs/feeds.md", "docs/publishing.md"} <= {
            str(page) for page, _ in SNIPPETS
        }
        assert len(SNIPPETS) > 12


# -- names ------------------------------------------------------------------------------------------------------------


def keys_by_block() -> dict[str, set[str]]:
    """Key -> the keys of the blocks that may stand under it."""
    found: dict[str, set[str]] = {}
    for block in blocks_of(Config):
        for name, info in block.model_fields.items():
            kinds = list(blocks_under(info.annotation))
            found.setdefault(info.alias or name, set()).update(
                inner.alias or key for kind in kinds for key, inner in kind.model_fields.items()
            )
    return found


def blocks_under(annotation: Any) -> Iterator[type[Block]]:
    """The blocks of one annotation, not those within them."""
    if isinstance(annotation, type) and issubclass(annotation, Block):
        yield annotation
        return
    for inner in getattr(annotation, "__args__", ()):
        yield from blocks_under(inner)


def counters() -> set[str]:
    """Every name that /metrics can show."""
    hub: Any = SimpleNamespace(
        counters=HubCounters(), topics=(), ring_bytes=0, readers=SimpleNamespace(count_lagging=lambda: 0)
    )
    sources = AdminSources(
        hub=hub,
        clients=SimpleNamespace(counters=ListenerCounters()),
        guards=GuardCounters(),
        upstreams={"feed": SimpleNamespace(counters=UpstreamCounters())},
        monotonic=lambda: 0.0,
        auth=AuthCounters(),
        overload=OverloadCounters(),
        bridges=BridgeCounters(),
        clocks={"feed": SimpleNamespace(skew_s=0.0)},
        state=StateCounters(),
        mishaps=MishapCounters(),
        log=LogCounters(),
    )
    families = list(CountersCollector(sources).collect())
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


def commands_of(page: Path) -> list[str]:
    """Whatever a page tells to type: code in a sentence, and lines of snippets."""
    text = text_of(page)
    snippets = re.findall(r"^(?:    |\$ )(\S.*)$", text, re.MULTILINE)
    return [*CODE.findall(text), *snippets, *"\n".join(SHELL_BLOCK.findall(text)).splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=str)
class NameTests:
    """Nothing is named that is not there."""

    def test_keys(self, page: Path) -> None:
        """`limits.send`: a block that has such a key."""
        known = keys_by_block()
        for path in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", text_of(page)):
            for outer, inner in zip(path.split("."), path.split(".")[1:], strict=False):
                assert not known.get(outer) or inner in known[outer] | {"js", "md", "py"}, path

    def test_counters(self, page: Path) -> None:
        """`relayd_hub_lagged_total`: what /metrics shows."""
        known = counters()
        for name in re.findall(r"`(relayd_[a-z_]+(?:_\*)?)(?:\{\w+\})?`", text_of(page)):
            stem = name.removesuffix("*")
            assert name in known or (name.endswith("*") and any(one.startswith(stem) for one in known)), name

    def test_targets(self, page: Path) -> None:
        """`make demo`: a target of the Makefile."""
        makefiles = [ROOT / "Makefile", *ROOT.glob("*/targets*.mk"), *ROOT.glob("clients/*/targets.mk")]
        known = set(re.findall(r"^([a-z][a-z%-]*)(?=[ a-z-]*:(?!=))", "\n".join(map(text_of, makefiles)), re.MULTILINE))
        for line in commands_of(page):
            if not (found := re.match(r"make ([a-z-]+)", line)):
                continue
            name = found[1]
            assert name in known or (name.startswith("example-") and (ROOT / "examples" / name[8:]).is_dir()), name

    def test_commands(self, page: Path) -> None:
        """`relayd check FILE --topics T`: a command with these options."""
        for line in commands_of(page):
            if found := re.match(r"(?:/opt/relayd/bin/)?relayd ([a-z][a-z-]*)\b(.*?)(?: -- |#|[|>;]|$)", line):
                assert found[1] in main.commands, line
                known = {option for parameter in main.commands[found[1]].params for option in parameter.opts}
                assert set(re.findall(r"(?<= )--?[a-z][a-z-]*", found[2])) <= known, line


def test_readme_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands, one after the other, as they stand: init writes the file, check takes it and shows what is sent."""
    monkeypatch.chdir(tmp_path)
    lines = "\n".join(SHELL_BLOCK.findall(text_of(Path("README.md"))))
    outputs = []
    for line in re.findall(r"^relayd (.*?) *(?:#.*)?$", lines, re.MULTILINE):
        done = CliRunner().invoke(main, line.split())
        assert done.exit_code == 0, done.output
        outputs.append(done.output)
    written_file, good, sent = outputs
    assert written_file.startswith("relay.yaml is written.")
    assert good == "relay.yaml is good: 1 listener, 1 upstream, 1 route\n"
    assert '{"type":"subscribe","channels":[{"name":"ticker","product_ids":["BTC-USD"]}]}' in sent


def test_scenarios() -> None:
    """docs/client-test.md shows scenarios that there are."""
    shown = re.findall(r"^ ([a-z0-9-]+) +(?:passed|failed) ", text_of(Path("docs/client-test.md")), re.MULTILINE)
    assert shown
    assert set(shown) <= set(BY_NAME)
