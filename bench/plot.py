"""Bar and line charts as SVG: a few shapes, no library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bench.figure import Bars, Lines

WIDTH = 760
ROW = 26
LEFT, RIGHT, TOP, BOTTOM = 150, 90, 46, 46
LINE_HEIGHT = 360
LEGEND = 120
OURS = "#0b6e4f"
COLOURS = (OURS, "#444444", "#c2571a", "#2f6db5", "#8a3ab9", "#b8860b", "#c0392b", "#1797a6", "#7f8c8d")
MUTED = "#9fb3c8"

STYLE = (
    "<style>text{font:12px system-ui,sans-serif;fill:#222}.title{font-weight:600;font-size:14px}.muted{fill:#667}"
    ".axis{stroke:#bbb}.grid{stroke:#eee}svg{background:#fff}</style>"
)


def _svg(height: float, body: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}">'
        f'{STYLE}<rect width="{WIDTH}" height="{height:.0f}" fill="#fff"/>{"".join(body)}</svg>\n'
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def number(value: float) -> str:
    """A value as a chart's label: three digits that count, thousands separated."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def bars(chart: Bars) -> str:
    """Horizontal bars, relayd's in its own colour."""
    most = max((value for _, value in chart.bars if math.isfinite(value)), default=0) or 1
    body = [_text(16, 24, f"{chart.title} ({chart.unit})", "title")]
    for row, (label, value) in enumerate(chart.bars):
        y = TOP + row * ROW
        length = (WIDTH - LEFT - RIGHT) * (value / most if math.isfinite(value) else 0)
        colour = OURS if label == "relayd" else MUTED
        body.append(_text(LEFT - 8, y + 15, label, anchor="end"))
        body.append(f'<rect x="{LEFT}" y="{y + 2}" width="{max(length, 1):.1f}" height="{ROW - 8}" fill="{colour}"/>')
        body.append(_text(LEFT + length + 6, y + 15, number(value), "muted"))
    return _svg(TOP + len(chart.bars) * ROW + 16, body)


def _ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    if logarithmic:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return [10.0**power for power in range(first, last + 1)]
    step = 10 ** math.floor(math.log10((high - low) or 1))
    while (high - low) / step > 6:
        step *= 2
    first = math.ceil(low / step)
    return [step * i for i in range(first, math.floor(high / step) + 1)]


def lines(chart: Lines) -> str:
    """Named series over a common pair of axes; points an axis cannot show (not finite, not positive) are left out."""
    series = [
        (name, [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y) and (y > 0 or not chart.log_y)])
        for name, points in chart.series
    ]
    points = [point for _, some in series for point in some]
    body = [_text(16, 24, chart.title, "title")]
    if not points:
        return _svg(TOP + BOTTOM, [*body, _text(16, TOP + 10, "nothing was measured", "muted")])
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_ticks = _ticks(min(y for _, y in points), max(y for _, y in points), chart.log_y)
    y_low, y_high = min(y_ticks[0], *(y for _, y in points)), max(y_ticks[-1], *(y for _, y in points))
    right = WIDTH - LEGEND

    def across(x: float) -> float:
        return 70 + (right - 70) * ((x - x_low) / ((x_high - x_low) or 1))

    def up(y: float) -> float:
        low, high, at = (math.log10(v) for v in (y_low, y_high, y)) if chart.log_y else (y_low, y_high, y)
        return TOP + LINE_HEIGHT * (1 - (at - low) / ((high - low) or 1))

    for tick in y_ticks:
        body.append(f'<line class="grid" x1="70" x2="{right}" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        body.append(_text(62, up(tick) + 4, number(tick), "muted", "end"))
    for tick in _ticks(x_low, x_high, False):
        body.append(_text(across(tick), TOP + LINE_HEIGHT + 18, number(tick), "muted", "middle"))
    body.append(f'<line class="axis" x1="70" x2="{right}" y1="{TOP + LINE_HEIGHT}" y2="{TOP + LINE_HEIGHT}"/>')
    body.append(_text((70 + right) / 2, TOP + LINE_HEIGHT + 38, chart.x_label, "muted", "middle"))
    body.append(_text(16, TOP - 6, chart.y_label, "muted"))
    for row, (name, some) in enumerate(series):
        colour = COLOURS[row % len(COLOURS)]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in some)
        thick = 3 if name == "relayd" else 1.5
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{thick}"/>')
        body.append(f'<rect x="{right + 12}" y="{TOP + row * 20 - 9}" width="10" height="10" fill="{colour}"/>')
        body.append(_text(right + 28, TOP + row * 20, name))
    return _svg(TOP + LINE_HEIGHT + BOTTOM, body)


def draw(chart: Bars | Lines) -> str:
    """The chart as an SVG document."""
    return bars(chart) if isinstance(chart, Bars) else lines(chart)
