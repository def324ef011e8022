"""What is text and what is not."""

from __future__ import annotations

import pytest

from relayd.core.utf8 import is_utf8


@pytest.mark.parametrize("payload", [b"", b"plain", b"\x00", "Zürich €".encode(), "😀".encode(), b"\xed\x9f\xbf"])
def test_text(payload: bytes) -> None:
    """Any character there is, up to four bytes long."""
    assert is_utf8(payload)


@pytest.mark.parametrize(
    "payload",
    [b"\xff", b"a\x80", "€".encode()[:2], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"],
    ids=["no byte of it", "no beginning", "no end", "too long a form", "a surrogate", "beyond the last character"],
)
def test_no_text(payload: bytes) -> None:
    """What RFC 3629 sections 3 and 4 leave out."""
    assert not is_utf8(payload)
