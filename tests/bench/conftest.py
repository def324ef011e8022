"""What all tests of the bench need first."""

from __future__ import annotations

import pytest

from bench import build


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """The C programs, compiled before a test opens a server, which would not wait so long on a busy machine."""
    build.programs()
