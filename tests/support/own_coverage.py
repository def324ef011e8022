"""Whether each module of core/ and config/ is covered, every line and branch, by its own test file alone.

Reads the .coverage that `pytest --cov --cov-context=test` wrote, in which every line knows the tests that ran it:

    python -m tests.support.own_coverage

A line that runs at import belongs to no test and counts as run.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from coverage import Coverage

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("core", "config")
SHOWN = 12  # what fits a line


def gaps(coverage: Coverage, module: Path) -> list[str]:
    """What the module's own tests leave out: line numbers, and `from->to` for branches."""
    own = Path("tests") / module.relative_to(ROOT / "relayd").with_name(f"test_{module.name}")
    coverage.get_data().set_query_contexts(["^$", f"^{re.escape(str(own))}::"])
    try:
        analysis = coverage._analyze(str(module))  # the public analysis2() tells lines, but no branches
    finally:
        coverage.get_data().set_query_contexts(None)
    lines = [str(line) for line in sorted(analysis.missing)]
    branches = [
        f"{start}->{'exit' if end < 0 else end}"
        for start, ends in sorted(analysis.missing_branch_arcs().items())
        for end in ends
        if start not in analysis.missing
    ]
    return lines + branches


def main() -> int:
    """Prints what is missing; 0 if that is nothing."""
    coverage = Coverage()
    coverage.load()
    count = wanting = 0
    for room in ROOMS:
        for module in sorted((ROOT / "relayd" / room).rglob("*.py")):
            if module.name == "__init__.py" and not module.read_text("utf-8").strip():
                continue
            count += 1
            if left_out := gaps(coverage, module):
                wanting += 1
                more = f" and {len(left_out) - SHOWN} more" if len(left_out) > SHOWN else ""
                print(f"{module.relative_to(ROOT)}: its own tests leave out {', '.join(left_out[:SHOWN])}{more}")
    print(f"{count - wanting} of {count} modules of {' and '.join(ROOMS)} are covered whole by their own tests")
    return 1 if wanting else 0


if __name__ == "__main__":
    sys.exit(main())
