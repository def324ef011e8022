"""Which mechanism is shown by which test, and which feeds use it.

`python -m tests.feedsim.matrix` writes docs/feeds-matrix.md; with `--disable` each mechanism is taken out of the code,
one at a time, and the test named for it must fail. `--disable 15-24 40` does so with these rows of the table alone,
counted from 0.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from tests.feedsim.faults import FAULTS
from tests.feedsim.mechanisms import MECHANISMS, Mechanism, uses

ROOT = Path(__file__).parents[2]
WORKERS = 2
HEAD = """\
# Mechanisms, tests, feeds

Written by `python -m tests.feedsim.matrix`; not by hand. A feed is a file of [tests/feeds](../tests/feeds): a whole
relay.yaml and a script of messages, which `tests/core/feed/test_scripts.py` replays. Tests are below `tests/feedsim`,
where a simulated feed stands behind the whole program; those of `tests/core` show each mechanism by itself.
`python -m tests.feedsim.matrix --disable` takes each mechanism out of the code and sees the test fail.

| keys | what | test | feeds |
|-|-|-|-|
"""

FAULTS_HEAD = """
## Faults

What people report of feeds, what relayd does, and the tests that produce it.

| fault | behaviour | tests |
|-|-|-|
"""


def blocks() -> dict[str, Any]:
    """The upstream block of every feed."""
    found = {}
    for file in sorted((ROOT / "tests/feeds").glob("*.yaml")):
        [found[file.stem]] = yaml.safe_load(file.read_text("utf-8"))["upstreams"].values()
    return found


def table() -> str:
    """The page."""
    feeds = blocks()
    rows = []
    for one in MECHANISMS:
        named = ", ".join(feed for feed, block in feeds.items() if uses(block, one.name))
        test = shown(one.test)
        rows.append(f"| `{one.name}` | {one.does} | {test} | {named or 'none; the test adds it'} |\n")
    faults = [f"| {one.name} | {one.behaviour} | {'; '.join(map(shown, one.tests))} |\n" for one in FAULTS]
    return HEAD + "".join(rows) + FAULTS_HEAD + "".join(faults)


def shown(test: str) -> str:
    """A test as the page names it."""
    return test.removeprefix("tests/feedsim/").replace("::", " ")


def passes(one: Mechanism, row: int | None) -> bool:
    """Whether the test of a mechanism passes, without the mechanism where a row is given."""
    command = [sys.executable, "-m", "pytest", "-q", "--timeout", "30", "-p", "tests.feedsim.without", one.test]
    environ = {**os.environ, **({} if row is None else {"RELAYD_WITHOUT": str(row)})}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{one.test} did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def disable(rows: Sequence[int]) -> int:
    """Takes each of these mechanisms out. Returns how many tests passed all the same."""

    def judge(row: int) -> tuple[Mechanism, bool]:
        return MECHANISMS[row], passes(MECHANISMS[row], row)

    survived = 0
    with ThreadPoolExecutor(WORKERS) as pool:
        for one, passed in pool.map(judge, rows):
            survived += passed
            print("NOT NOTICED" if passed else "noticed    ", one.name, "-", one.does, flush=True)
    print(f"{len(rows) - survived} of {len(rows)} mechanisms are missed by the test that shows them")
    return survived


def rows_of(words: Sequence[str]) -> list[int]:
    """`15-24 40` as numbers, all where nothing is said."""
    if not words:
        return list(range(len(MECHANISMS)))
    ends = [word.partition("-") for word in words]
    return [row for first, _, last in ends for row in range(int(first), int(last or first) + 1)]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--disable"]:
        raise SystemExit(1 if disable(rows_of(sys.argv[2:])) else 0)
    (ROOT / "docs/feeds-matrix.md").write_text(table(), "utf-8")
