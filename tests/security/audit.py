"""Known vulnerabilities of everything that is installed beside relayd, by pip-audit. A miss fails.

    python -m tests.security.audit [--must]

pip-audit has an environment of its own, .venv-audit. It says "no known vulnerabilities" also where it could ask nobody,
and lists what it skipped: here a package that nobody could be asked about is no clean one. Where nobody can be asked
about any it says SKIPPED and why. That fails nothing, in CI neither: the service is no component of this tree, and that
it is away says nothing of a change. With `--must`, for who publishes a release, it fails.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
VENV: Final = ROOT / ".venv-audit"
WITHIN_S: Final = 600
#: What is not published there, since it is what is being audited.
OWN: Final = frozenset({"relayd", "relayd-client"})


class ServiceMissing(Exception):
    """Nobody can be asked; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What pip-audit says."""

    asked: int = 0
    vulnerable: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Packages about which it could not ask."""


def read(report: dict[str, Any]) -> Findings:
    """Of pip-audit's JSON."""
    vulnerable, unknown, asked = [], [], 0
    for package in report["dependencies"]:
        if package["name"] in OWN:
            continue
        if "skip_reason" in package:
            unknown.append(package["name"])
            continue
        asked += 1
        for one in package["vulns"]:
            fixed = ", ".join(one["fix_versions"]) or "no version yet"
            vulnerable.append(f"{package['name']} {package['version']}: {one['id']} (fixed in {fixed})")
    return Findings(asked, vulnerable, unknown)


def ask() -> Findings:
    """Raises ServiceMissing."""
    audit = VENV / "bin/pip-audit"
    if not audit.exists():
        _run(sys.executable, "-m", "venv", str(VENV))
        pip = [str(VENV / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--retries", "1"]
        _run(*pip, "install", "--quiet", "pip-audit>=2.9")
    where = sysconfig.get_paths()["purelib"]
    done = _run(str(audit), "--path", where, "--format", "json", "--progress-spinner", "off", may_find=True)
    return read(json.loads(done))


def _run(*command: str, may_find: bool = False) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        raise ServiceMissing(f"{command[0]} took longer than {WITHIN_S} s") from None
    if done.returncode and not (may_find and done.stdout.startswith("{")):
        raise ServiceMissing((done.stderr.strip().splitlines() or [f"{command[0]} failed"])[-1])
    return done.stdout


def main(*arguments: str) -> int:
    """As above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--must", action="store_true", help="fail where nobody can be asked")
    options = parser.parse_args(arguments)
    try:
        found = ask()
        if not found.asked:
            raise ServiceMissing(
                f"nobody could be asked about any of {len(found.unknown)} packages: the package index's service of "
                "known vulnerabilities cannot be reached from here, or a mirror without one stands in its place"
            )
    except ServiceMissing as missing:
        print(f"SKIPPED audit: {missing}")
        return 1 if options.must else 0
    for line in found.vulnerable:
        print(line)
    if found.unknown:
        print(f"nobody could be asked about: {', '.join(found.unknown)}")
    print(f"{found.asked} packages, {len(found.vulnerable)} known vulnerabilities, {len(found.unknown)} unknown")
    return 1 if found.vulnerable or found.unknown else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
