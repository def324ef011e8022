"""Waits and hints."""

from __future__ import annotations

import pytest
from relayd_client.codes import Backoff, is_final, retry_hint_s


@pytest.mark.parametrize(
    ("reason", "seconds"),
    [
        ("restart; retry=7", 7),
        ("restart", 0),
        ("", 0),
        ("x; retry=", 0),
        ("x; retry=-1", 0),
        ("x; retry=999999", 86_400),
        ("x; retry=" + "9" * 40, 0),
    ],
)
def test_hint(reason: str, seconds: int) -> None:
    """Of a close reason; bounded."""
    assert retry_hint_s(reason) == seconds


def test_full_jitter() -> None:
    """From 0 to a ceiling that doubles from 1 s to 60 s, and begins anew."""
    dice = [1.0]
    backoff = Backoff(lambda: dice[0])
    assert [backoff.next_s() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    dice[0] = 0.0
    assert backoff.next_s() == 0
    dice[0] = 0.5
    backoff.settled()
    assert backoff.next_s() == 0.5


@pytest.mark.parametrize("code", [1000, 1002, 4500, 4999])
def test_final(code: int) -> None:
    """Not to come back."""
    assert is_final(code)


@pytest.mark.parametrize("code", [1001, 1006, 1011, 1012, 3000, 4000, 4499, 5000])
def test_not_final(code: int) -> None:
    """To come back, also after codes that nobody knows."""
    assert not is_final(code)
