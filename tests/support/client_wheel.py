"""The Python client as it ships: its wheel, installed into a virtualenv of its own, without relayd."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.wheel import ROOT, STORE, Installation, alone, run

CLIENT = ROOT / "clients/python"


def client_sources() -> Iterator[Path]:
    """What the wheel is made of."""
    yield from (CLIENT / name for name in ("pyproject.toml", "README.md", "LICENSE"))
    yield from sorted(path for path in (CLIENT / "src").rglob("*") if path.suffix in (".py", ".typed"))


def client_wheel() -> Path:
    """Built from a copy of its sources alone, once per content."""
    digest = hashlib.sha256()
    for path in client_sources():
        digest.update(f"{path.relative_to(CLIENT)}\0".encode() + path.read_bytes())
    with alone("client-wheel"):
        place = STORE / "client-wheels" / digest.hexdigest()[:16]
        if not list(place.glob("*.whl")):
            shutil.rmtree(place.parent, ignore_errors=True)
            copy = place / "source"
            for path in client_sources():
                target = copy / path.relative_to(CLIENT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
            run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", place, copy)
            shutil.rmtree(copy)
        return next(place.glob("*.whl"))


def client_installation() -> Installation:
    """The wheel and what it depends on, and nothing else."""
    built = client_wheel()
    with alone("client"):
        place = Installation(STORE / "client")
        holds = place.root / "wheel"
        if not holds.exists() or holds.read_text() != str(built):
            shutil.rmtree(place.root, ignore_errors=True)
            run(sys.executable, "-m", "venv", "--without-pip", place.root)
            pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", place.python)
            run(*pip, "install", "--quiet", built)
            holds.write_text(str(built))
        return place
