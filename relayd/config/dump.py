"""Plain data as YAML that `load` reads back as the same data, whatever version of YAML the next reader knows."""

from __future__ import annotations

from typing import Any

import yaml

from relayd.config.plain import Ambiguous, TooLong, read_plain


class _Dumper(yaml.SafeDumper):
    """Without aliases, which relay.yaml may not have; lists stand below their key, indented."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        is_plain = text.isprintable() and read_plain(text) == text
    except (Ambiguous, TooLong):
        is_plain = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_Dumper.add_representer(str, _represent_text)


def dump(data: Any) -> str:
    """The YAML of dicts, lists, texts, numbers, booleans and None; keys in the order they have."""
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    assert isinstance(text, str)
    return text
