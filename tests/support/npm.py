"""What clients/javascript is built and checked with: installed from its package.json, once."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

from tests.support import require
from tests.support.wheel import ROOT, STORE

CLIENT = ROOT / "clients/javascript"
INSTALL_WITHIN_S = 120


def tool(name: str) -> Path:
    """A program among the package's devDependencies, such as `tsc`."""
    npm = require.command("npm", "npm")
    STORE.mkdir(exist_ok=True)
    made, program = CLIENT / "node_modules/.package-lock.json", CLIENT / "node_modules/.bin" / name
    with (STORE / "npm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or made.stat().st_mtime < (CLIENT / "package.json").stat().st_mtime:
            done = subprocess.run(
                [npm, "install", "--silent"],
                cwd=CLIENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_WITHIN_S,
            )  # fmt: skip
            if done.returncode:
                require.missing("what clients/javascript is built with", done.stderr[-300:])
            made.touch()
    return program
