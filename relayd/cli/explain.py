"""What `relayd check --topics` prints: the conversation with an upstream, without a network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relayd.config.compile import compile_routes
from relayd.config.compile_upstream import compile_upstream
from relayd.config.model import Config
from relayd.core.event_stream import EventStream
from relayd.core.feed.conversation import Wanted
from relayd.core.feed.explain import Explanation, Line, Sample, explain
from relayd.core.routes import RouteTable, TopicRefused
from relayd.io.logs import printable

REPLAY_BYTES = 64 * 1024 * 1024  # guess: hours of a busy feed; it is held in memory
WIDTH_IN_A_FILE = 160  # columns, where the output is no terminal; samples are cut to them
FIELD = re.compile(rb"^data:", re.MULTILINE)
STYLES = {"data": "green", "fail": "red", "unknown": "bold red", "unrouted": "yellow"}


def show(config: Config, upstream: str | None, topics: Sequence[str], replay: str | None) -> bool:
    """Prints what is sent for these topics, and how the lines of a file are read.

    Returns:
        Whether every topic can be had and every line is known.

    Raises:
        click.ClickException: the topics, the upstream or the file cannot be meant.
    """
    wanted = _wanted(config, upstream, topics)
    name = upstream if upstream is not None else wanted[0][0] if wanted else next(iter(config.upstreams), "")
    if not config.upstreams:
        raise click.ClickException("there is no upstream in this file")
    if name not in config.upstreams:
        raise click.ClickException(f"there is no upstream {name}; there are: {', '.join(config.upstreams)}")
    if others := [topic.topic for of, topic in wanted if of != name]:
        raise click.ClickException(f"not a topic of the upstream {name}: {', '.join(others)}")
    samples = [] if replay is None else _samples(replay, stream=config.upstreams[name].transport == "sse")
    told = explain(compile_upstream(config.upstreams[name]), [topic for _, topic in wanted], samples)
    _print(name, told)
    return not told.refused and not any(line.kind == "unknown" for line in told.lines)


def _wanted(config: Config, upstream: str | None, topics: Sequence[str]) -> list[tuple[str, Wanted[str]]]:
    if upstream is None and not topics and len(config.upstreams) > 1:
        raise click.ClickException(f"which upstream? --upstream is one of: {', '.join(config.upstreams)}")
    routes = RouteTable(compile_routes(config))
    found = []
    for topic in topics:
        try:
            match = routes.find(topic)
        except TopicRefused as refused:
            raise click.ClickException(f"{topic}: {refused.message}") from None
        if match.route.upstream is None:
            raise click.ClickException(f"{topic}: no upstream is asked for it, clients publish all there is")
        found.append((match.route.upstream, Wanted(topic, match.fields)))
    return found


def _samples(file: str, *, stream: bool) -> Sequence[Sample]:
    try:
        with Path(file).open("rb") as opened:
            raw = opened.read(REPLAY_BYTES + 1)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read: {error.strerror}") from None
    if len(raw) > REPLAY_BYTES:
        raise click.ClickException(f"{file} is larger than {REPLAY_BYTES >> 20} MiB; replay a part of it")
    if stream and FIELD.search(raw):
        # As `curl -N` saves it; what is one JSON value a line is read as for any other feed.
        return EventStream(REPLAY_BYTES).feed(raw + b"\n\n")
    try:
        return raw.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise click.ClickException(f"{file}:{line}: this is not UTF-8; only text frames can be replayed") from None


def _print(name: str, told: Explanation) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_IN_A_FILE)
    for title, lines in (
        (f"{name} is dialled at", [told.opens]),
        ("and logs in with", told.login),
        ("then is sent", told.sends),
        ("cannot be asked for", told.refused),
    ):
        if lines:
            console.print(Text(title, style="bold"))
            for line in lines:
                console.print(Text(f"  {printable(line)}"), soft_wrap=True)
    if told.lines:
        console.print(_table(told.lines, console.width))


def _table(lines: Sequence[Line], width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("line", justify="right")
    table.add_column("read as")
    table.add_column("", overflow="fold")
    # A whole order book must not press the other columns out.
    table.add_column("message", no_wrap=True, overflow="ellipsis", style="dim", max_width=width // 2)
    for line in lines:
        kind = Text(line.kind, style=STYLES.get(line.kind, ""))
        table.add_row(str(line.number), kind, Text(printable(line.what)), Text(printable(line.sample)))
    return table
