"""What a test needs beside Python: found, or the test is skipped and says so; where CI is set it fails instead."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def in_ci() -> bool:
    """Whether everything is promised to be there (CI=true)."""
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def missing(what: str, remedy: str) -> NoReturn:
    """Ends the test: as skipped with the reason, in CI as failed."""
    text = f"{what} is missing ({remedy})"
    if in_ci():
        pytest.fail(text)
    pytest.skip(text)


def command(name: str, package: str) -> str:
    """The path of a program.

    Args:
        name: as typed.
        package: Debian's package that brings it.
    """
    return shutil.which(name) or missing(name, f"apt-get install {package}")
