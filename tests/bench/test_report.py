"""Targets, tables and plots."""

from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import plot, report
from bench.figure import Bars, Check, Figure, Lines
from bench.workload import Workload


class CheckTests:
    """A target is met or it is not."""

    @pytest.mark.parametrize(
        ("value", "relation", "met"),
        [
            (1.0, "<=", True),
            (1.1, "<=", False),
            (1.0, ">=", True),
            (0.9, ">=", False),
            (1.0, "=", True),
            (1.1, "=", False),
        ],
    )
    def test_relations(self, value: float, relation: str, met: bool) -> None:
        """The limit itself meets it."""
        assert Check("x", value, relation, 1.0).met is met

    @pytest.mark.parametrize("relation", ["<=", ">=", "="])
    def test_not_measured_is_missed(self, relation: str) -> None:
        """NaN meets nothing."""
        assert not Check("x", math.nan, relation, 1.0).met

    def test_a_figure_without_targets_met_nothing(self) -> None:
        """An empty figure is not a success."""
        assert not Figure("x", "X", ("a",)).met


class WorkloadTests:
    """What is offered."""

    def test_offered(self) -> None:
        """Readers only, and each of its own topics only."""
        assert Workload(connections=500, rate=50).offered_per_s == 25000
        assert Workload(connections=5000, rate=2000, topics=1000, topics_each=10).offered_per_s == 100000
        assert Workload(connections=2000, rate=50, never_permille=100).readers == 1800


class ReportTests:
    """What is written."""

    def test_files(self, tmp_path: Path) -> None:
        """Table, verdicts, skipped peers, machine; JSON with the same; a plot each; none of an earlier run."""
        (tmp_path / "old-1.svg").write_text("old")
        figure = Figure("fan", "Fan-out", ("server", "us"), rows=[("relayd", "4.6")], notes=["a note"])
        figure.checks = [Check("CPU", 1.2, "<=", 1.15), Check("lost", 0, "=", 0)]
        figure.plots = [Bars("CPU", "us", [("relayd", 4.6), ("floor", 4.5)])]
        report.write(tmp_path, [figure], {"kernel": "Linux"}, {"relayd": "0.1"}, {"nats": "not here"}, "5 rounds")
        text = (tmp_path / "report.md").read_text()
        for part in (
            "| relayd | 4.6 |",
            "| **missed** | CPU | 1.200 | <= 1.150 |",
            "| ok | lost | 0 | = 0 |",
            "a note",
            "SKIPPED: not here",
            "kernel",
        ):
            assert part in text
        document = json.loads((tmp_path / "report.json").read_text())
        assert document["figures"][0]["met"] is False
        assert sorted(path.name for path in tmp_path.glob("*.svg")) == ["fan-1.svg"]


class PlotTests:
    """Charts are XML, show what they are given, and survive what cannot be drawn."""

    def test_bars(self) -> None:
        """One bar each, in proportion; a value that was not measured is a dash."""
        root = ElementTree.fromstring(plot.draw(Bars("A & B", "us", [("relayd", 2.0), ("x", 4.0), ("y", math.nan)])))
        widths = [float(e.get("width", 0)) for e in root.iter("{http://www.w3.org/2000/svg}rect")][1:]
        assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)
        texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
        assert {"A & B (us)", "relayd", "2", "4", "–"} <= set(texts)

    @pytest.mark.parametrize("log_y", [False, True])
    def test_lines(self, log_y: bool) -> None:
        """Every point inside the picture, higher values higher."""
        series = [("relayd", [(1, 0.5), (50, 2.0), (99, 80.0)]), ("x", [(1, 1.0), (50, math.inf), (99, 0.0)])]
        root = ElementTree.fromstring(plot.draw(Lines("L", "percent", "ms", series, log_y=log_y)))
        polylines = [e.get("points", "") for e in root.iter("{http://www.w3.org/2000/svg}polyline")]
        points = [tuple(map(float, pair.split(","))) for pair in polylines[0].split()]
        assert len(points) == 3
        assert points[0][1] > points[1][1] > points[2][1] >= plot.TOP
        assert all(0 <= x <= plot.WIDTH for x, _ in points)
        assert len(polylines[1].split()) == (1 if log_y else 2)

    def test_nothing_to_draw(self) -> None:
        """An empty chart says so."""
        assert "nothing was measured" in plot.draw(Lines("L", "x", "y", [("relayd", [])]))

    @pytest.mark.parametrize(("value", "text"), [(1234567.0, "1,234,567"), (0.4567, "0.457"), (math.nan, "–")])
    def test_numbers(self, value: float, text: str) -> None:
        """Three digits that count."""
        assert plot.number(value) == text
