"""The Autobahn Testsuite: its own Python 2.7 environment, its two modes, its verdicts.

The suite (517 cases, its last release from 2017) runs under Python 2.7 alone, so it gets an environment of its own
in .venv-py27 and talks to relayd over the loopback. Python 2.7 is taken from $PYTHON27, from the path, or from
pyenv.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
HERE: Final = Path(__file__).resolve().parent
VENV: Final = ROOT / ".venv-py27"
WSTEST: Final = [str(VENV / "env/bin/python"), "-W", "ignore", str(HERE / "wst27.py")]

#: The sections that take seconds: framing, pings, reserved bits, opcodes, fragments, UTF-8, closing, and one of 10.
#: 247 cases.
SHORT: Final = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
ALL: Final = ("*",)
SHORT_CASES: Final = 247
ALL_CASES: Final = 517
#: Not to be graded by design: what is done with data after a close, and with close codes that are reserved.
INFORMATIONAL: Final = frozenset({"7.1.6", "7.13.1", "7.13.2"})


class SuiteMissing(Exception):
    """The suite cannot run here; `str()` says what is missing."""


def find_python27() -> str:
    """Raises SuiteMissing where there is none."""
    candidates = [
        os.environ.get("PYTHON27"),
        shutil.which("python2.7"),
        *sorted(map(str, Path.home().glob(".pyenv/versions/2.7.*/bin/python2.7"))),
    ]
    for candidate in candidates:
        if (
            candidate
            and subprocess.run([candidate, "-c", "import ssl"], capture_output=True, check=False).returncode == 0
        ):
            return candidate
    raise SuiteMissing("no Python 2.7 with ssl and pip (set PYTHON27, or: pyenv install 2.7.18)")


def prepare() -> None:
    """Build .venv-py27 unless it is there. Raises SuiteMissing where that cannot be done."""
    ready = VENV / ".ready"
    pins = HERE / "requirements-py27.txt"
    if ready.exists() and ready.read_text() == pins.read_text():
        return
    python27 = find_python27()
    shutil.rmtree(VENV, ignore_errors=True)
    bootstrap = VENV / "bootstrap"
    pip = ["install", "--quiet", "--disable-pip-version-check"]
    steps = (
        (python27, "-m", "pip", *pip, "--target", str(bootstrap), "virtualenv<20.22"),
        # Found by this one step alone: pip would take what virtualenv brings for installed.
        ("env", f"PYTHONPATH={bootstrap}", python27, "-m", "virtualenv", "--quiet", str(VENV / "env")),
        (str(VENV / "env/bin/pip"), *pip, "--requirement", str(pins)),
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SuiteMissing(f"`{' '.join(step)}` failed: {done.stderr.strip().splitlines()[-1:]}")
    ready.write_text(pins.read_text())


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the suite says of one run: case -> (behavior, behaviorClose)."""

    cases: dict[str, tuple[str, str]]

    @property
    def counts(self) -> str:
        """`514 OK, 3 INFORMATIONAL`."""
        counted = Counter(behavior for behavior, _ in self.cases.values())
        return ", ".join(f"{count} {behavior}" for behavior, count in counted.most_common())

    @property
    def failures(self) -> list[str]:
        """Cases with anything but OK, informational ones left out."""
        return [
            f"{case} {behavior}/{close}"
            for case, (behavior, close) in sorted(self.cases.items(), key=lambda item: order_of(item[0]))
            if not (behavior == close == "OK" or (case in INFORMATIONAL and "INFORMATIONAL" in behavior + close))
        ]


def order_of(case: str) -> tuple[int, ...]:
    """The place of a case: 1.2 comes before 1.10."""
    return tuple(map(int, case.split(".")))


def read_verdicts(reports: Path, agent: str) -> Verdicts:
    """From the index.json that the suite writes."""
    index: dict[str, Any] = json.loads((reports / "index.json").read_text())
    return Verdicts({case: (row["behavior"], row["behaviorClose"]) for case, row in index[agent].items()})


def client_spec(folder: Path, url: str, agent: str, cases: tuple[str, ...]) -> list[str]:
    """The command that attacks the server at `url`; its reports go into `folder`."""
    spec = {
        "outdir": str(folder),
        "options": {"failByDrop": False},
        "servers": [{"agent": agent, "url": url}],
        "cases": list(cases),
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    return [*WSTEST, "-m", "fuzzingclient", "-s", _written(folder, spec)]


def server_spec(folder: Path, url: str, cases: tuple[str, ...], tls: tuple[Path, Path] | None) -> list[str]:
    """The command that waits for clients at `url`; its reports go into `folder`."""
    spec: dict[str, Any] = {
        "url": url,
        "outdir": str(folder),
        "cases": list(cases),
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    if tls is not None:
        spec |= {"cert": str(tls[0]), "key": str(tls[1])}
    return [*WSTEST, "-u", "0", "-m", "fuzzingserver", "-s", _written(folder, spec)]


def _written(folder: Path, spec: dict[str, Any]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spec.json"
    path.write_text(json.dumps(spec))
    return str(path)
