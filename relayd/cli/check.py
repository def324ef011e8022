"""`relayd check`: whether a file is good, and what relayd would say to an upstream and make of its answers."""

from __future__ import annotations

import click

from relayd.cli.reading import counted, read


@click.command()
@click.argument("file")
@click.option("--topics", "-t", multiple=True, metavar="T[,T]", help="Show what is sent for these topics.")
@click.option("--upstream", "-u", metavar="U", help="The upstream they are of; found by the topics otherwise.")
@click.option("--replay", "-r", metavar="F", help="Show how these messages are read: one a line, or events.")
def check(file: str, topics: tuple[str, ...], upstream: str | None, replay: str | None) -> None:
    """Check a configuration, as twistd does before it starts.

    Every error is printed with its line and column; the exit status is 1 if there is any.

    With --topics nothing is dialled either: what would be sent for them is printed, and with --replay how each line of
    a file (one message of the feed each; server-sent events also as `curl -N` saves them) would be read. The exit
    status is 1 if a topic cannot be had or a message is unknown.
    """
    config = read(file)
    if topics or upstream is not None or replay is not None:
        from relayd.cli.explain import show

        names = [name for group in topics for name in group.split(",") if name]
        if not show(config, upstream, names, replay):
            raise click.exceptions.Exit(1)
        return
    parts = (
        counted(len(config.listeners), "listener"),
        counted(len(config.upstreams), "upstream"),
        counted(len(config.routes), "route"),
    )
    click.secho(f"{file} is good: {', '.join(parts)}", fg="green")
