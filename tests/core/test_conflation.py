"""The key inside a payload."""

from __future__ import annotations

import pytest

from relayd.core.conflation import key_reader
from relayd.core.feed.path import parse_path


class KeyReaderTests:
    """What stands at the path."""

    @pytest.mark.parametrize(
        ("payload", "key"),
        [
            (b'{"a":{"b":"x"}}', "x"),
            (b'{"a":{"b":3}}', 3),
            (b'{"a":{"b":null}}', None),
            (b'{"a":{"b":[1]}}', None),
            (b'{"a":{"b":{}}}', None),
            (b'{"a":{}}', None),
            (b"not json", None),
            (b"\xff", None),
            (b"[" * 5000, None),
        ],
    )
    def test_read(self, payload: bytes, key: object) -> None:
        """Scalars are keys; everything else shares one."""
        assert key_reader(parse_path("a.b"))(payload) == key
