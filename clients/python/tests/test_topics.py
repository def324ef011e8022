"""Topics and patterns."""

from __future__ import annotations

import pytest
from relayd_client import topic
from relayd_client.topics import matcher


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("kraken", "ticker", "BTC/USD"), "kraken/ticker/BTC~2FUSD"),
        ((1, True, 2.5), "1/True/2.5"),
        (("..",), "~2E~2E"),
        (("a..",), "a.."),
        (("é", "*", "~"), "~C3~A9/~2A/~7E"),
    ],
)
def test_topic(values: tuple[object, ...], expected: str) -> None:
    """Each value is one segment."""
    assert topic(*values) == expected


@pytest.mark.parametrize("values", [(), ("",), ("a", "")])
def test_no_topic(values: tuple[object, ...]) -> None:
    """A segment is never empty."""
    with pytest.raises(ValueError, match="value"):
        topic(*values)


@pytest.mark.parametrize(
    ("pattern", "name", "met"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/*", "a/b", True),
        ("a/*", "a/b/c", False),
        ("a/**", "a/b/c", True),
        ("a/**", "a", False),
        ("a.c/*", "abc/d", False),
        ("*/b", "a/b", True),
    ],
)
def test_pattern(pattern: str, name: str, met: bool) -> None:
    """`*` is one segment, a trailing `**` the rest."""
    assert matcher(pattern)(name) is met
