"""`relayd check`: whether a file is good, and what an upstream written in it makes of a recorded conversation."""

from __future__ import annotations

import click

from relayd.cli.reading import counted, read


@click.command()
@click.argument("file")
def check(file: str) -> None:
    """Check a configuration, as twistd does before it starts.

    Every error is printed with its line and column; the exit status is 1 if there is any.
    """
    config = read(file)
    parts = (
        counted(len(config.listeners), "listener"),
        counted(len(config.upstreams), "upstream"),
        counted(len(config.routes), "route"),
    )
    click.secho(f"{file} is good: {', '.join(parts)}", fg="green")
