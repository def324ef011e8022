"""The tables are as long as was promised."""

from __future__ import annotations

import pytest

from tests.security import count


class CountTests:
    """What `make security` prints."""

    def test_long_enough(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Each table."""
        assert count.main() == 0
        assert len(capsys.readouterr().out.splitlines()) == len(count.TABLES) + 1

    def test_too_short(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """A vector that goes missing is a failure."""
        monkeypatch.setattr(count, "TABLES", (("JWT", ((1, 2),), 3),))
        assert count.main() == 1
        assert "TOO FEW" in capsys.readouterr().out
