"""Writes what was measured: report.md for people, report.json for programs, one SVG a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import plot
from bench.figure import Check, Figure


def value_text(value: float) -> str:
    """A check's value or limit: whole numbers whole, others with three decimals."""
    if math.isnan(value):
        return "not measured"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3f}"


def check_line(check: Check) -> str:
    """One target for the terminal."""
    verdict = "ok    " if check.met else "MISSED"
    return f"{verdict}  {check.name}: {value_text(check.value)} (target {check.relation} {value_text(check.limit)})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: first column left, the others right."""
    lines = [f"| {' | '.join(head)} |", f"|-|{'-:|' * (len(head) - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def markdown(
    figures: Sequence[Figure],
    facts: Mapping[str, str],
    versions: Mapping[str, str],
    skipped: Mapping[str, str],
    how: str,
) -> str:
    """The whole report."""
    parts = ["# relayd and its peers, measured in one run\n", f"{how}\n\nHow to read it: `docs/performance.md`.\n"]
    for figure in figures:
        parts.append(f"## {figure.title}\n")
        parts.append(table(figure.head, figure.rows))
        if figure.checks:
            rows = [
                ("ok" if c.met else "**missed**", c.name, value_text(c.value), f"{c.relation} {value_text(c.limit)}")
                for c in figure.checks
            ]
            parts.append(table(("", "target", "measured", "limit"), rows))
        parts += [f"{note}\n" for note in figure.notes]
        parts += [f"![{chart.title}]({figure.name}-{number}.svg)\n" for number, chart in enumerate(figure.plots, 1)]
    parts.append("## Servers\n")
    parts.append(
        table(("server", "version"), [*versions.items(), *((name, f"SKIPPED: {why}") for name, why in skipped.items())])
    )
    parts.append("## Machine\n")
    parts.append(table(("fact", "value"), list(facts.items())))
    return "\n".join(parts)


def write(
    folder: Path,
    figures: Sequence[Figure],
    facts: Mapping[str, str],
    versions: Mapping[str, str],
    skipped: Mapping[str, str],
    how: str,
) -> None:
    """All files into `folder`, which is made; plots of an earlier run there are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for figure in figures:
        for number, chart in enumerate(figure.plots, 1):
            (folder / f"{figure.name}-{number}.svg").write_text(plot.draw(chart))
    (folder / "report.md").write_text(markdown(figures, facts, versions, skipped, how))
    document: dict[str, Any] = {
        "how": how,
        "machine": dict(facts),
        "versions": dict(versions),
        "skipped": dict(skipped),
        "figures": [
            {
                "name": figure.name,
                "title": figure.title,
                "met": figure.met,
                "checks": [{**asdict(check), "met": check.met} for check in figure.checks],
                "notes": figure.notes,
                "data": figure.data,
            }
            for figure in figures
        ],
    }
    (folder / "report.json").write_text(json.dumps(document, indent=1, default=str))
