"""relayd as it ships: its wheel, built once per content of the tree, installed into a virtualenv per Python.

Everything is kept in .venv-e2e/, so that a run after the first finds it done:

    .venv-e2e/wheels/<hash of the sources>/relayd-*.whl
    .venv-e2e/python3.11-<hash of the dependencies>/        with the newest wheel in it
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
STORE = ROOT / ".venv-e2e"
SHIPPED = ("relayd", "twisted", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
INSTALL_WITHIN_S = 300


@dataclass(frozen=True, slots=True)
class Installation:
    """A virtualenv that holds relayd's wheel and what it depends on, and nothing of the tree."""

    root: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.root / "bin" / "python"

    def script(self, name: str) -> Path:
        """A program it installed, such as `twistd`."""
        return self.root / "bin" / name


def sources() -> Iterator[Path]:
    """What the wheel is made of."""
    for name in SHIPPED:
        path = ROOT / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (f for f in files if f.is_file() and "__pycache__" not in f.parts and f.name != "dropin.cache")


def content_hash() -> str:
    """Changes with any byte or name of the sources."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def wheel() -> Path:
    """relayd's wheel, built from a copy of the sources alone, so that nothing left in the tree can slip in."""
    with alone("wheel"):
        place = STORE / "wheels" / content_hash()
        if not (found := list(place.glob("relayd-*.whl"))):
            shutil.rmtree(place.parent, ignore_errors=True)
            copy = place / "source"
            for path in sources():
                target = copy / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
            run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", place, copy)
            shutil.rmtree(copy)
            found = list(place.glob("relayd-*.whl"))
        return found[0]


def installation(python: str | Path = sys.executable) -> Installation:
    """relayd's wheel installed for this Python.

    Args:
        python: the interpreter that the virtualenv is made with.
    """
    built = wheel()
    depends = hashlib.sha256((ROOT / "setup.cfg").read_bytes()).hexdigest()[:8]
    version = subprocess.run(
        [python, "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    with alone(version):
        place = Installation(STORE / f"{version}-{depends}")
        holds = place.root / "wheel"  # names the wheel inside
        if not place.python.exists() or not holds.exists():
            for old in STORE.glob(f"{version}-*"):
                shutil.rmtree(old)
            run(python, "-m", "venv", "--without-pip", place.root)
            # Compiling what another Python needs only once would double the time.
            once = () if python == sys.executable else ("--no-compile",)
            _pip(place, "install", "--quiet", *once, built)
        elif holds.read_text() != str(built):
            _pip(place, "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall", built)
        holds.write_text(str(built))
        return place


def _pip(place: Installation, *args: str | Path) -> None:
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", place.python, *args)


def run(*args: str | Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    done = subprocess.run(
        [str(arg) for arg in args],
        cwd=STORE, env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_WITHIN_S,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(map(str, args))}\n{done.stdout}\n{done.stderr}"


@contextmanager
def alone(what: str) -> Iterator[None]:
    """One process of a parallel test run at a time."""
    STORE.mkdir(exist_ok=True)
    with open(STORE / f"{what}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
