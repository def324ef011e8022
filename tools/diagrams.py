"""Draws the diagrams of docs/ from the tables in the code.

    python -m tools.diagrams            writes them
    python -m tools.diagrams --check    fails if one is not current

`docs/design/upstream-states.md` holds the picture, and the table as text; the picture is an SVG without fonts or
scripts of its own, readable on light and dark pages.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from html import escape
from math import hypot
from pathlib import Path

from relayd.core.upstream import states
from relayd.core.upstream.states import TABLE, Event, Rule, State

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "design" / "upstream-states.md"
PICTURE = PAGE.with_suffix(".svg")

#: Where each state stands, in columns and rows; every state has a place, or the drawing fails.
PLACES = {
    State.STOPPED: (0, 0.85),
    State.IDLE: (0, 1.65),
    State.CONNECTING: (1.15, 1.65),
    State.HANDSHAKING: (2.25, 1.65),
    State.LOGIN: (3.35, 1.65),
    State.SUBSCRIBING: (4.45, 1.65),
    State.LIVE: (5.55, 1.65),
    State.STALE: (5.55, 0.85),
    State.BACKOFF: (1.7, 2.65),
    State.REFUSED: (3.9, 2.65),
    State.DRAINING: (2.8, 0),
}
#: How all states end that have a connection, or are making one.
ALIKE = {
    Event.LOST: State.BACKOFF,
    Event.REFUSE: State.REFUSED,
    Event.CLOSE: State.DRAINING,
    Event.STOP: State.DRAINING,
}
Point = tuple[float, float]
COLUMN, ROW, WIDTH, HEIGHT, MARGIN = 150, 110, 112, 34, 20

INTRODUCTION = """\
# The states of an upstream

An upstream's life is a table: every state meets every event, and what follows is written down, also where nothing does.
The table stands in `relayd/core/upstream/states.py`, `session.py` beside it lives by it, and this page is drawn from
it by `python -m tools.diagrams`. A test fails when the page is not current.

![The states of an upstream](upstream-states.svg)

From every state that has a connection, or is making one, `lost` leads to backoff, `refuse` to refused, and `close` and
`stop` to draining; those arrows are drawn once, from the frame around these states. `stop` ends the states without a
connection at once (drawn for idle alone). A goodbye under way ends in idle, whatever ends it; a stop that was asked for
then follows.
"""


@dataclass(frozen=True)
class Arrow:
    """One line of the picture; `origin` None = the frame."""

    origin: State | None
    target: State
    label: str


def framed() -> list[State]:
    """The states whose ways out are alike, and are drawn once."""
    return [state for state in State if all(TABLE[state][event] is target for event, target in ALIKE.items())]


def arrows() -> list[Arrow]:
    """What is drawn: parallel ones joined."""
    frame = framed()
    found: dict[tuple[State | None, State], list[str]] = {}
    for state in State:
        for event, target in TABLE[state].items():
            if isinstance(target, State) and not (event is Event.STOP and state in (State.BACKOFF, State.REFUSED)):
                shared = state in frame and event in ALIKE
                labels = found.setdefault((None if shared else state, target), [])
                if event.value not in labels:
                    labels.append(event.value)
    return [Arrow(origin, target, ", ".join(labels)) for (origin, target), labels in found.items()]


def centre(state: State) -> Point:
    """The middle of a state's box."""
    column, row = PLACES[state]
    return MARGIN + WIDTH / 2 + column * COLUMN, MARGIN + HEIGHT / 2 + row * ROW


def edge(origin: Point, towards: Point, margin: float = 3) -> Point:
    """Where the line from the middle of a box leaves the box."""
    x, y = towards[0] - origin[0], towards[1] - origin[1]
    scale = min(
        (WIDTH / 2 + margin) / abs(x) if x else float("inf"), (HEIGHT / 2 + margin) / abs(y) if y else float("inf")
    )
    return origin[0] + x * scale, origin[1] + y * scale


def svg() -> str:
    """The picture."""
    frame_states = framed()
    xs = [centre(state)[0] for state in frame_states]
    ys = [centre(state)[1] for state in frame_states]
    left, right = min(xs) - WIDTH / 2 - 10, max(xs) + WIDTH / 2 + 10
    top, bottom = min(ys) - HEIGHT / 2 - 10, max(ys) + HEIGHT / 2 + 10
    lines = [frame_box(left, top, right, bottom)]
    for arrow in arrows():
        target = centre(arrow.target)
        if arrow.origin is None:
            start = (target[0], bottom if target[1] > bottom else top)
            lines.append(line(start, edge(target, start), arrow.label, 0.45))
        else:
            origin = centre(arrow.origin)
            both_ways = any(other.origin is arrow.target and other.target is arrow.origin for other in arrows())
            start, end = edge(origin, target), edge(target, origin)
            start, end = shifted(start, end, 9) if both_ways else (start, end)
            lines.append(line(start, end, arrow.label, aside=both_ways))
    lines += [box(state) for state in State]
    width = 2 * MARGIN + WIDTH + COLUMN * max(column for column, _ in PLACES.values())
    height = 2 * MARGIN + HEIGHT + ROW * max(row for _, row in PLACES.values())
    return HEAD.format(width=round(width), height=round(height)) + "\n".join(lines) + "\n</svg>\n"


HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>The states of an upstream</title>
<style>
  text {{ font: 13px system-ui, sans-serif; text-anchor: middle; dominant-baseline: middle; fill: #1f2933 }}
  .label {{ font-size: 11px; fill: #52606d; paint-order: stroke; stroke: #fff; stroke-width: 4px }}
  .box {{ fill: #f0f4f8; stroke: #486581; stroke-width: 1.2 }}
  .frame {{ fill: none; stroke: #9fb3c8; stroke-dasharray: 4 4 }}
  .line {{ fill: none; stroke: #486581; stroke-width: 1.2; marker-end: url(#head) }}
  marker path {{ fill: #486581 }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #f0f4f8 }} .label {{ fill: #bcccdc; stroke: #0d1117 }}
    .box {{ fill: #243b53; stroke: #829ab1 }} .line {{ stroke: #829ab1 }} marker path {{ fill: #829ab1 }}
  }}
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">\
<path d="M0 0 8 4 0 8z"/></marker></defs>
"""


def box(state: State) -> str:
    """A state."""
    x, y = centre(state)
    corner = f'x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" rx="8"'
    return f'<rect class="box" {corner}/><text x="{x:g}" y="{y:g}">{escape(state.value)}</text>'


def frame_box(left: float, top: float, right: float, bottom: float) -> str:
    """The frame around the states that end alike."""
    size = f'width="{right - left:g}" height="{bottom - top:g}"'
    return f'<rect class="frame" x="{left:g}" y="{top:g}" {size} rx="14"/>'


def line(start: Point, end: Point, label: str, at: float = 0.5, aside: bool = False) -> str:
    """An arrow with its label, in the line or `aside` of it."""
    x, y = start[0] + (end[0] - start[0]) * at, start[1] + (end[1] - start[1]) * at
    if aside:
        x += (-1 if end[1] > start[1] else 1) * (8 + 3 * len(label))
    elif end[1] == start[1]:
        y -= 12
    path = f'<path class="line" d="M{start[0]:.1f} {start[1]:.1f}L{end[0]:.1f} {end[1]:.1f}"/>'
    return f'{path}<text class="label" x="{x:.1f}" y="{y:.1f}">{escape(label)}</text>'


def shifted(start: Point, end: Point, by: float) -> tuple[Point, Point]:
    """A parallel to the right, so that two opposite arrows do not lie on each other."""
    length = hypot(end[0] - start[0], end[1] - start[1]) or 1.0
    x, y = (start[1] - end[1]) / length * by, (end[0] - start[0]) / length * by
    return (start[0] + x, start[1] + y), (end[0] + x, end[1] + y)


def page() -> str:
    """The text around the picture."""
    return "\n".join([INTRODUCTION, *meanings("States", State), *meanings("Events", Event), *table()]) + "\n"


def meanings(title: str, members: type[State] | type[Event]) -> list[str]:
    """What each member means: the string under it in the source."""
    source = inspect.getsource(states)
    body = source[source.index(f"class {members.__name__}(") :]
    lines = [f"## {title}", "| | |", "|-|-|"]
    for member in members:
        after = body[body.index(f'    {member.name} = "{member.value}"\n') :].split("\n", 2)[1:]
        said = after[0].strip() if after and after[0].strip().startswith('"""') else ""
        lines.append(f"| {member.value} | {said.strip(chr(34))} |")
    return [*lines, ""]


def table() -> list[str]:
    """The whole table: a dash ignores, a cross is an error of the caller."""
    lines = [
        "## The table",
        "A dash: it may happen and changes nothing. A cross: it cannot happen; whoever sends it has broken the order,",
        "and gets `OutOfOrder`.",
        "",
        "| | " + " | ".join(event.value for event in Event) + " |",
        "|-|" + "-|" * len(Event),
    ]
    for state in State:
        cells = []
        for event in Event:
            target = TABLE[state][event]
            cells.append(target.value if isinstance(target, State) else "-" if target is Rule.IGNORE else "x")
        lines.append(f"| **{state.value}** | " + " | ".join(cells) + " |")
    return lines


def drawings() -> dict[Path, str]:
    """Every file that this program writes, with its content."""
    return {PAGE: page(), PICTURE: svg()}


def main(arguments: list[str]) -> int:
    """Write, or check."""
    stale = [path for path, text in drawings().items() if not path.exists() or path.read_text("utf-8") != text]
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not current: run python -m tools.diagrams", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(drawings()[path], "utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
