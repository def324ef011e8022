"""What a test needs beside Python: found, or the test is skipped and says so; where CI is set it fails instead."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest


def in_ci() -> bool:
    """Whether everything is promised to be there (CI=true)."""
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def missing(what: str, remedy: str, *, promised: bool = True) -> NoReturn:
    """Ends the test: as skipped with the reason, in CI as failed.

    Args:
        what: the component.
        remedy: how to get it.
        promised: whether CI is bound to have it; False: it is skipped there, too.
    """
    text = f"{what} is missing ({remedy})"
    if in_ci() and promised:
        pytest.fail(text)
    pytest.skip(text)


def command(name: str, package: str) -> str:
    """The path of a program.

    Args:
        name: as typed.
        package: Debian's package that brings it.
    """
    return shutil.which(name) or missing(name, f"apt-get install {package}")


def python(version: str) -> Path:
    """An interpreter of this version (`3.12`), on the PATH or of pyenv, that can make virtualenvs.

    Promised is what PYTHONS names: Debian has one Python each.
    """
    wanted = f"python{version}"
    of_pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{wanted}"), reverse=True)
    for candidate in (shutil.which(wanted), *of_pyenv):
        # A shim of pyenv is there for a version that is not switched on, and fails.
        if candidate and subprocess.run([candidate, "-c", "import venv"], capture_output=True).returncode == 0:
            return Path(candidate)
    promised = version in os.environ.get("PYTHONS", "").split()
    missing(f"Python {version} with venv", "put it on the PATH", promised=promised)
