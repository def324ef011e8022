"""The published JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from relayd.config.model import Block, Config
from relayd.config.schema import blocks_of, schema
from tests.support.json_schema import faults
from tests.support.relay_yaml import UPSTREAM, relay_yaml

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = [ROOT / "etc/relay.yaml", ROOT / "relayd/demo/relay.yaml", *sorted((ROOT / "tests/feeds").glob("*.yaml"))]
SCHEMA = schema()


def read(text: str) -> Any:
    """A file as an editor sees it: `off` is a text in YAML 1.2."""
    return yaml.safe_load(text.replace(": off", ': "off"'))


class SchemaTests:
    """What lets an editor complete the file."""

    @pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name + "/" + path.stem)
    def test_accepts(self, path):
        """Every file of the project."""
        assert list(faults(SCHEMA, read(path.read_text("utf-8")))) == []

    @pytest.mark.parametrize(
        "text",
        [
            relay_yaml(UPSTREAM + "hartbeat: off"),
            relay_yaml(UPSTREAM + "silence: {any: 5}"),
            relay_yaml(UPSTREAM + "reconnect: {codes: {99: stop}}"),
            relay_yaml(UPSTREAM + "limits: {topics: 0}"),
            relay_yaml(route="{upstream: feed}"),
            relay_yaml(route="{topic: x, upstream: feed, allow: {a: []}}"),
            relay_yaml(route="{topic: x, upstream: feed, deliver: {max_hz: 0}}"),
            relay_yaml(top="limits: {message: 5XB}"),
            relay_yaml(top="listeners: [{endpoint: 'http:8080'}]"),
            relay_yaml(top="log: {format: xml}"),
            "upstreams: {}\nroutes: []\n",
        ],
    )
    def test_refuses(self, text):
        """What an editor can underline."""
        assert list(faults(SCHEMA, read(text)))

    def test_is_json(self):
        """And says what it is."""
        assert json.loads(json.dumps(SCHEMA))["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert SCHEMA["title"] == "relay.yaml"

    def test_every_key_is_explained(self):
        """An editor shows the reason beside the key; defaults are as one writes them."""
        for name, shape in {"": SCHEMA, **SCHEMA["$defs"]}.items():
            for key, stated in shape["properties"].items():
                target = SCHEMA["$defs"][stated["$ref"].rsplit("/", 1)[1]] if "$ref" in stated else {}
                assert stated.get("description") or target.get("description"), f"{name}.{key}"
                assert "title" not in stated
        limits = SCHEMA["$defs"]["Limits"]["properties"]
        assert limits["ring_bytes"]["default"] == "512MiB"
        assert limits["per_address"]["default"] == "off"
        assert "default" not in SCHEMA["$defs"]["Deliver"]["properties"]["mode"]

    def test_blocks(self):
        """Every block, each once, the file first."""
        blocks = list(blocks_of(Config))
        assert blocks[0] is Config
        assert len(set(blocks)) == len(blocks) > 30
        assert all(issubclass(block, Block) for block in blocks)
